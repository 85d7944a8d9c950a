"""The node: a real dispynode with the fixes applied, for one dispatcher's jobs.

python -m node.agent --host ADDRESS --name NAME --slots N --dispy-port P --secret-file FILE
                     --scratch FOLDER
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

from node import leftovers

log = logging.getLogger("node")

LISTENING_SECONDS = 5.0  # to be heard at our own port after the start


class CannotStart(Exception):
    """Said to the user in one sentence."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m node.agent", description=__doc__)
    parser.add_argument("--host", required=True, help="address of this machine to listen on")
    parser.add_argument("--name", default=socket.gethostname(), help="what people call it")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1, help="jobs at a time")
    parser.add_argument(
        "--dispy-port", type=int, default=51347, help="the dispatcher's port; we use the next one"
    )
    parser.add_argument("--secret-file", type=Path, required=True, help="holds the secret alone")
    parser.add_argument("--scratch", type=Path, required=True, help="folder that is ours alone")
    parser.add_argument("--certfile", type=Path)
    parser.add_argument("--keyfile", type=Path)
    parser.add_argument("--log-level", default="INFO")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(
        stream=sys.stdout,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.umask(0o077)
    try:
        secret = read_secret(options.secret_file)
        lock = lock_scratch(options.scratch)
        run = make_run_folder(options.scratch)
        return serve(options, secret, run, stop, lock)
    except CannotStart as error:
        log.error("cannot start: %s", error)
        return 2


def serve(
    options: argparse.Namespace, secret: str, run: Path, stop: threading.Event, lock: int
) -> int:
    start_keeper(run)
    work = run / "work"
    work.mkdir()
    try:
        node = start_node(options, secret, run, work)
        log.info("%s takes %d jobs at a time at %s:%s", node.name, options.slots, *place(node))
        from node.health import watch

        wrong = watch(node, work, stop)
    except (OSError, AssertionError, RuntimeError) as error:
        raise CannotStart(error) from error
    if wrong:
        log.critical("ending: %s", wrong)
    end(node, run)
    os.close(lock)
    return 1 if wrong else 0


def read_secret(path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except OSError as error:
        raise CannotStart(f"no secret: {error}") from error
    if not secret:
        raise CannotStart(f"{path} is empty; it must hold the dispatcher's secret")
    return secret


def lock_scratch(scratch: Path) -> int:
    """One agent per scratch folder. A record lock, since children do not inherit those."""
    scratch.mkdir(parents=True, exist_ok=True)
    lock = os.open(scratch / "agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CannotStart(f"another agent uses the scratch folder {scratch}") from error
    return lock


def make_run_folder(scratch: Path) -> Path:
    """A fresh folder for this run; what earlier runs left, processes too, is cleared away."""
    for old in scratch.glob("run-*"):
        leftovers.sweep(old.resolve())
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=scratch.resolve()))


def start_keeper(run: Path) -> None:
    """A process that outlives us by a moment and clears up, however we end."""
    agent = os.getpid()
    if os.fork():
        return
    os.setsid()
    os.chdir("/")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    leftovers.wait_for_end(agent)
    leftovers.sweep(run)
    shutil.rmtree(run, ignore_errors=True)
    os._exit(0)


def start_node(options: argparse.Namespace, secret: str, run: Path, work: Path) -> Any:
    """dispynode's own main program, without its command line, which would show the secret."""
    if options.slots < 1:
        raise CannotStart("--slots must be at least 1")
    if options.host in ("0.0.0.0", "::", ""):  # noqa: S104
        raise CannotStart("--host must be the very address that the dispatcher is to use")
    multiprocessing.set_start_method("fork")
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    certfile, keyfile = absolute(options.certfile), absolute(options.keyfile)
    from node import fixes, health

    fixes.apply(certfile, keyfile)
    import dispy.config

    from node import dispynode

    dispy.config.DispyPort = options.dispy_port
    node = dispynode.make_class(dispynode.load(), work)(
        options.slots,
        hosts=[options.host],
        name=options.name,
        dest_path_prefix=str(run),
        node_globals={"dispycluster_work": str(work)},
        secret=secret,
        certfile=certfile,
        keyfile=keyfile,
        clean=True,
        zombie_interval=1,
        daemon=True,
    )
    # It holds the secret, and is for a second dispynode to find us, which our lock prevents.
    Path(node.dest_path_prefix, "config.pkl").unlink()
    deadline = time.monotonic() + LISTENING_SECONDS
    while not health.answers(node):
        if time.monotonic() > deadline:
            raise CannotStart("we cannot hear ourselves at {}:{}".format(*place(node)))
        time.sleep(0.1)
    return node


def absolute(path: Path | None) -> str | None:
    return str(path.resolve()) if path else None


def place(node: Any) -> tuple[str, int]:
    return node.addrinfos[0].ip, node.port


def end(node: Any, run: Path) -> None:
    """Say goodbye first, so that nobody takes a killed job for a cancelled one."""
    from pycos import Task

    Task(node.send_terminate).value(timeout=2)
    leftovers.sweep(run)
    os.chdir("/")
    shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # pycos would wait for its tasks

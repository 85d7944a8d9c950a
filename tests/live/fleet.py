"""A dispatcher and nodes as real processes, working on the test's own database."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.test import override_settings

ROOT = Path(__file__).resolve().parent.parent.parent


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Until the condition holds; returns how long it took, fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.02)
    return time.monotonic() - started


def free_ports() -> int:
    """A port that is free together with the next one, below those of outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000, 2)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in (port, port + 1):
                stack.enter_context(socket.create_server(("127.0.0.1", number)))
            return port


def database_url() -> str:
    """The test database, as a child process finds it."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    user = f"{found['USER']}:{found['PASSWORD']}@" if found["PASSWORD"] else f"{found['USER']}@"
    return f"postgres://{user}{found['HOST']}:{found['PORT']}/{found['NAME']}"


class Fleet:
    """Start and end its parts at will; `end` leaves no process behind."""

    def __init__(self, folder: Path, nodes: int, slots: int = 1) -> None:
        self.folder = folder
        self.slots = slots
        self.port = free_ports()
        network = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        self.addresses = [f"{network}.{number + 2}" for number in range(nodes)]
        self.home = folder / "home"
        (self.home / "files").mkdir(parents=True)
        self.secret = folder / "secret"
        self.secret.write_text("s" * 64)
        self.secret.chmod(0o600)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            "DISPYCLUSTER_HOME": str(self.home),
            "DATABASE_URL": database_url(),
            "DISPY_PORT": str(self.port),
            "DISPY_SECRET": "s" * 64,
            "DISPY_NODES": ",".join(self.addresses),
            "DISPYCLUSTER_TASKS": str(settings.TASKS),
            "PYTHONWARNINGS": "default",
        }

    def start(self, name: str, *command: str, **environment: str) -> None:
        log = open(self.folder / f"{name}.log", "ab")  # noqa: SIM115  the child keeps it
        with log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env={**self.environment, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def start_dispatcher(self, name: str = "dispatcher", *options: str, **environment: str) -> None:
        self.start(name, "manage.py", "dispatcher", *options, **environment)

    def start_node(self, address: str) -> None:
        self.start(
            address, "-m", "node.agent", "--host", address, "--name", self.name(address),
            "--slots", str(self.slots), "--dispy-port", str(self.port),
            "--secret-file", str(self.secret), "--scratch", str(self.folder / address),
        )  # fmt: skip

    def name(self, address: str) -> str:
        return f"node-{self.addresses.index(address) + 1}"

    def up(self) -> "Fleet":
        """Everything started, every node online."""
        from cluster.models import Node

        for address in self.addresses:
            self.start_node(address)
        self.start_dispatcher()
        online = Node.objects.filter(online=True)
        wait_for(lambda: online.count() == len(self.addresses), 30, f"nodes up\n{self.logs()}")
        return self

    def signal(self, name: str, number: int) -> None:
        """To the process and all it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()

    def logs(self) -> str:
        texts = [path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log")]
        return "\n".join(texts)

    def end(self) -> None:
        for name, process in self.processes.items():
            self.signal(name, signal.SIGCONT)
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + 5
        for name, process in self.processes.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            self.kill(name)


@contextlib.contextmanager
def fleet(folder: Path, nodes: int = 2, slots: int = 1) -> Iterator[Fleet]:
    made = Fleet(folder, nodes, slots)
    try:
        with override_settings(FILES=made.home / "files"):
            yield made
    finally:
        made.end()

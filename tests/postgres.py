"""A PostgreSQL server for the length of a test run: `python -m tests.postgres COMMAND…`."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ACCOUNT = "postgres"  # whose server it is where we are root: PostgreSQL refuses to run as root


def binaries() -> Path | None:
    """The folder with the newest initdb on this machine."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(found, key=lambda path: int(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*newest, *([Path(on_path).resolve()] if on_path else [])]
    return candidates[0].parent if candidates else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a fresh server on a free loopback port; yields its DATABASE_URL."""
    folder = binaries()
    if folder is None:
        raise SystemExit("PostgreSQL's programs are not on this machine: apt install postgresql")
    home = Path(tempfile.mkdtemp(prefix="dispycluster-postgres-"))
    as_account = []
    if os.geteuid() == 0:
        shutil.chown(home, ACCOUNT)
        as_account = ["runuser", "-u", ACCOUNT, "--"]
    port = free_port()
    settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    settings += [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
    options = " ".join(f"-c {setting}" for setting in settings)
    data = str(home / "data")

    def run(program: str, *arguments: str) -> None:
        argv = [*as_account, str(folder / program), *arguments]
        done = subprocess.run(
            argv, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{program} failed:\n{done.stdout}{done.stderr}")

    try:
        run("initdb", "-D", data, "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-D", data, "-o", options, "-l", str(home / "log"), "-w", "start")
        try:
            yield f"postgres://{ACCOUNT}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    with server() as url:
        status = subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode
    sys.exit(status)

"""A PostgreSQL server for the length of a test run: `python -m tests.postgres COMMAND…`."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ACCOUNT = "postgres"  # whose server it is where we are root: PostgreSQL refuses to run as root
HASTY = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
SAFE = ["fsync=off"]  # a commit outlives the server, if not the machine


def binaries() -> Path | None:
    """The folder with the newest initdb on this machine."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(found, key=lambda path: int(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    candidates = [*newest, *([Path(on_path).resolve()] if on_path else [])]
    return candidates[0].parent if candidates else None


class Server:
    """Stopped and started at will, always at the same port with the same data."""

    def __init__(self, home: Path, settings: Sequence[str]) -> None:
        folder = binaries()
        if folder is None:
            raise SystemExit(
                "PostgreSQL's programs are not on this machine: apt install postgresql"
            )
        self.folder, self.home = folder, home
        self.as_account: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(home, ACCOUNT)
            self.as_account = ["runuser", "-u", ACCOUNT, "--"]
        port = free_port()
        place = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        self.options = " ".join(f"-c {setting}" for setting in [*settings, *place])
        self.url = f"postgres://{ACCOUNT}@127.0.0.1:{port}/postgres"
        self.up = False
        self.run("initdb", "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        """Returns when it takes connections."""
        self.run("pg_ctl", "-o", self.options, "-l", str(self.home / "log"), "-w", "start")
        self.up = True

    def stop(self, mode: str = "fast") -> None:
        """fast: sessions are told to go. immediate: like a crash."""
        self.run("pg_ctl", "-m", mode, "-w", "stop")
        self.up = False

    def run(self, program: str, *arguments: str) -> None:
        data = str(self.home / "data")
        argv = [*self.as_account, str(self.folder / program), "-D", data, *arguments]
        done = subprocess.run(
            argv, cwd=self.home, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{program} failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def running(settings: Sequence[str] = SAFE) -> Iterator[Server]:
    """A fresh server on a free loopback port, for tests that stop it."""
    home = Path(tempfile.mkdtemp(prefix="dispycluster-postgres-"))
    try:
        made = Server(home, settings)
        made.start()
        try:
            yield made
        finally:
            if made.up:
                made.stop("immediate")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a fresh server on a free loopback port; yields its DATABASE_URL."""
    with running(HASTY) as made:
        yield made.url


def free_port() -> int:
    """None that an outgoing connection gets while the server is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


if __name__ == "__main__":
    with server() as url:
        status = subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}).returncode
    sys.exit(status)

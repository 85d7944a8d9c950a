"""All processes of one installation: what must hold before they start, and which they are."""

import errno
import fcntl
import http.client
import os
import re
import socket
import sys
import time
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connections

from dispycluster.first_start import prepare
from dispycluster.local_node import agent_argv, agent_environment, with_code
from dispycluster.supervisor import Program, Supervisor

NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs")
PATIENCE_SECONDS = 3.0  # for an earlier copy that is just ending


def up() -> None:
    """Set up what is missing and run everything until asked to stop."""
    os.umask(0o077)
    lock = lock_home()
    refuse_network_folder()
    for host, port, setting in ports():
        refuse_taken_port(host, port, setting)
    print(f"Starting DispyCluster; its home is {settings.HOME}", flush=True)
    try:
        user, password = prepare()
    except OperationalError as error:
        raise SystemExit(f"The database does not answer: {error}".strip()) from None
    connections.close_all()
    Supervisor(programs()).run(Announcement(user, password).tick)
    os.close(lock)


def programs() -> list[Program]:
    """The process table, in the order of start and stop."""
    env = with_code(
        {**os.environ, "DISPYCLUSTER_HOME": str(settings.HOME), "PYTHONUNBUFFERED": "1"}
    )
    python, manage = sys.executable, str(settings.BASE_DIR / "manage.py")
    gunicorn = (python, "-m", "gunicorn", "-c", "python:dispycluster.web", "dispycluster.wsgi")
    table = [
        Program("web", gunicorn, env, stop_seconds=6),
        Program("monitor", (python, manage, "monitor"), env),
        Program("dispatcher", (python, manage, "dispatcher"), env, stop_seconds=15),
    ]
    if not settings.DISPY_NODES:
        table.append(Program("node", agent_argv(), agent_environment(env), stop_seconds=10))
    return table


def ports() -> list[tuple[str, int, str]]:
    """What we listen on, and the setting that moves it."""
    wanted = [
        (settings.HOST, settings.PORT, "PORT"),
        (settings.DISPY_HOST, settings.DISPY_PORT, "DISPY_PORT"),
    ]
    if not settings.DISPY_NODES:
        wanted.append((settings.LOCAL_NODE, settings.DISPY_PORT + 1, "DISPY_PORT"))
    return wanted


def lock_home() -> int:
    """Keep every other `up` off this home, for as long as we live."""
    lock = os.open(settings.HOME / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(
            f"DispyCluster is already running on {settings.HOME} (process "
            f"{os.read(lock, 20).decode().strip()}). For a second copy set DISPYCLUSTER_HOME, "
            "PORT and DISPY_PORT."
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def refuse_network_folder() -> None:
    """SQLite's locks do not hold on network file systems."""
    if settings.SQLITE and (kind := filesystem(settings.HOME)) in NETWORK_FILESYSTEMS:
        raise SystemExit(
            f"{settings.HOME} is on a network file system ({kind}), where SQLite loses data: set "
            "DISPYCLUSTER_HOME to a folder on a local disk, or DATABASE_URL to PostgreSQL."
        )


def filesystem(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system a folder is on; empty where this cannot be told."""
    if not mounts.exists():
        return ""
    best, kind = -1, ""
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split()
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
        if folder.resolve().is_relative_to(point) and len(point) >= best:
            best, kind = len(point), name
    return kind


def refuse_taken_port(host: str, port: int, setting: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise SystemExit(port_sentence(host, port, setting, error)) from None


def port_sentence(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken by another program; choose another one with "
            f"{setting}, for example {setting}={port + 10 if port < 65000 else 8086}."
        )
    where = "DISPY_HOST" if setting == "DISPY_PORT" else "HOST"
    return f"Cannot listen on {host}, port {port} ({error.strerror}): check {where} and {setting}."


class Announcement:
    """Says once where to go and as whom, when the web answers."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.done, self.next_look = False, 0.0

    def tick(self) -> None:
        if self.done or time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + 0.2
        self.done = web_answers()
        if not self.done:
            return
        print(
            f"\n  DispyCluster is up: {web_url()}\n"
            f"  Sign in as {self.user}; {self.password}\n  Press Ctrl-C to stop.\n",
            flush=True,
        )


def web_address() -> tuple[str, int]:
    """Where this machine itself reaches the web."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    return everywhere.get(settings.HOST, settings.HOST), settings.PORT


def web_url() -> str:
    host, port = web_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def web_answers(path: str = "/healthz", below: int = 500) -> bool:
    connection = http.client.HTTPConnection(*web_address(), timeout=0.5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < below
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

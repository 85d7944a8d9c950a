"""The runner's side of the fork server, `node/forkserver.py`: it is started, asked, and ended."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node import sites
from node.bell import Bell
from node.child import Launch, fork, piped, start
from node.forkserver import KILL, LENGTH, READY, TERM
from node.process import Usage, end_descendants, kill
from node.watch import Running

START_SECONDS = 30.0  # for the import of the function's module
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    "from node.forkserver import main; main(int(sys.argv[2]))"
)
ROOT = str(Path(__file__).parents[1])


class Server:
    """One for a bundle. As long as it lives, all that descends from us must be its own."""

    def __init__(
        self, folder: Path, zip_path: str, function: str, env: dict[str, str], bell: Bell,
        tick: Callable[[], float],
    ) -> None:  # fmt: skip
        self.function = function
        self.env = env  # as it stands there
        self.sock, theirs = socket.socketpair()
        theirs.set_inheritable(True)
        # -S: what site finds is in our sys.path; what else it did is done there where there is any.
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, ROOT, str(theirs.fileno())]
        launch = Launch(cwd=folder, env=env, argv=argv, adopts=True)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        self.pid = fork(launch, nowhere, nowhere, theirs.fileno())
        os.close(nowhere)
        theirs.close()
        setup = {
            "path": sys.path,
            "sites": sites.with_code(),
            "custom": sites.customized(),
            "zip": zip_path,
            "function": function,
        }
        if not (self.send(setup, []) and self._is_ready(bell, tick)):
            self.close()

    def _is_ready(self, bell: Bell, tick: Callable[[], float]) -> bool:
        give_up_at = time.monotonic() + START_SECONDS
        while not bell.cancelled and time.monotonic() < give_up_at:
            ready, _, _ = select.select([self.sock.fileno(), bell.fd], [], [], min(tick(), 1.0))
            if self.sock.fileno() in ready:
                try:
                    return self.sock.recv(len(READY)) == READY
                except OSError:  # it ended without having read the setup
                    return False
            bell.quiet()
        return False

    def serves(self, function: str) -> bool:
        return self.pid != 0 and function == self.function

    def send(self, request: dict[str, Any], fds: list[int]) -> bool:
        """False if nobody is there any more, who then has not had all of it."""
        text = json.dumps(request).encode()
        data = len(text).to_bytes(LENGTH, "big") + text
        try:
            sent = socket.send_fds(self.sock, [data], fds)
            if sent < len(data):  # sending nothing would fail, too, where it was read and answered
                self.sock.sendall(data[sent:])
        except OSError:
            return False
        return True

    def begin(self, args: Mapping[str, Any], launch: Launch) -> Running:
        changed: dict[str, str | None] = dict.fromkeys(self.env.keys() - launch.env.keys())
        changed |= launch.env.items() - self.env.items()
        self.env = launch.env
        request = {
            "function": self.function,
            "args": args,
            "cwd": str(launch.cwd),
            "env": changed,
            "memory_mb": launch.memory_mb,
            "cpu_seconds": launch.cpu_seconds,
        }
        sent, fds = piped(3, lambda *writing: self.send(request, list(writing)))
        if sent:
            return Served(self, fds, self.sock.fileno())
        for fd in fds:  # it ended between two members: this one has not begun
            os.close(fd)
        self.close()
        return start(launch)

    def close(self) -> None:
        """Nothing of it is left afterwards."""
        if self.pid:
            self.sock.close()
            kill(self.pid, signal.SIGKILL)
            self.pid = 0
            end_descendants(Usage())


@dataclass
class Served:
    """A member's process that is a child of the server's, which tells of its end."""

    server: Server
    fds: list[int]
    wake: int | None
    told: bytes = b""
    gone: bool = False  # the server itself
    failure: str = ""

    def has_ended(self, usage: Usage) -> bool:
        try:
            part = self.server.sock.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        self.told += part
        self.gone = not part
        return self.gone or self.told.endswith(b"\n")

    def _order(self, order: bytes) -> None:
        try:
            self.server.sock.sendall(order)
        except OSError:
            self.gone = True

    def terminate(self) -> None:
        self._order(TERM)

    def kill(self) -> None:
        self._order(KILL)

    def reap(self, usage: Usage) -> tuple[int | None, bool]:
        if not self.told.endswith(b"\n"):  # it cannot be ended, or the server is gone
            self.server.close()
            if self.gone:
                self.failure = "the node could not run it: the server that forks its members ended"
            return None, self.gone
        code, cpu_seconds, max_rss_kb, all_gone = json.loads(self.told)
        usage.cpu_seconds += cpu_seconds
        usage.max_rss_kb = max(usage.max_rss_kb, max_rss_kb)
        return code, all_gone

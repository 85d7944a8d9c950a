"""A whole copy of DispyCluster on free ports and in a home of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def free_ports() -> tuple[int, int]:
    """A port for the web, and one for dispy that is followed by a free one."""
    while True:
        with socket.socket() as web, socket.socket() as dispy, socket.socket() as node:
            try:
                web.bind(("127.0.0.1", 0))
                dispy.bind(("127.0.0.1", 0))
                node.bind(("127.0.0.1", dispy.getsockname()[1] + 1))
            except (OSError, OverflowError):
                continue
            return web.getsockname()[1], dispy.getsockname()[1]


class Stack:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.port, self.dispy_port = free_ports()
        self.starts: list[subprocess.Popen[bytes]] = []
        self.env = {
            **os.environ,
            "DISPYCLUSTER_HOME": str(home),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DISPY_PORT": str(self.dispy_port),
            "DATABASE_URL": "",
            "DISPY_NODES": "",
        }

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *words],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
        )

    @property
    def log(self) -> Path:
        return self.home.with_name(f"{self.home.name}-{len(self.starts)}.log")

    def up(self) -> None:
        """Start it, until it has said where to go."""
        self.starts.append(None)  # type: ignore[arg-type]
        with self.log.open("wb") as log:
            self.starts[-1] = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.until(lambda: "DispyCluster is up" in self.text())

    def text(self) -> str:
        return self.log.read_text()

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline and self.starts[-1].poll() is None, self.text()
            time.sleep(0.05)

    def answers(self, path: str = "/healthz") -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def processes(self) -> list[psutil.Process]:
        """All that runs with this home in its environment or command line."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), *process.environ().values()]
                if process.status() != psutil.STATUS_ZOMBIE and any(
                    str(self.home) in word for word in words
                ):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def child(self, mark: str) -> psutil.Process | None:
        """The direct child of `up` whose command line matches."""
        if self.starts[-1].poll() is not None:
            return None
        for process in psutil.Process(self.starts[-1].pid).children():
            try:
                if re.search(mark, " ".join(process.cmdline())):
                    return process
            except psutil.Error:
                continue
        return None

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.starts[-1].send_signal(number)
        return self.starts[-1].wait(40)

    def clear(self) -> None:
        """For the end of a test: nothing stays, whatever went wrong."""
        for start in self.starts:
            if start and start.poll() is None:
                start.kill()
                start.wait()
        for process in self.processes():
            process.kill()

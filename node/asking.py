"""Asking a program of this machine something, without ever waiting long for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

ASK_SECONDS = 60.0
ANSWER_SECONDS = 10.0  # then it is killed
LONGEST = 4096  # bytes of an answer


class Program:
    """Asked now and then, each time looked after at the next call: a pulse may not be late."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.asked_at: float | None = None
        self.last: str | None = None

    def answer(self, now: float) -> str | None:
        """Its newest one, a minute old at most; None where there is none yet, or it failed."""
        if self.process:
            self.look(self.process, now)
        elif self.asked_at is None or now - self.asked_at >= ASK_SECONDS:
            self.asked_at = now
            self.ask()
        return self.last

    def ask(self) -> None:
        try:
            self.process = subprocess.Popen(
                self.command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError:
            self.last = None

    def look(self, process: subprocess.Popen[bytes], now: float) -> None:
        assert process.stdout and self.asked_at is not None
        if process.poll() is None:
            if now - self.asked_at > ANSWER_SECONDS:
                self.last = None
                process.kill()  # looked after again at the next call
            return
        os.set_blocking(process.stdout.fileno(), False)  # something else may hold the other end
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(process.stdout.fileno(), LONGEST)
        process.stdout.close()
        self.process = None
        self.last = said.decode(errors="replace") if process.returncode == 0 else None


def ask_once(command: tuple[str, ...], seconds: float) -> str:
    """What it says within that time, or nothing. It is not waited for even where it cannot die."""
    program, deadline = Program(command), time.monotonic() + seconds
    said = program.answer(time.monotonic())
    while program.process and time.monotonic() < deadline:
        time.sleep(0.01)
        said = program.answer(time.monotonic())
    if program.process:
        program.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.communicate(timeout=0.5)
    return said or ""

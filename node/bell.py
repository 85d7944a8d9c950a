"""The runner's signals: being asked to stop, a child that ended, time that is up."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

Value = TypeVar("Value")
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
OUR_SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD, signal.SIGALRM)
NAG_SECONDS = 0.5  # an interrupted function that goes on all the same is interrupted again


class Interrupted(BaseException):
    """Raised inside a function that runs in the runner's own process. BaseException, so that
    the usual `except Exception` of a user's function lets it pass."""


class Bell:
    """While entered, signals only set a flag and make `fd` readable, so that a loop waiting on it
    wakes up; inside `guard` they interrupt the function that runs."""

    def __init__(self) -> None:
        self.cancelled = False
        self.inside = False
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Bell:
        if threading.current_thread() is threading.main_thread():  # Python allows it only there
            self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            for number in OUR_SIGNALS:
                self._before[number] = signal.signal(number, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before:
            signal.set_wakeup_fd(self._wakeup_before)
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(self.fd)
        os.close(self._write)

    def _ring(self, number: int, _frame: FrameType | None) -> None:
        if number in STOP_SIGNALS:
            self.cancelled = True
        if self.inside and number != signal.SIGCHLD:
            raise Interrupted

    def quiet(self) -> None:
        """Forget what rang; the flag stays."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass

    def wait(self, seconds: float) -> None:
        select.select([self.fd], [], [], seconds)
        self.quiet()

    def guard(self, call: Callable[[], Value], seconds: float | None) -> Value:
        """Run call here; Interrupted comes out of it when its time is up or we are to stop."""
        try:
            try:
                self.inside = True
                if self.cancelled:
                    raise Interrupted
                if seconds:
                    signal.setitimer(signal.ITIMER_REAL, seconds, NAG_SECONDS)
                return call()
            finally:
                self._leave(seconds)
        except BaseException:
            self._leave(seconds)  # a signal may have come in the middle of the first one
            raise

    def _leave(self, seconds: float | None) -> None:
        self.inside = False
        if seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)

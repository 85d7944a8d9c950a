"""Watching a member's process: what it writes, its deadline, and its end, which leaves nobody."""

from __future__ import annotations

import json
import math
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from node.bell import Bell
from node.child import Launch, start
from node.output import Stream
from node.process import Usage

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
GIVE_UP_SECONDS = 10.0  # after SIGKILL, if it is not ours to kill (a set-user-id program)
DRAIN_SECONDS = 0.2  # for what is still in the pipes, once every writer we know of is dead
NOTE_LIMIT = 4_000_000  # bytes that a function's process may hand back
READ_BYTES = 65536


class Running(Protocol):
    """A member's process: a child of ours, or of the fork server's."""

    fds: list[int]  # the reading ends of its stdout, stderr and, if any, note
    wake: int | None  # readable when it may have ended, where the bell does not ring for that
    failure: str  # once reaped: why nobody can know how it ended

    def has_ended(self, usage: Usage) -> bool: ...

    def terminate(self) -> None:
        """Ask it and its group to end."""

    def kill(self) -> None:
        """Kill it, its group, and whatever descends from it."""

    def reap(self, usage: Usage) -> tuple[int | None, bool]:
        """Leave nothing of it. Answers its exit code, negative for a signal, None if it has not
        ended; and whether all of its processes are gone."""


@dataclass
class Ended:
    """How it went."""

    stdout: Stream
    stderr: Stream
    exit_code: int | None = None
    signal: str | None = None
    stopped: str = ""  # "timeout" or "cancel", where we ended it
    note: dict[str, Any] | None = None  # what the child's side of us had to say
    run_seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    all_gone: bool = True


def _read(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    try:
        data = os.read(key.fd, READ_BYTES)
    except BlockingIOError:
        return
    if data:
        key.data(data)
    else:
        selector.unregister(key.fd)


class _Deadline:
    """Ends a child whose time is up, or when we are told to stop: gently, then not."""

    def __init__(self, running: Running, timeout_seconds: float | None, now: float) -> None:
        self.running = running
        self.due = now + timeout_seconds if timeout_seconds else math.inf
        self.reason = ""
        self.killed = False

    def act(self, cancelled: bool, now: float) -> bool:
        """Do what is due. False once there is nothing left that we could do."""
        if not self.reason:
            if not cancelled and now < self.due:
                return True
            self.reason = "cancel" if cancelled else "timeout"
            self.running.terminate()
            self.due = now + GRACE_SECONDS
        elif now >= self.due:
            if self.killed:
                return False
            self.killed = True
            self.running.kill()
            self.due = now + GIVE_UP_SECONDS
        return True


def _watch(
    running: Running, deadline: _Deadline, usage: Usage, selector: selectors.BaseSelector,
    bell: Bell, tick: Callable[[], float],
) -> None:  # fmt: skip
    """Read what it writes until it has ended; its own end counts, not that of its pipes."""
    while not running.has_ended(usage):
        now = time.monotonic()
        if not deadline.act(bell.cancelled, now):
            return
        patience = min(tick(), deadline.due - now, 1.0)
        for key, _ in selector.select(max(patience, 0)):
            if key.fd == bell.fd:
                bell.quiet()
            elif key.fd != running.wake:
                _read(selector, key)


def _drain(selector: selectors.BaseSelector) -> None:
    """Take what is left in the pipes. Normally ends at once: all writers are dead."""
    until = time.monotonic() + DRAIN_SECONDS
    while selector.get_map() and time.monotonic() < until:
        ready = selector.select(0)
        if not ready:
            return  # held open by someone who does not descend from us
        for key, _ in ready:
            _read(selector, key)


def _parse_note(data: bytes) -> dict[str, Any] | None:
    if not data:
        return None
    try:
        note = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) else None


def run_child(
    launch: Launch,
    bell: Bell,
    tick: Callable[[], float],
    watched: Callable[[Stream, Stream], None],
    begin: Callable[[Launch], Running] = start,
) -> Ended:
    """Run it to its end. `watched` is given the streams as they begin; `tick` is called again and
    again and answers in how many seconds it likes to be called next."""
    ended = Ended(Stream(launch.output_limit), Stream(launch.output_limit))
    note = bytearray()

    def keep_note(data: bytes) -> None:
        if len(note) < NOTE_LIMIT:
            note.extend(data)

    watched(ended.stdout, ended.stderr)
    with selectors.DefaultSelector() as selector:
        started = time.monotonic()
        running = begin(launch)
        deadline = _Deadline(running, launch.timeout_seconds, started)
        wakes = [bell.fd] if running.wake is None else [bell.fd, running.wake]
        sinks = (ended.stdout.add, ended.stderr.add, keep_note)
        try:
            try:
                for fd, sink in zip(running.fds, sinks, strict=False):  # a program may have no note
                    selector.register(fd, selectors.EVENT_READ, sink)
                for fd in wakes:
                    selector.register(fd, selectors.EVENT_READ)
                _watch(running, deadline, ended.usage, selector, bell, tick)
            finally:  # once, whatever happened: afterwards its number may be another's
                ended.run_seconds = time.monotonic() - started
                ended.stopped = deadline.reason
                code, ended.all_gone = running.reap(ended.usage)
            for fd in wakes:
                selector.unregister(fd)
            _drain(selector)
        finally:
            for fd in running.fds:
                os.close(fd)
    if code is not None and code < 0:
        ended.signal = signal_name(-code)
    else:
        ended.exit_code = code
    ended.note = _parse_note(bytes(note))
    if running.failure:
        ended.note = {"error": running.failure, "error_type": "runner"}
    return ended


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals have no names of their own
        return f"signal {number}"

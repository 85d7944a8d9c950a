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
from typing import Any

from node.bell import Bell
from node.child import Launch, start
from node.output import Stream
from node.process import Usage, end_descendants, has_ended, kill_descendants, kill_group

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
GIVE_UP_SECONDS = 10.0  # after SIGKILL, if it is not ours to kill (a set-user-id program)
DRAIN_SECONDS = 0.2  # for what is still in the pipes, once every writer we know of is dead
NOTE_LIMIT = 4_000_000  # bytes that a function's process may hand back
READ_BYTES = 65536


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

    def __init__(self, pid: int, timeout_seconds: float | None, now: float) -> None:
        self.pid = pid
        self.due = now + timeout_seconds if timeout_seconds else math.inf
        self.reason = ""
        self.killed = False

    def act(self, cancelled: bool, now: float) -> bool:
        """Do what is due. False once there is nothing left that we could do."""
        if not self.reason:
            if not cancelled and now < self.due:
                return True
            self.reason = "cancel" if cancelled else "timeout"
            kill_group(self.pid, signal.SIGTERM)
            self.due = now + GRACE_SECONDS
        elif now >= self.due:
            if self.killed:
                return False
            self.killed = True
            kill_group(self.pid, signal.SIGKILL)
            kill_descendants()
            self.due = now + GIVE_UP_SECONDS
        return True


def _watch(
    pid: int, deadline: _Deadline, usage: Usage, selector: selectors.BaseSelector, bell: Bell,
    tick: Callable[[], float],
) -> bool:  # fmt: skip
    """Read what it writes until it has ended; its own end counts, not that of its pipes."""
    while not has_ended(pid, usage):
        now = time.monotonic()
        if not deadline.act(bell.cancelled, now):
            return False
        patience = min(tick(), deadline.due - now, 1.0)
        for key, _ in selector.select(max(patience, 0)):
            if key.fd == bell.fd:
                bell.quiet()
            else:
                _read(selector, key)
    return True


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
) -> Ended:
    """Run it to its end. `watched` is given the streams as they begin; `tick` is called again and
    again and answers in how many seconds it likes to be called next."""
    ended = Ended(Stream(launch.output_limit), Stream(launch.output_limit))
    note = bytearray()

    def keep_note(data: bytes) -> None:
        if len(note) < NOTE_LIMIT:
            note.extend(data)

    watched(ended.stdout, ended.stderr)
    started = time.monotonic()
    pid, fds = start(launch)
    deadline = _Deadline(pid, launch.timeout_seconds, started)
    try:
        with selectors.DefaultSelector() as selector:
            sinks = (ended.stdout.add, ended.stderr.add, keep_note)
            for fd, sink in zip(fds, sinks, strict=False):  # a program may have no note
                selector.register(fd, selectors.EVENT_READ, sink)
            selector.register(bell.fd, selectors.EVENT_READ)
            by_itself = _watch(pid, deadline, ended.usage, selector, bell, tick)
            ended.run_seconds = time.monotonic() - started
            ended.stopped = deadline.reason
            _reap(pid, by_itself, ended, bell)
            selector.unregister(bell.fd)
            _drain(selector)
    except BaseException:
        kill_group(pid, signal.SIGKILL)
        end_descendants(bell, ended.usage)
        raise
    finally:
        for fd in fds:
            os.close(fd)
    ended.note = _parse_note(bytes(note))
    return ended


def _reap(pid: int, has_ended: bool, ended: Ended, bell: Bell) -> None:
    kill_group(pid, signal.SIGKILL)  # before its number is free again
    if has_ended:
        _, status, rusage = os.wait4(pid, 0)
        ended.usage.add(rusage)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            ended.signal = signal_name(-code)
        else:
            ended.exit_code = code
    ended.all_gone = end_descendants(bell, ended.usage) and has_ended


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals have no names of their own
        return f"signal {number}"

"""A member's process: one way to start it, for programs and for functions."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from node.bell import OUR_SIGNALS
from node.errors import start_failure
from node.limits import set_limits
from node.process import (
    Usage,
    become_subreaper,
    close_all_but,
    die_with_parent,
    end_descendants,
    has_ended,
    kill_descendants,
    kill_group,
)

BROKEN_EXIT = 125
Value = TypeVar("Value")


@dataclass(frozen=True)
class Launch:
    """What to start: a program (argv), or a call that answers with its note and exit code."""

    cwd: Path
    env: dict[str, str]
    argv: list[str] | None = None
    call: Callable[[], tuple[bytes, int]] | None = None
    memory_mb: int | None = None
    cpu_seconds: float | None = None
    timeout_seconds: float | None = None
    output_limit: int = 1_048_576
    keeps: Sequence[int] = ()  # descriptors that a call goes on having
    adopts: bool = False  # orphans among its descendants; and sees to the end of all when we die


@dataclass
class Child:
    """A running child of ours; the bell rings when it ends."""

    pid: int
    fds: list[int]
    wake: int | None = None
    failure: str = ""

    def has_ended(self, usage: Usage) -> bool:
        return has_ended(self.pid, usage)

    def terminate(self) -> None:
        kill_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        kill_group(self.pid, signal.SIGKILL)
        kill_descendants()

    def reap(self, usage: Usage) -> tuple[int | None, bool]:
        kill_group(self.pid, signal.SIGKILL)  # before its number is free again
        code = None
        if has_ended(self.pid, usage):
            _, status, rusage = os.wait4(self.pid, 0)
            usage.add(rusage)
            code = os.waitstatus_to_exitcode(status)
        all_gone = end_descendants(usage)
        return code, all_gone and code is not None


_kept: list[Any] = []  # what must outlive a forked function


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (*OUR_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _make_expendable(pid: int) -> None:
    """Where memory runs out, the kernel should end the member and not the runner."""
    with contextlib.suppress(OSError):
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_RDWR)
        if int(os.read(fd, 10)) < 500:
            os.pwrite(fd, b"500", 0)
        os.close(fd)


def _enter(launch: Launch, parent: int, out: int, err: int, note: int) -> None:
    os.setsid()
    if launch.adopts:
        become_subreaper()
    else:
        die_with_parent(parent)
    _reset_signals()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    close_all_but((note, *launch.keeps))
    os.chdir(launch.cwd)
    set_limits(launch.memory_mb, launch.cpu_seconds, forked=launch.argv is None)


def _call(launch: Launch) -> tuple[bytes, int]:
    # The runner's own objects must not be collected here: they would close descriptors that by
    # then are the function's. Its text streams go on existing for the same reason.
    gc.freeze()
    _kept.extend([sys.stdin, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__])
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        stream = open(fd, mode, 1, "utf-8", "surrogateescape", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for name in os.environ.keys() - launch.env.keys():
        del os.environ[name]
    for name, value in launch.env.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # Python's way: BrokenPipeError
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert launch.call
    answer = launch.call()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return answer


def _child(launch: Launch, parent: int, out: int, err: int, note: int) -> NoReturn:
    code = BROKEN_EXIT
    try:
        try:
            _enter(launch, parent, out, err, note)
            if launch.argv is not None:
                os.execvpe(launch.argv[0], launch.argv, launch.env)  # noqa: S606
            answer, code = _call(launch)
        except BaseException as error:
            what = repr(launch.argv[0]) if launch.argv else "the function"
            failure, code = start_failure(error, what)
            answer = json.dumps(failure).encode()
        while answer:
            answer = answer[os.write(note, answer) :]
    finally:
        os._exit(code)  # whatever happened: the code above us in the stack is the runner's


def start(launch: Launch) -> Child:
    """Start it as a child of ours.

    What the child inherits or what can be done from outside is not done in it: after a fork each
    page that it touches is copied first.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch.argv is not None and not launch.memory_mb and not launch.cpu_seconds:
        try:
            return Child(*piped(2, partial(spawn, launch.argv, launch)))
        except (OSError, ValueError):
            pass  # the way below fails too, and says why
    return Child(*piped(3, partial(fork, launch)))


def piped(count: int, begin: Callable[..., Value]) -> tuple[Value, list[int]]:
    """What `begin` starts with the writing ends of so many pipes, and their reading ends.

    After `begin` nothing fails any more: what was started is not started again.
    """
    pipes = [os.pipe() for _ in range(count)]
    reading, writing = [pipe[0] for pipe in pipes], [pipe[1] for pipe in pipes]
    try:
        started = begin(*writing)
    except BaseException:
        for fd in reading:
            os.close(fd)
        raise
    finally:
        for fd in writing:
            os.close(fd)
    for fd in reading:
        os.set_blocking(fd, False)
    return started, reading


def spawn(argv: list[str], launch: Launch, out: int, err: int) -> int:
    """A program without limits, by vfork: a third of the price of a fork.

    Nothing of ours runs in the child. If we are killed, the agent sweeps up what we leave.
    """
    process = subprocess.Popen(
        argv, env=launch.env, cwd=launch.cwd, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=out, stderr=err,
    )  # fmt: skip
    process.returncode = 0  # as far as it is concerned: we wait for the child ourselves
    _make_expendable(process.pid)
    return process.pid


def fork(launch: Launch, out: int, err: int, note: int) -> int:
    parent = os.getpid()
    # Until the child has put back the default handlers it must not take a signal in our place.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OUR_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _child(launch, parent, out, err, note)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _make_expendable(pid)
    return pid

"""Linux's part of it: who descends from us, and how to be sure that none of them is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LAST_DESCRIPTOR = 2**32 - 1
END_SECONDS = 5.0  # for descendants to be gone after SIGKILL; only the unkillable need longer

# Loaded once, here: a forked child must not start to look for libraries.
_libc = ctypes.CDLL(None)
_prctl = getattr(_libc, "prctl", None)
_close_range = getattr(_libc, "close_range", None)


def prctl(option: int, value: int) -> bool:
    return _prctl is not None and _prctl(option, value, 0, 0, 0) == 0


def become_subreaper() -> None:
    """From now on orphaned descendants become our children, however they daemonised."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """In a child: be killed when its parent dies, also if that has died already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def open_files() -> dict[int, tuple[int, int]]:
    """Our descriptors but the standard three, and what each stands for."""
    found = {}
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the one that the listing itself was read from
            if fd > 2:
                found[fd] = _identity(fd)
    return found


def still_open(files: dict[int, tuple[int, int]]) -> list[int]:
    """Those of them whose number is not another's by now."""
    found = []
    for fd, identity in files.items():
        with contextlib.suppress(OSError):
            if _identity(fd) == identity:
                found.append(fd)
    return found


def _identity(fd: int) -> tuple[int, int]:
    stat = os.fstat(fd)
    return stat.st_dev, stat.st_ino


def close_all_but(keep: Iterable[int]) -> None:
    """In a child: close every descriptor but the standard three and these."""
    kept = sorted({fd for fd in keep if fd > 2})
    if _close_range is not None:
        edges = [2, *kept, LAST_DESCRIPTOR + 1]
        gaps = [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]
        if all(_close_range(ctypes.c_uint(low), ctypes.c_uint(high), 0) == 0 for low, high in gaps):
            return
    for name in os.listdir("/proc/self/fd"):  # before Linux 5.9 and glibc 2.34
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):
                os.close(int(name))


def parents() -> dict[int, int]:
    """Each process of this machine and its parent."""
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The program's name stands in brackets and may itself hold brackets and blanks.
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
    return found


def descendants() -> list[int]:
    """Everything below this process, children first."""
    below: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        below.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = [os.getpid()]
    while level:
        level = [child for pid in level for child in below.get(pid, ())]
        found += level
    return found


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def kill_group(pid: int, number: int) -> None:
    """Signal a child of ours and its process group; the child may not lead one yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return
    kill(pid, number)


def kill_descendants() -> None:
    for pid in descendants():
        kill(pid, signal.SIGKILL)


@dataclass
class Usage:
    cpu_seconds: float = 0.0
    max_rss_kb: int = 0

    def add(self, rusage: os.struct_rusage_type) -> None:  # type: ignore[name-defined]
        self.cpu_seconds += rusage.ru_utime + rusage.ru_stime
        self.max_rss_kb = max(self.max_rss_kb, rusage.ru_maxrss)


def has_ended(pid: int, usage: Usage) -> bool:
    """Whether this child has ended. It stays unreaped, so that its number, which is also its
    group's, cannot be taken by another; orphans that ended meanwhile are reaped."""
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None or ended.si_pid == pid:
            return ended is not None
        usage.add(os.wait4(ended.si_pid, 0)[2])


def end_descendants(usage: Usage) -> bool:
    """Kill and reap everything below us. False if something cannot be killed (another user's)."""
    give_up_at = time.monotonic() + END_SECONDS
    while True:
        try:
            pid, _, rusage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid:
            usage.add(rusage)
            continue
        if time.monotonic() > give_up_at:
            return False
        kill_descendants()
        time.sleep(0.003)

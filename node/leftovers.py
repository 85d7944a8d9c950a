"""No process of ours left behind: sweeping up what did not die with its parent."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def living_in(folder: Path) -> list[int]:
    """Processes that work inside, or were told of a place there: jobs and what they started."""
    inside = os.fsencode(folder) + b"/"
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                with open(f"/proc/{entry.name}/environ", "rb") as file:
                    environ = file.read()
                cwd = os.fsencode(os.readlink(f"/proc/{entry.name}/cwd")) + b"/"
            except OSError:
                continue  # gone meanwhile, or somebody else's
            if cwd.startswith(inside) or b"=" + inside in environ:
                found.append(int(entry.name))
    return found


def sweep(folder: Path) -> None:
    """Kill everything that lives in the folder, until nothing does."""
    deadline = time.monotonic() + 5
    while (pids := living_in(folder)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.02)


def wait_for_end(pid: int) -> None:
    try:
        poller = select.poll()
        poller.register(os.pidfd_open(pid), select.POLLIN)
        poller.poll()
    except OSError:  # no pidfd in this kernel, or gone already
        while os.getppid() == pid:
            time.sleep(0.5)

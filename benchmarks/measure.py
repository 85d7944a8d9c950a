"""What the benchmarks share: a quiet machine, the time of processes, medians, tables."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psutil

BUSY_PERCENT = 20.0  # of one core, taken by others: above it nothing is reported
LOOK_SECONDS = 1.0


def parser(description: str | None) -> argparse.ArgumentParser:
    """With the options that every program here takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    made.add_argument("--runs", type=int, default=5, help="the median of them is shown")
    made.add_argument("--json", action="store_true")
    made.add_argument("--anyway", action="store_true", help="although the machine is busy")
    return made


def quiet(options: argparse.Namespace) -> None:
    """Wait a moment for the machine to be idle; leave where it is not."""
    if options.anyway:
        return
    for _ in range(10):
        busy = psutil.cpu_percent(LOOK_SECONDS) * (os.cpu_count() or 1)
        if busy < BUSY_PERCENT:
            return
    raise SystemExit(
        f"the machine is busy with something else ({busy:.0f} % of a core): nothing was measured"
    )


def cpu_seconds(pid: int) -> float:
    """Of the process and everything below it, those that ended and were waited for included."""
    total = 0.0
    with_children = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in with_children:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pid: int) -> float:
    """Proportional set size where it can be read: what is shared is counted once."""
    total = 0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 1e6


class Meter:
    """CPU seconds that named processes used since it was made."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = dict(pids)
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def used(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) - self.before[name] for name, pid in self.pids.items()}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def emit(options: argparse.Namespace, found: Any, table: Callable[[Any], Iterable[str]]) -> None:
    """The result as JSON or as a table in Markdown."""
    if options.anyway:
        print("measured anyway, on a machine that may have been busy", file=sys.stderr)
    if options.json:
        json.dump(found, sys.stdout)
        print()
    else:
        print(*table(found), sep="\n")


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def header(*cells: str) -> list[str]:
    return [row(*cells), "|" + "---|" * len(cells)]

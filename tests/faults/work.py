"""What the fault tests do to jobs, nodes and processes."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.utils import timezone

from cluster import nodes
from cluster.models import Node
from jobs.models import FINAL_STATES, Attempt, Job, Output
from node import process
from tests import factories
from tests.live.fleet import Fleet, wait_for

LEDGER_LINE = "echo $DISPYCLUSTER_JOB >> {ledger}"


def make_job(**body: Any) -> Job:
    return factories.make_job(timezone.now(), **body)


def ledger_job(ledger: Path, then: str, **body: Any) -> Job:
    """A command that first writes its line into the ledger."""
    return make_job(command=f"{LEDGER_LINE.format(ledger=ledger)}; {then}", **body)


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().split() if ledger.exists() else []


def is_final(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, state__in=FINAL_STATES).exists()


def ended(job: Job, seconds: float = 20) -> Job:
    wait_for(lambda: is_final(job), seconds, f"end of job {job.pk}")
    job.refresh_from_db()
    return job


def outcomes(job: Job) -> list[str | None]:
    return list(job.attempts.order_by("number").values_list("outcome", flat=True))


def text(job: Job, stream: str = "stdout") -> bytes:
    rows = Output.objects.filter(attempt__job=job, stream=stream).order_by("attempt", "offset")
    return b"".join(bytes(row.data) for row in rows)


def online(address: str) -> bool:
    return Node.objects.filter(address=address, online=True).exists()


def drain_all_but(address: str) -> None:
    nodes.resume(Node.objects.filter(address=address))
    nodes.drain(Node.objects.exclude(address=address))


def resume_all() -> None:
    nodes.resume(Node.objects.all())


def runs_on(job: Job, address: str) -> bool:
    found = Attempt.objects.filter(job=job, finished_at=None, started_at__isnull=False)
    return found.filter(node__address=address).exists()


def family(pid: int) -> list[int]:
    """A process and all its descendants, members with sessions of their own included."""
    parents = process.parents()
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def signal_family(fleet: Fleet, name: str, number: int) -> None:
    for pid in family(fleet.processes[name].pid):
        process.kill(pid, number)


def freeze(fleet: Fleet, name: str) -> None:
    signal_family(fleet, name, signal.SIGSTOP)


def thaw(fleet: Fleet, name: str) -> None:
    signal_family(fleet, name, signal.SIGCONT)


def marked(mark: str) -> list[int]:
    """Processes with this word in their command line: nothing of a job escapes this look."""
    return [pid for pid, line in command_lines() if mark.encode() in line and pid != os.getpid()]


def command_lines() -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_bytes()
        except OSError:
            continue  # it ended meanwhile


def memory_kb(pid: int, what: str = "VmRSS") -> int:
    """Resident now, or at its highest (VmHWM); 0 once it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1])
    return 0

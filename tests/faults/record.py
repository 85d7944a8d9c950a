"""The verdict on a fault: the invariants, read from the rows and the ledger."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db import connection

from jobs.models import FINAL_STATES, Attempt, Event, Job, Outcome

CONCLUDED = [Outcome.SUCCEEDED, Outcome.CANCELLED]


def verdict(
    fault: str,
    jobs: Iterable[Job],
    ledger: Path | None = None,
    recover_seconds: float | None = None,
    bound: float | None = None,
    final: bool = True,
    **extra: Any,
) -> dict[str, Any]:
    """Note what became of these jobs, for the table, and insist on 0 lost, 0 twice, 0 double.

    `ledger`: a file with a job's number per execution. `bound`: most seconds to recover.
    `final`: every job must have reached a final state.
    """
    wanted = [job.pk for job in jobs]
    line = {
        "fault": fault,
        "database": connection.vendor,
        "jobs": len(wanted),
        "lost": len(lost(wanted, final)),
        "twice": len(recorded_twice(wanted)),
        "double_runs_fail": len(double_runs(wanted, ledger)),
        "recover_seconds": recover_seconds,
        **extra,
    }
    note(line)
    assert not (found := lost(wanted, final)), f"lost, or without an end: {found}"
    assert not (found := recorded_twice(wanted)), f"recorded twice: {found}"
    assert not (found := double_runs(wanted, ledger)), f"ran twice with on_lost=fail: {found}"
    if bound is not None:
        assert recover_seconds is not None
        assert recover_seconds <= bound, f"{recover_seconds:.1f} s to recover, not {bound:g}"
    return line


def note(line: dict[str, Any]) -> None:
    """Append to the record of a series of runs, if one is kept."""
    if path := os.environ.get("DISPYCLUSTER_FAULTS_RECORD"):
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")


def lost(wanted: list[int], final: bool) -> list[int]:
    """Jobs that are gone, have no end, or contradict their attempts."""
    rows = dict(Job.objects.filter(pk__in=wanted).values_list("pk", "state"))
    open_by_job = Counter(
        Attempt.objects.filter(job__in=wanted, finished_at=None).values_list("job", flat=True)
    )
    bad = []
    for pk in wanted:
        state = rows.get(pk)
        ended = state in FINAL_STATES
        if state is None or (final and not ended) or open_by_job[pk] != (state == "running"):
            bad.append(pk)
    return bad


def recorded_twice(wanted: list[int]) -> list[int]:
    """Jobs with an attempt closed twice in its history, or two results, or holes in the numbers."""
    numbers: dict[int, list[int]] = {pk: [] for pk in wanted}
    rows = Attempt.objects.filter(job__in=wanted).order_by("id").values_list("job", "number")
    for job, number in rows:
        numbers[job].append(number)
    results = Counter(
        Attempt.objects.filter(job__in=wanted, outcome__in=CONCLUDED).values_list("job", flat=True)
    )
    requeued = Counter(
        Event.objects.filter(job__in=wanted, why="requeued").values_list("job", flat=True)
    )
    moved = Event.objects.filter(job__in=wanted, attempt__isnull=False).exclude(state="")
    closings = moved.exclude(state="running")
    closed = Counter(closings.values_list("job", "attempt"))
    twice = {job for (job, _), times in closed.items() if times > 1}
    for pk, found in numbers.items():
        if found != list(range(1, len(found) + 1)) or results[pk] > 1 + requeued[pk]:
            twice.add(pk)
    return sorted(twice)


def double_runs(wanted: list[int], ledger: Path | None) -> list[int]:
    """Jobs of one attempt with on_lost=fail that ran more than once by the ledger."""
    if ledger is None or not ledger.exists():
        return []
    runs = Counter(ledger.read_text().split())
    careful = Job.objects.filter(pk__in=wanted, on_lost="fail", max_attempts=1)
    careful_ids = set(careful.values_list("pk", flat=True))
    return sorted(pk for pk in careful_ids if runs[str(pk)] > 1)

"""What must hold of all jobs after a soak, read from the rows and the ledger."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from cluster.models import Node
from jobs.models import Attempt, Event, Job, Outcome
from jobs.retry import MOST_LOSSES
from tests.faults.record import lost, recorded_twice

CHUNK = 1000  # jobs asked about in one query


@dataclass
class Findings:
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    jobs: set[int] = field(default_factory=set)  # those that it is about

    def found(self, job: int, words: str) -> None:
        self.violations.append(f"job {job}: {words}")
        self.jobs.add(job)


def check(accepted: int, ledger: Path) -> Findings:
    """Every invariant, over all jobs there are."""
    found = Findings()
    wanted = list(Job.objects.order_by("pk").values_list("pk", flat=True))
    if len(wanted) != accepted:
        found.violations.append(f"{accepted} jobs were accepted, {len(wanted)} are there")
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        for job in lost(chunk, final=True):
            found.counts["lost"] += 1
            found.found(job, "lost, or without an end, or at odds with its attempts")
        for job in recorded_twice(chunk):
            found.counts["twice"] += 1
            found.found(job, "recorded twice, or holes in the numbers of its attempts")
    check_runs(found, ledger)
    check_ends(found)
    for node in Node.objects.filter(online=False):
        found.violations.append(f"node {node.name} is not online: {node.trouble}")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA integrity_check")
            if (answer := cursor.fetchone()[0]) != "ok":
                found.violations.append(f"the database is damaged: {answer}")
    return found


def runs(ledger: Path) -> Counter[tuple[int, int]]:
    """How often each attempt ran: (job, number)."""
    pairs = (line.split("/") for line in ledger.read_text().split())
    return Counter((int(job), int(number)) for job, number in pairs)


def requeues() -> Counter[int]:
    return Counter(Event.objects.filter(why="requeued").values_list("job", flat=True))


def check_runs(found: Findings, ledger: Path) -> None:
    """By the ledger: once for each attempt; careful jobs once for each time a person asked."""
    by_attempt, asked, by_job = runs(ledger), requeues(), Counter[int]()
    for (job, number), times in by_attempt.items():
        by_job[job] += times
        if times > 1:
            found.counts["attempts that ran twice"] += 1
            found.found(job, f"attempt {number} ran {times} times")
    careful = Job.objects.filter(on_lost="fail", max_attempts=1)
    for job in careful.values_list("pk", flat=True):
        if by_job[job] > 1 + asked[job]:
            found.counts["double"] += 1
            found.found(job, f"ran {by_job[job]} times with on_lost=fail, asked {1 + asked[job]}")
    succeeded = Attempt.objects.filter(outcome=Outcome.SUCCEEDED).values_list("job", "number")
    for pair in succeeded:
        if not by_attempt[pair]:
            found.found(pair[0], f"attempt {pair[1]} succeeded, of which the ledger knows nothing")
    found.counts["executions"] = sum(by_attempt.values())


def check_ends(found: Findings) -> None:
    """Each end has its reason: an own result, a failure that was meant, a wish to cancel."""
    wished = Event.objects.filter(why__in=["cancel asked for", "before it started"])
    wish = set(wished.values_list("job", flat=True))
    last: dict[int, Any] = {}
    attempts = Attempt.objects.order_by("job", "number")
    for job, outcome, code in attempts.values_list("job", "outcome", "exit_code"):
        last[job] = outcome, code
    rows = Job.objects.values_list("pk", "name", "state", "on_lost", "losses", "result", "error")
    for pk, name, state, on_lost, losses, result, error in rows:
        found.counts[state] += 1
        outcome, code = last.get(pk, (None, None))
        if state == "succeeded" and (result is None or json.loads(result) != pk):
            found.found(pk, f"succeeded with the result {result!r}")
        elif state == "cancelled" and pk not in wish:
            found.found(pk, f"cancelled, and nobody asked for it: {error}")
        elif state == "failed":
            if outcome == Outcome.LOST and on_lost == "fail":
                found.counts["lost as asked"] += 1
            elif outcome == Outcome.LOST and losses >= MOST_LOSSES:
                found.counts["lost too often"] += 1
            elif not (name == "fails" and code == 3):
                found.found(pk, f"failed, which it was not to: {error}")


def explain(jobs: set[int], ledger: Path, most: int = 5) -> Iterator[str]:
    """All that the rows and the ledger know of them."""
    known: dict[int, list[str]] = defaultdict(list)
    for line in ledger.read_text().split():
        known[int(line.split("/")[0])].append(line)
    for job in Job.objects.filter(pk__in=sorted(jobs)[:most]).values():
        yield f"\njob {job['id']}: {job}"
        for row in Attempt.objects.filter(job=job["id"]).order_by("number").values():
            yield f"  attempt {row}"
        for at, state, number, who, why in Event.objects.filter(job=job["id"]).values_list(
            "at", "state", "attempt", "who", "why"
        ):
            yield f"  event {at} {state or '-'} attempt {number} by {who}: {why}"
        yield f"  ledger {known[job['id']]}"

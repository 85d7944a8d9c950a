"""Running totals of attempts and jobs since the first start: each is counted once, none is sought.

Attempts get their numbers from one dispatcher, in order. So whatever is newer than the last one
looked at is new, and of those before it only the few that were still open can have ended since.
Rates, shares and the histograms of /metrics are differences of these numbers.
"""

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import connection
from django.db.models import Max

from jobs.models import FINAL_STATES, Attempt, Outcome
from jobs.rows import select
from monitoring.looks import FRESH
from monitoring.models import Sample, Totals

AT_ONCE = 50_000  # attempts; the rest comes with the next step
DAY, NEAR = timedelta(days=1), timedelta(minutes=15)
WAITS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
RUNS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
# Upper bounds in seconds.

COLUMNS = """SELECT attempt.id, attempt.node_id, attempt.number, attempt.outcome,
    attempt.claimed_at, attempt.run_seconds, job.tried, job.state, job.run_at
    FROM jobs_attempt AS attempt JOIN jobs_job AS job ON job.id = attempt.job_id"""
NEW = f"{COLUMNS} WHERE attempt.id > %s ORDER BY attempt.id LIMIT {AT_ONCE}"
ENDED = f"{COLUMNS} WHERE attempt.finished_at IS NOT NULL AND attempt.id "
AMONG = {"postgresql": "= ANY(%s)", "sqlite": "IN (SELECT value FROM json_each(%s))"}


@dataclass(frozen=True)
class Row:
    """An attempt and how its job stands now."""

    id: int
    node: int
    number: int
    outcome: str | None
    claimed_at: datetime
    run_seconds: float | None
    tried: int
    state: str
    run_at: datetime

    @property
    def wait_seconds(self) -> float | None:
        """Until it was given to a node. Once its job is queued again nobody knows any more."""
        if self.number != self.tried or self.state == "queued":
            return None
        return max(0.0, (self.claimed_at - self.run_at).total_seconds())


@dataclass
class Step:
    """What is to be added."""

    cluster: Counter[str] = field(default_factory=Counter)
    nodes: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    waits: list[float] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)


def follow(now: datetime) -> dict[str, Any]:
    """Count what is new, within the caller's transaction. Returns the totals."""
    row = Totals.objects.filter(pk=Totals.ONLY).first()
    if row is None:
        return begin(now)
    new = read(NEW, [row.attempt])
    before = ended(row.still_open)
    if not new and not before:
        Totals.objects.filter(pk=row.pk).update(moved_at=now)
        return dict(row.values)
    counted = {attempt.id for attempt in before}
    still_open = [pk for pk in known(row.still_open) if pk not in counted] if row.still_open else []
    still_open += [attempt.id for attempt in new if attempt.outcome is None]
    values = added(row.values, step(new, before))
    mine = Totals.objects.filter(pk=row.pk, attempt=row.attempt, moved_at=row.moved_at)
    mine.update(
        attempt=new[-1].id if new else row.attempt, still_open=still_open, values=values,
        moved_at=now,
    )  # fmt: skip
    return values


def begin(now: datetime) -> dict[str, Any]:
    """Count from here on; what is open now is counted when it ends."""
    still_open = list(Attempt.objects.filter(finished_at=None).values_list("pk", flat=True))
    newest = Attempt.objects.aggregate(newest=Max("pk"))["newest"] or 0
    values = added({}, Step())
    Totals.objects.create(
        pk=Totals.ONLY, attempt=newest, still_open=still_open, values=values, moved_at=now
    )
    return values


def ended(still_open: Sequence[int]) -> list[Row]:
    """Those of them that have ended."""
    if not still_open:
        return []
    postgres = connection.vendor == "postgresql"
    sql = ENDED + AMONG[connection.vendor]
    return read(sql, [list(still_open) if postgres else json.dumps(list(still_open))])


def known(still_open: Sequence[int]) -> list[int]:
    """Without those that were deleted meanwhile: they would stay for ever."""
    if len(still_open) > 1000:
        return list(still_open)
    found = Attempt.objects.filter(pk__in=still_open)
    return sorted(found.values_list("pk", flat=True))


def read(sql: str, values: list[Any]) -> list[Row]:
    return [Row(*row) for row in select(sql, values)]


def step(new: Iterable[Row], before: Iterable[Row]) -> Step:
    found = Step()
    for row in new:
        wait = row.wait_seconds
        if wait is not None:
            found.waits.append(wait)
        if row.outcome is not None:
            count(row, found)
    for row in before:
        count(row, found)
    return found


def count(row: Row, found: Step) -> None:
    """An attempt that has ended, and its job where that ended with it."""
    for counter in (found.cluster, found.nodes[row.node]):
        counter[f"attempts_{row.outcome}_total"] += 1
        if row.run_seconds is not None:
            counter["runs_total"] += 1
            counter["run_seconds_total"] += row.run_seconds  # type: ignore[assignment]
    if row.run_seconds is not None:
        found.runs.append(row.run_seconds)
    if row.number == row.tried and row.state in FINAL_STATES:
        found.cluster[f"jobs_{row.state}_total"] += 1


@dataclass(frozen=True)
class Ended:
    """How a node's attempts ended between two looks of the monitor; without those of none."""

    since: datetime | None  # None: it was not up at any look, and there is nothing to count from
    until: datetime
    by_outcome: dict[str, int]


def ended_on(node: int, now: datetime) -> Ended | None:
    """Those of the last day: the totals now less those of the node's sample from then.

    Of a node that was not up then, from its first sample after it. None: nobody watches.
    """
    fresh = Totals.objects.filter(pk=Totals.ONLY, moved_at__gt=now - FRESH)
    row = fresh.only("moved_at", "values").first()
    samples, day = Sample.objects.filter(node=node), now - DAY
    then = samples.filter(seconds=60, at__lte=day, at__gt=day - NEAR).order_by("-at").first()
    then = then or samples.filter(seconds=10, at__gt=day).order_by("at").first()
    if row is None:
        return None
    if then is None:
        return Ended(None, row.moved_at, {})
    present = row.values.get("nodes", {}).get(str(node), {})
    names = {outcome.value: f"attempts_{outcome.value}_total" for outcome in Outcome}
    grown = {
        outcome: int(present.get(name, 0) - then.values.get(name, 0))
        for outcome, name in names.items()
    }
    by_outcome = {outcome: count for outcome, count in grown.items() if count > 0}
    return Ended(then.at, row.moved_at, by_outcome)


def added(values: dict[str, Any], found: Step) -> dict[str, Any]:
    """The totals with one step more. They only ever grow."""
    cluster = Counter(dict.fromkeys(CLUSTER_NAMES, 0))
    cluster.update(values.get("cluster", {}))
    cluster.update(found.cluster)
    cluster["waits_total"] += len(found.waits)
    cluster["wait_seconds_total"] += sum(found.waits)  # type: ignore[assignment]
    for name, bounds, seen in (("wait", WAITS, found.waits), ("run", RUNS, found.runs)):
        for bound, more in zip(bounds, at_most(bounds, seen), strict=True):
            cluster[f"{name}_le_{bound:g}_total"] += more
    nodes = {pk: Counter(counts) for pk, counts in values.get("nodes", {}).items()}
    for node, counter in found.nodes.items():
        nodes.setdefault(str(node), Counter()).update(counter)
    return {"cluster": tidy(cluster), "nodes": {pk: tidy(c) for pk, c in nodes.items()}}


def at_most(bounds: Sequence[float], seen: Iterable[float]) -> list[int]:
    """How many are not above each bound."""
    places = Counter(bisect_left(bounds, value) for value in seen)
    return list(accumulate(places[place] for place in range(len(bounds))))


def tidy(counter: Counter[str]) -> dict[str, float]:
    return {name: round(value, 3) if value % 1 else int(value) for name, value in counter.items()}


CLUSTER_NAMES = [
    *(f"jobs_{state.value}_total" for state in FINAL_STATES),
    *(f"attempts_{outcome}_total" for outcome in Outcome.values),
    "runs_total", "run_seconds_total", "waits_total", "wait_seconds_total",
]  # fmt: skip

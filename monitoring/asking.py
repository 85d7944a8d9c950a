"""What a snapshot asks the database: each in one statement, by an index, never by a scan."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Count, Q

from cluster import placement
from cluster.placement import NodeView
from cluster.words import stored
from jobs import counts, reasons
from jobs.claim import READY
from jobs.models import Attempt, Job, Need, Outcome, State
from jobs.rows import marks, moment, select, when
from monitoring.models import Delivery, Totals

COUNTED = 10_000  # ready jobs counted one by one; beyond, from what is kept
LOOKED_AT = 1000  # queued jobs, for the first that could start
FAILURES = 500  # newest failed jobs whose kind is looked up
SUBMITTED_MINUTES = (1, 5, 15)
ENDED_MINUTES = (1, 5, 15, 60)
HOUR, DAY = 3600, 86400
LOST_WITHIN = timedelta(minutes=10)
BACK = {60: 10, 300: 10, 600: 10, 900: 10, 6 * HOUR: 60, HOUR: 10, DAY: 60, DAY + HOUR: 60}
# Seconds back -> resolution of the sample from then.
TOLERANCE = 3  # of its resolution: an older sample is not from then


@dataclass(frozen=True)
class Queue:
    ready: int
    oldest_wait_seconds: float | None
    last_job: int


QUEUE = f"""SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs_job WHERE {READY} LIMIT %s) AS them),
    (SELECT max(id) FROM jobs_job)"""  # noqa: S608


def queue(now: datetime, by_state: Mapping[str, int]) -> Queue:
    """Ready jobs exactly up to COUNTED; beyond, all that are queued but for those for later."""
    [(ready, last)] = select(QUEUE, [moment(now), COUNTED + 1])
    if ready > COUNTED:
        ready = max(ready, by_state[State.QUEUED] - counts.scheduled(now))
    due = Job.objects.filter(state=State.QUEUED, run_at__lte=now).order_by("run_at")
    first = due.values_list("run_at", "held", "waits")[:LOOKED_AT] if ready else ()
    oldest = next((at for at, held, waits in first if not held and not waits), None)
    wait = None if oldest is None else (now - oldest).total_seconds()
    return Queue(int(ready), wait, last or 0)


def ended(now: datetime) -> dict[int, dict[str, int]]:
    """Minutes -> final state -> jobs that ended within them. Each entry is read once."""
    edges = [now, *(now - timedelta(minutes=minutes) for minutes in ENDED_MINUTES)]
    spans = [(since, end) for end, since in pairwise(edges)]
    found, so_far = {}, Counter[str]()
    for minutes, more in zip(ENDED_MINUTES, counts.ended(spans), strict=True):
        so_far.update(more)
        found[minutes] = dict(so_far)
    return found


FAILED = f"""SELECT attempt.outcome, attempt.error_type, count(*) FROM (
    SELECT id, tried FROM jobs_job WHERE state = 'failed' AND finished_at > %s
    ORDER BY finished_at DESC LIMIT {FAILURES}) AS job
    JOIN jobs_attempt AS attempt ON attempt.job_id = job.id AND attempt.number = job.tried
    GROUP BY 1, 2"""  # noqa: S608


def failures(now: datetime) -> dict[str, int]:
    """Kind -> jobs that failed so in the last hour: of the newest, most frequent first."""
    found: dict[str, int] = {}
    for outcome, error_type, count in select(FAILED, [moment(now - timedelta(hours=1))]):
        kind = error_type if outcome == Outcome.FAILED and error_type else outcome
        found[kind] = found.get(kind, 0) + count
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def lost_on(now: datetime) -> dict[int, int]:
    rows = Attempt.objects.filter(outcome=Outcome.LOST, finished_at__gt=now - LOST_WITHIN)
    return dict(rows.order_by().values_list("node").annotate(Count("id")))


def stuck(views: Sequence[NodeView], now: datetime) -> dict[str, Any] | None:
    """Ready jobs whose need no known node can ever meet; without any node they only wait."""
    if not views:
        return None
    needs = {row.pk: placement.need_of(row.body) for row in Need.objects.all()}
    unmet = [pk for pk, need in needs.items()
             if all(placement.never(need, view) for view in views)]  # fmt: skip
    if not unmet:
        return None
    sql = (
        f"SELECT need_id, id, run_at FROM jobs_job WHERE {READY}"  # noqa: S608
        f" AND need_id IN ({marks(unmet)}) LIMIT {COUNTED}"
    )
    rows = select(sql, [moment(now), *unmet])
    if not rows:
        return None
    need, job, since = min(rows, key=lambda row: (str(row[2]), row[1]))
    return {
        "jobs": len(rows),
        "job": job,
        "why": reasons.told(views, needs[need], placement.never),
        "reasons": [{"node": view.name, "why": stored(words)} for view in views[:3]
                    if (words := placement.never(needs[need], view))],
        "since": when(since).isoformat(timespec="seconds"),
    }  # fmt: skip


def undelivered(now: datetime) -> int:
    """Notices given up in the last hour."""
    given_up = Delivery.objects.filter(
        ~Q(kind=Delivery.Kind.TEST), state=Delivery.State.FAILED,
        created_at__gt=now - timedelta(hours=2), due_at__gt=now - timedelta(hours=1),
    )  # fmt: skip
    return given_up.order_by().count()


def database_bytes() -> int:
    if connection.vendor == "postgresql":
        return int(select("SELECT pg_database_size(current_database())")[0][0])
    sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    return int(select(sql)[0][0])


def free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


# What was


@dataclass(frozen=True)
class Past:
    """Samples of the cluster from earlier: seconds back -> (moment, values)."""

    found: Mapping[int, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)

    def value(self, name: str, seconds: int) -> float | None:
        at_values = self.found.get(seconds)
        return at_values[1].get(name) if at_values else None

    def whole(self, name: str, seconds: int) -> int | None:
        value = self.value(name, seconds)
        return None if value is None else int(value)

    def grown(self, name: str, seconds: int, now: float) -> int | None:
        """By how much since then."""
        then = self.value(name, seconds)
        return None if then is None else max(0, int(now - then))

    def growth(self, name: str, value: float | None, now: datetime) -> float | None:
        """A day's, measured over the last day, or over six hours of a younger cluster."""
        for seconds in (DAY, 6 * HOUR):
            then = self.value(name, seconds)
            if value is not None and then is not None:
                since = (now - self.found[seconds][0]).total_seconds()
                return (value - then) * DAY / since
        return None


THEN = """SELECT * FROM (SELECT {}, at, "values" FROM monitoring_sample WHERE node_id IS NULL
    AND seconds = %s AND at > %s AND at <= %s ORDER BY at DESC LIMIT 1) AS then{}"""


def past(now: datetime) -> Past:
    """The samples from then, where there are any: one statement.

    Written out: with their numbers looked up in it, SQLite reads all samples there are.
    """
    values = list[Any]()
    for seconds, resolution in BACK.items():
        end = now - timedelta(seconds=seconds)
        start = end - timedelta(seconds=TOLERANCE * resolution)
        values += [resolution, moment(start), moment(end)]
    sql = " UNION ALL ".join(THEN.format(seconds, seconds) for seconds in BACK)
    return Past({int(s): (when(at), json.loads(text)) for s, at, text in select(sql, values)})


@dataclass
class Kept:
    """A count that costs much and changes little."""

    value: tuple[int, int] = (0, 0)
    key: Any = None
    until: float = 0.0


kept_day = Kept()
KEPT_SECONDS = 600.0


def ended_day_before(now: datetime, past: Past) -> tuple[int, int]:
    """Succeeded and failed jobs of the 24 hours before the last one.

    From the samples' running totals; in a monitor's first day counted, now and then.
    """
    names = ("jobs_succeeded_total", "jobs_failed_total")
    before = [past.value(name, DAY + HOUR) for name in names]
    after = [past.value(name, HOUR) for name in names]
    if None not in before and None not in after:
        good, bad = (int(b - a) for a, b in zip(before, after, strict=True))  # type: ignore[operator]
        return good, bad
    key = connection.settings_dict["NAME"], now.date()
    if kept_day.key != key or kept_day.until < time.monotonic():
        start, end = now - timedelta(hours=25), now - timedelta(hours=1)
        [ended] = counts.ended([(start, end)])
        good, bad = ended[State.SUCCEEDED], ended[State.FAILED]
        kept_day.value, kept_day.key = (good, bad), key
        kept_day.until = time.monotonic() + KEPT_SECONDS
    return kept_day.value


@dataclass(frozen=True)
class Sums:
    at: datetime | None = None  # when they were last brought up to date
    cluster: dict[str, float] = field(default_factory=dict)
    nodes: dict[int, dict[str, float]] = field(default_factory=dict)


def totals() -> Sums:
    """Running totals since the first start, as the monitor last wrote them."""
    row = Totals.objects.filter(pk=Totals.ONLY).values_list("moved_at", "values").first()
    if row is None:
        return Sums()
    nodes = {int(pk): found for pk, found in row[1].get("nodes", {}).items()}
    return Sums(row[0], row[1].get("cluster", {}), nodes)

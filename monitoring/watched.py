"""What the alert rules look at beyond the nodes' rows: read in a fixed number of statements."""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q

from cluster import placement
from cluster.placement import Need, NodeView
from jobs.models import Attempt, Job, Lease, Outcome, State
from jobs.models import Need as NeedRow
from jobs.rows import select
from monitoring.looks import FALL
from monitoring.models import Delivery, Sample

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUEUE_BACK = timedelta(minutes=10)  # the queue is compared with how it was then
LOSSES = timedelta(minutes=10)
NAMED = 3  # nodes that a stuck job's reason names
MOST_NEEDS = 500


@dataclass(frozen=True)
class Beat:
    """The dispatcher's lease."""

    at: datetime | None = None
    since: datetime | None = None
    note: str = ""


def beat() -> Beat:
    lease = Lease.objects.filter(name="dispatcher").first()
    return Beat(lease.renewed_at, lease.taken_at, lease.note) if lease else Beat()


def lost(now: datetime) -> Counter[int]:
    """Node -> attempts lost there lately."""
    rows = Attempt.objects.filter(outcome=Outcome.LOST, finished_at__gt=now - LOSSES)
    return Counter(dict(rows.order_by().values_list("node").annotate(Count("id"))))


def ended(since: datetime, until: datetime) -> tuple[int, int]:
    """Jobs that succeeded and that failed within."""
    within = Q(finished_at__gt=since, finished_at__lte=until)
    jobs = Job.objects.order_by()
    found = [jobs.filter(within, state=state).count() for state in (State.SUCCEEDED, State.FAILED)]
    return found[0], found[1]


def ended_lately(now: datetime) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of the last hour; and of the day before, where that is worth the counting."""
    good, bad = ended(now - HOUR, now)
    if 100 * bad < FALL * (good + bad) or not bad:
        return (good, bad), (0, 0)
    return (good, bad), ended(now - HOUR - DAY, now - HOUR)


def stuck(views: Sequence[NodeView], now: datetime) -> dict[str, Any] | None:
    """Ready jobs that no known node can take even when it is up and idle; None: there are none."""
    needs = {row.pk: placement.need_of(row.body) for row in NeedRow.objects.all()}
    unmet = [pk for pk, need in needs.items() if not any_can(need, views)][:MOST_NEEDS]
    if not unmet:
        return None
    ready = Job.objects.ready(now).filter(need__in=unmet).order_by()
    found = list(ready.values_list("need").annotate(Count("id"), Min("id")))
    if not found:
        return None
    need, _count, job = min(found, key=lambda row: row[2])
    return {
        "jobs": sum(count for _need, count, _job in found),
        "job": job,
        "why": why(needs[need], views),
    }


def any_can(need: Need, views: Sequence[NodeView]) -> bool:
    return any(placement.never(need, view) is None for view in views)


def why(need: Need, views: Sequence[NodeView]) -> list[dict[str, Any]]:
    """Node by node, as words that are said in any language later."""
    found = [(view.name, placement.never(need, view)) for view in views[:NAMED]]
    return [{"node": name, "text": w.text, "values": w.values} for name, w in found if w]


def database_bytes() -> int | None:
    if connection.vendor == "postgresql":
        return int(select("SELECT pg_database_size(current_database())")[0][0])
    pages, size = select("PRAGMA page_count")[0][0], select("PRAGMA page_size")[0][0]
    return int(pages * size)


def home_free() -> int | None:
    try:
        return shutil.disk_usage(settings.HOME).free
    except OSError:
        return None


def undelivered(now: datetime) -> int:
    failed = Delivery.objects.filter(state=Delivery.State.FAILED, created_at__gt=now - HOUR)
    return failed.order_by().count()


def sample_at(moment: datetime, within: timedelta) -> tuple[datetime, Mapping[str, Any]] | None:
    """What the cluster was about then: the last sample before."""
    rows = Sample.objects.filter(node=None, at__lte=moment, at__gt=moment - within)
    return rows.order_by("-at").values_list("at", "values").first()


def queue_before(now: datetime, name: str) -> int | None:
    found = sample_at(now - QUEUE_BACK, timedelta(minutes=2))
    return found[1].get(name) if found else None


def growth(now: datetime, size: int | None, name: str) -> float | None:
    """Bytes a day, against a day ago; None where there is no sample of then."""
    found = sample_at(now - DAY, timedelta(hours=1))
    before = found[1].get(name) if found else None
    if found is None or before is None or size is None:
        return None
    days = (now - found[0]) / DAY
    return (size - before) / days

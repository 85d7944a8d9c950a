"""Jobs that wait for other jobs."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce

from jobs import events
from jobs.models import FINAL_STATES, Dependency, Job, State
from jobs.rows import select

Kind = Dependency.Kind
ALSO_FINAL = {str(state) for state in FINAL_STATES}


class UnknownJob(ValueError):
    """A job to wait for does not exist."""


def add(job: Job, after: Mapping[int, str], now: datetime) -> None:
    """Let a job that was just inserted wait for others: id -> kind. Within its transaction.

    What has ended already counts at once. Raises UnknownJob.
    """
    # Locked, so that none ends unseen between this look and our commit.
    found = Job.objects.select_for_update().filter(pk__in=after).order_by("pk")
    states = dict(found.values_list("pk", "state"))
    if missing := sorted(set(after) - set(states)):
        raise UnknownJob(", ".join(map(str, missing)))
    rows = [Dependency(job=job, on_id=on, kind=kind) for on, kind in after.items()]
    Dependency.objects.bulk_create(rows)
    recount([job.pk])
    settle({on: state for on, state in states.items() if state in ALSO_FINAL}, now)


def settle(ended: Mapping[int, str], now: datetime) -> None:
    """Some jobs have ended: let go who waited for them, cancel who waited in vain."""
    if not ended:
        return
    # By range, since a thousand numbers in a condition cost more than the few rows too many.
    lowest, highest = min(ended), max(ended)
    sql = "SELECT 1 FROM jobs_dependency WHERE on_id BETWEEN %s AND %s LIMIT 1"
    if not select(sql, [lowest, highest]):
        return
    near = Dependency.objects.filter(on__gte=lowest, on__lte=highest)
    rows = near.filter(on__state__in=FINAL_STATES).values_list("id", "job", "on", "kind")
    met: list[int] = []
    freed: set[int] = set()
    in_vain: dict[int, str] = {}
    for pk, job, on, kind in rows:
        if on not in ended:
            continue
        if kind == Kind.ANY or ended[on] == State.SUCCEEDED:
            met.append(pk)
            freed.add(job)
        else:
            in_vain.setdefault(job, f"job {on}, which it waits for, {word(ended[on])}")
    if met:
        Dependency.objects.filter(pk__in=met).delete()
        recount(freed)
    if in_vain:
        cancel_waiting(in_vain, now)


def word(state: str) -> str:
    return "was cancelled" if state == State.CANCELLED else str(state)


def recount(jobs: Collection[int]) -> None:
    """Bring `waits` up to date with the rows."""
    left = Dependency.objects.filter(job=OuterRef("pk")).order_by().values("job")
    count = Subquery(left.annotate(n=Count("id")).values("n"), output_field=IntegerField())
    Job.objects.filter(pk__in=jobs).update(waits=Coalesce(count, 0))


def cancel_waiting(reasons: Mapping[int, str], now: datetime) -> None:
    """Cancel queued jobs, each for its reason, and whoever waits for them in turn."""
    waiting = Job.objects.select_for_update().filter(pk__in=reasons, state=State.QUEUED)
    found = list(waiting.order_by("pk").values_list("pk", flat=True))
    for pk in found:
        Job.objects.filter(pk=pk).update(
            state=State.CANCELLED, finished_at=now, error=reasons[pk], waits=0
        )
    events.note_rows((pk, now, "cancelled", None, events.DISPATCHER, reasons[pk]) for pk in found)
    if found:
        settle(dict.fromkeys(found, State.CANCELLED.value), now)


def forget(jobs: Any) -> None:
    """A person queued them again: they wait for nothing any more."""
    Dependency.objects.filter(job__in=jobs).delete()

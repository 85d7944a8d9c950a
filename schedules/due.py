"""Start what is due, each time once. The monitor calls `run` every second."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q, QuerySet
from rest_framework.exceptions import ValidationError

from cluster.words import Words, gettext_noop
from jobs import failpoints, lifecycle
from jobs.models import OPEN_STATES, Job, JobQuerySet, Sweep
from jobs.turns import turn
from schedules import bodies, missed, times
from schedules.models import Run, Schedule, newest_runs

MOST_AT_ONCE = 50  # schedules in one call; the rest has its turn a second later
ENOUGH_JOBS = 20_000  # made in one call, after which it stops
CLOCK_BACK = timedelta(seconds=60)  # by more than this: what was reckoned is reckoned anew
MOST_REFUSALS = 10  # in a row, then it is paused
US = "schedules"  # who paused it, where nobody did

log = logging.getLogger(__name__)


class Refused(Exception):
    """It cannot start. why: the reason, in Words where it is ours."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Overlaps(Refused):
    """Its last work is still open, and one at a time was asked for."""


def run(now: datetime) -> int:
    """Start what is due. How many schedules it saw to; nothing is written where that is none."""
    seen, made = 0, 0
    for pk, due, reckoned_at in list(waiting(now)):
        if reckoned_at > now + CLOCK_BACK:
            reckon_anew(pk, reckoned_at, now)
        else:
            made += step(pk, due, now)
        seen += 1
        if made >= ENOUGH_JOBS:
            break
    return seen


def waiting(now: datetime) -> Iterator[tuple[int, Any, datetime]]:
    ahead = Q(next_at__isnull=False, reckoned_at__gt=now + CLOCK_BACK)
    rows = Schedule.objects.filter(Q(next_at__lte=now) | ahead).order_by("next_at")
    yield from rows.values_list("pk", "next_at", "reckoned_at")[:MOST_AT_ONCE]


def step(pk: int, due: datetime, now: datetime) -> int:
    """See to one time of one schedule, in one transaction: all of it, or nothing.

    Returns how many jobs it made. Whoever comes second finds another `next_at`, or the row of
    that time: no time is started twice.
    """
    with turn(), transaction.atomic():
        rows = Schedule.objects.filter(pk=pk, next_at=due)
        locked = rows.select_for_update(of=("self",), skip_locked=True).select_related("owner")
        schedule = locked.first()
        if schedule is None:
            return 0
        plan = missed.plan(schedule.rule, due, now, schedule.missed)
        then = plan.start[1] if len(plan.start) > 1 else plan.then
        if not rows.update(next_at=then, reckoned_at=now):
            return 0
        if plan.left_out:
            first, last = plan.left_out
            note(schedule, first, now, Run.Outcome.MISSED, until=last)
        made = begin(schedule, plan.start[0], now) if plan.start else 0
        failpoints.reach("mid-schedule")
    return made


def begin(schedule: Schedule, at: datetime, now: datetime) -> int:
    """Start the work of one time, or note why not."""
    if Run.objects.filter(schedule=schedule, scheduled_for=at).exists():
        return 0  # the clock was set back, or the rule changed: that time has been
    try:
        work = submit(schedule, now)
    except Overlaps as overlaps:
        note(schedule, at, now, Run.Outcome.OVERLAP, overlaps.why)
    except Refused as refused:
        refuse(schedule, at, now, refused.why)
    except (OperationalError, InterfaceError):
        raise  # the database is away: all of it again, when it is back
    except Exception as error:
        log.exception("Schedule %s cannot start.", schedule.pk)
        refuse(schedule, at, now, f"{type(error).__name__}: {error}")
    else:
        note(schedule, at, now, Run.Outcome.STARTED, work=work)
        return work.total if isinstance(work, Sweep) else 1
    return 0


def submit(schedule: Schedule, now: datetime) -> Job | Sweep:
    """What its body asks for, as its owner would; raises Refused."""
    blocking = still_open(schedule)
    if blocking and schedule.overlap == Schedule.Overlap.SKIP:
        raise Overlaps(blocking)
    if not schedule.owner.is_active:
        text = gettext_noop("The user %(name)s is deactivated.")
        raise Refused(Words(text, name=schedule.owner.get_username()))
    try:
        data = bodies.check(schedule.what, schedule.body)
    except ValidationError as error:
        why = bodies.missing(schedule.what, schedule.body) or bodies.first_error(error)
        raise Refused(why) from None
    data["name"] = data.get("name") or schedule.name
    with transaction.atomic():  # so that a failure in there can be noted out here
        if blocking and schedule.overlap == Schedule.Overlap.CANCEL:
            lifecycle.cancel(last_jobs(schedule), now, f"schedule {schedule.name}"[:150])
        return bodies.start(schedule.what, data, schedule.owner, now)


def last_jobs(schedule: Schedule) -> JobQuerySet:
    if schedule.last_sweep_id:
        return Job.objects.filter(sweep=schedule.last_sweep_id)
    return Job.objects.filter(pk__in=[schedule.last_job_id] if schedule.last_job_id else [])


def still_open(schedule: Schedule) -> str:
    """The last work in words, where it has not ended; else empty."""
    if not last_jobs(schedule).filter(state__in=OPEN_STATES).exists():
        return ""
    if schedule.last_sweep_id:
        return Words(gettext_noop("sweep %(id)s"), id=schedule.last_sweep_id)
    return Words(gettext_noop("job %(id)s"), id=schedule.last_job_id)


def note(
    schedule: Schedule, at: datetime, now: datetime, outcome: str, reason: str = "",
    until: datetime | None = None, work: Job | Sweep | None = None, who: str = "",
) -> Run:  # fmt: skip
    """The row of this time; and the schedule's own memory of what it started."""
    values = {"until": until, "at": now, "outcome": outcome, "reason": reason, "who": who}
    if work is None:
        told = Run.objects.get_or_create(schedule=schedule, scheduled_for=at, defaults=values)
        return told[0]
    job, sweep = (work, None) if isinstance(work, Job) else (None, work)
    Schedule.objects.filter(pk=schedule.pk).update(
        last_at=now, last_job=job, last_sweep=sweep, last_error="", refusals=0,
        started=F("started") + 1,
    )  # fmt: skip
    return Run.objects.create(
        schedule=schedule, scheduled_for=at, job=job, sweep=sweep, **values
    )  # were there one already, the work would go with this transaction


def refuse(schedule: Schedule, at: datetime, now: datetime, reason: str) -> None:
    """Note it, and go on with the next time; after many in a row, stop."""
    note(schedule, at, now, Run.Outcome.REFUSED, reason)
    changes: dict[str, Any] = {"last_error": reason, "refusals": schedule.refusals + 1}
    if schedule.refusals + 1 >= MOST_REFUSALS:
        why = Words(gettext_noop("refused %(count)s times in a row"), count=MOST_REFUSALS)
        changes |= {"paused_at": now, "paused_by": US, "paused_why": why, "next_at": None}
    Schedule.objects.filter(pk=schedule.pk).update(**changes)


def run_now(schedule: Schedule, who: str, now: datetime) -> Run:
    """Start it at a person's wish, whether or not it is paused. Raises Refused.

    In its caller's turn.
    """
    with transaction.atomic():
        locked = Schedule.objects.select_for_update(of=("self",)).select_related("owner")
        schedule = locked.get(pk=schedule.pk)
        work = submit(schedule, now)
        return note(schedule, now, now, Run.Outcome.STARTED, work=work, who=who[:150])


def reckon_anew(pk: int, reckoned_at: datetime, now: datetime) -> None:
    """The clock was ahead and has been set right: what it put into the future comes after all."""
    with turn(), transaction.atomic():
        rows = Schedule.objects.filter(pk=pk, reckoned_at=reckoned_at, next_at__isnull=False)
        schedule = rows.select_for_update(skip_locked=True).first()
        if schedule is None:
            return
        Run.objects.filter(
            schedule=pk, outcome=Run.Outcome.MISSED, scheduled_for__gt=now
        ).delete()  # nobody was missing: it was not yet time
        rows.update(next_at=times.next_time(schedule.rule, now), reckoned_at=now)
        log.warning("The clock was set back: schedule %s is reckoned anew.", pk)


def outlived(now: datetime, days: float) -> QuerySet[Run]:
    """The rows of times that were seen to more than `days` ago, but each schedule's last."""
    return Run.objects.filter(at__lt=now - timedelta(days=days)).exclude(pk__in=newest_runs())


def old_runs(now: datetime, days: float) -> int:
    """Delete them."""
    deleted, old = 0, outlived(now, days).order_by("at").values_list("pk", flat=True)
    while chunk := list(old[:500]):
        deleted += Run.objects.filter(pk__in=chunk).delete()[0]
    return deleted

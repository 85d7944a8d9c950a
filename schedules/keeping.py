"""Every change that a person makes to a schedule."""

from datetime import datetime
from typing import Any

from django.db import transaction

from jobs.turns import turn
from schedules import times
from schedules.models import Schedule

RULE = ("cron", "every_seconds", "anchor", "zone", "start_at", "end_at")


def create(values: dict[str, Any], owner: Any, now: datetime) -> Schedule:
    """`values` as ScheduleIn checked them."""
    schedule = Schedule(owner=owner, created_at=now, changed_at=now, reckoned_at=now, **values)
    reckon(schedule, now)
    with turn(), transaction.atomic():
        schedule.save()
    return schedule


def change(schedule: Schedule, values: dict[str, Any], now: datetime) -> Schedule:
    """With a new rule, its times count from now."""
    with turn(), transaction.atomic():
        found = locked(schedule)
        before = found.rule
        for name, value in values.items():
            setattr(found, name, value)
        found.changed_at = now
        changed = {*values, "changed_at"}
        if found.rule != before:
            reckon(found, now)
            changed |= {*RULE, "next_at", "reckoned_at"}
        found.save(update_fields=changed)
    return found


def reckon(schedule: Schedule, now: datetime) -> None:
    if schedule.every_seconds and not schedule.anchor:
        schedule.anchor = (schedule.start_at or now).replace(microsecond=0)
    if not schedule.every_seconds:
        schedule.anchor = None
    schedule.reckoned_at = now
    schedule.next_at = None if schedule.paused_at else times.next_time(schedule.rule, now)


def pause(schedule: Schedule, who: str, why: str, now: datetime) -> bool:
    """Start nothing until it is resumed. False where it is paused already."""
    active = Schedule.objects.filter(pk=schedule.pk, paused_at=None)
    return bool(
        active.update(
            paused_at=now, paused_by=who[:150], paused_why=why.strip()[:300], next_at=None
        )
    )


def resume(schedule: Schedule, now: datetime) -> bool:
    """Go on with the next time; what came meanwhile was not missed but left out on purpose."""
    with turn(), transaction.atomic():
        found = locked(schedule)
        if found.paused_at is None:
            return False
        found.paused_at, found.paused_by, found.paused_why, found.refusals = None, "", "", 0
        reckon(found, now)
        found.save(
            update_fields=[
                "paused_at", "paused_by", "paused_why", "refusals", "next_at", "reckoned_at",
                "anchor",
            ]
        )  # fmt: skip
    return True


def locked(schedule: Schedule) -> Schedule:
    """The row as it is now, which the monitor does not touch until we are done."""
    rows = Schedule.objects.select_for_update(of=("self",)).select_related("owner")
    return rows.get(pk=schedule.pk)

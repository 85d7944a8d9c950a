"""What to do about the times that have come: which to start, which to leave out. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schedules import times
from schedules.times import Rule

GRACE = timedelta(seconds=60)  # later than this is missed
MOST_CAUGHT_UP = 50  # with the policy `all`: the newest
POLICIES = ("skip", "once", "all")


@dataclass(frozen=True)
class Plan:
    """Times to start, oldest first; before them those left out, from the first to the last."""

    start: list[datetime] = field(default_factory=list)
    left_out: tuple[datetime, datetime] | None = None
    then: datetime | None = None  # the next time after now; None: the last one has been


def plan(rule: Rule, due: datetime, now: datetime, policy: str) -> Plan:
    """`due`: the first time that has not been seen to. It has come."""
    count = MOST_CAUGHT_UP if policy == "all" else 1
    # One more than is started: the last of those that are left out.
    known = times.last_times(rule, due, now, count + 1)
    if not known:  # the rule was changed and has no such time
        return Plan(then=times.next_time(rule, now))
    start, before = known[-count:], known[:-count]
    if policy == "skip" and now - start[-1] > GRACE:
        start, before = [], known
    return Plan(
        start=start,
        left_out=(due if len(known) > count else before[0], before[-1]) if before else None,
        then=times.next_time(rule, now),
    )

"""How far a list looks where no index leads to the jobs that it wants: at the newest of each state.

A million rows are not read for a page. What may be among the older ones is said, and paged to.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Count

from jobs.models import Job, JobQuerySet, State
from jobs.rows import select

NEWEST = 25_000  # jobs of each state that are looked at for a page's rows …
COUNTED = 10_000  # … and for its counts


class Number(NamedTuple):
    """So many; more: at least, since not all were looked at."""

    jobs: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.jobs}+" if self.more else str(self.jobs)


def led(names: Collection[str]) -> bool:
    """Does an index lead to the jobs of these filters, besides that of the state, newest first?"""
    return {*names} <= {"sweep"} or "failure" in {*names} <= {"failure", "ended", "spec"}


@dataclass(frozen=True)
class Reach:
    """State -> the number of the oldest job looked at; without an entry: all are."""

    oldest: dict[str, int]

    def end(self, states: Collection[str]) -> int | None:
        """From which number on the jobs of all these states are looked at; None: all of them.

        No states: of all.
        """
        chosen = states or State.values
        return max((self.oldest[state] for state in chosen if state in self.oldest), default=None)


def newest(most: int, before: int | None = None) -> Reach:
    """before: of the jobs with smaller numbers. One statement, by the index of states."""
    below = "" if before is None else "AND id < %s"
    part = (
        f"SELECT '{{}}', (SELECT id FROM jobs_job WHERE state = '{{}}' {below}"  # noqa: S608
        f" ORDER BY id DESC LIMIT 1 OFFSET {most - 1})"
    )
    sql = " UNION ALL ".join(part.format(state.value, state.value) for state in State)
    rows = select(sql, [] if before is None else [before] * len(State))
    return Reach({state: pk for state, pk in rows if pk is not None})


def end(
    names: Collection[str], states: Collection[str], before: int | None, after: int | None
) -> int | None:
    """How far a page of these filters looks, from one of the two numbers on: down, or up from
    `after` where there is one. None: as far as there are jobs."""
    if led(names):
        return None
    return newest(NEWEST, before).end(states) if after is None else end_after(after)


def by_state(jobs: JobQuerySet, reach: Reach) -> dict[str, Number]:
    """How many of `jobs` are in which state, as far as that looks."""
    parts = []
    for state in State:
        part = jobs.order_by().filter(state=state)
        if state.value in reach.oldest:
            part = part.filter(pk__gte=reach.oldest[state.value])
        parts.append(part.values_list("state").annotate(number=Count("id")))
    found = dict(parts[0].union(*parts[1:], all=True))
    return {
        state.value: Number(found.get(state.value, 0), state.value in reach.oldest)
        for state in State
    }


def end_after(after: int) -> int | None:
    """In the other direction: up to which number, whatever their state."""
    numbers = Job.objects.filter(pk__gt=after).order_by("id").values_list("id", flat=True)
    return numbers[NEWEST : NEWEST + 1].first()

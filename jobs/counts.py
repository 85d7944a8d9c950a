"""How many jobs are in which state."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count, Max

from jobs.models import OPEN_STATES, Job, JobQuerySet, State


def by_state(jobs: JobQuerySet) -> dict[str, int]:
    """Every state with its count, zero where there is none."""
    found = dict(jobs.order_by().values_list("state").annotate(Count("id")))
    return {state.value: found.get(state.value, 0) for state in State}


def of_sweeps(sweeps: Iterable[int]) -> dict[int, dict[str, int]]:
    """The same for each sweep."""
    found = {sweep: {state.value: 0 for state in State} for sweep in sweeps}
    rows = Job.objects.filter(sweep__in=list(found)).order_by().values_list("sweep", "state")
    for sweep, state, count in rows.annotate(Count("id")):
        found[sweep][state] = count
    return found


def sweep_state(counts: dict[str, int]) -> str:
    """A sweep's state in the words of its jobs: the worst of the final ones once all ended."""
    if counts[State.RUNNING]:
        return State.RUNNING.value
    if counts[State.QUEUED]:
        done = sum(counts.values()) - counts[State.QUEUED]
        return State.RUNNING.value if done else State.QUEUED.value
    if counts[State.FAILED]:
        return State.FAILED.value
    return State.CANCELLED.value if counts[State.CANCELLED] else State.SUCCEEDED.value


def finished(counts: dict[int, dict[str, int]]) -> dict[int, datetime]:
    """When each sweep that has ended did so."""
    ended = [pk for pk, by in counts.items() if not any(by[state] for state in OPEN_STATES)]
    rows = Job.objects.filter(sweep__in=ended).order_by().values_list("sweep")
    return dict(rows.annotate(Max("finished_at")))

"""How many jobs are in which state."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import connection
from django.db.models import Count, OuterRef, Subquery

from jobs import tally
from jobs.models import FINAL_STATES, OPEN_STATES, Job, JobQuerySet, State, Sweep
from jobs.rows import moment, select


def by_state(jobs: JobQuerySet) -> dict[str, int]:
    """Every state with its count, zero where there is none. Of all jobs it is known."""
    if jobs.query.where:
        found = dict(jobs.order_by().values_list("state").annotate(Count("id")))
    else:
        found = tally.of_all()
        running = Job.objects.filter(state=State.RUNNING).count()
        found |= {"running": running, "queued": max(0, found.get("open", 0) - running)}
    return {state.value: found.get(state.value, 0) for state in State}


def scheduled(now: datetime) -> int:
    """Queued jobs whose time has not come."""
    return Job.objects.filter(state=State.QUEUED, run_at__gt=now).count()


def oldest(now: datetime) -> datetime | None:
    """Since when the first of the queued jobs could have started."""
    due = Job.objects.filter(state=State.QUEUED, run_at__lte=now).order_by("run_at")
    return due.values_list("run_at", flat=True).first()


def of_sweeps(sweeps: Iterable[int]) -> dict[int, dict[str, int]]:
    """The same for each sweep."""
    found = {sweep: {state.value: 0 for state in State} for sweep in sweeps}
    for sweep, state, count in tally.of_sweeps(found):
        found[sweep][State.QUEUED if state == "open" else state] = count
    running = Job.objects.filter(sweep__in=list(found), state=State.RUNNING).order_by()
    for sweep, count in running.values_list("sweep").annotate(Count("id")):
        found[sweep][State.RUNNING] = count
        found[sweep][State.QUEUED] -= count
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
    jobs = Job.objects.filter(sweep=OuterRef("pk")).order_by("-finished_at")
    last = {
        f"last_{state.value}": Subquery(jobs.filter(state=state).values("finished_at")[:1])
        for state in FINAL_STATES
    }
    found = {}
    for pk, *moments in (
        Sweep.objects.filter(pk__in=ended).annotate(**last).values_list("pk", *last)
    ):
        known = [moment for moment in moments if moment]
        if known:
            found[pk] = max(known)
    return found


def ended(spans: Sequence[tuple[datetime, datetime]]) -> list[dict[str, int]]:
    """How many jobs ended within each span, its end included, by state: one statement by the index.

    With one part that is planned once and run for each: 72 parts of their own take PostgreSQL
    longer to plan than to run.
    """
    asked = [(place, state.value) for place in range(len(spans)) for state in FINAL_STATES]
    values = [value for place, state in asked
              for value in (place, state, *map(moment, spans[place]))]  # fmt: skip
    rows = ", ".join(["(%s, %s, %s, %s)"] * len(asked))
    kind = "timestamp with time zone" if connection.vendor == "postgresql" else "text"
    sql = f"""WITH asked (place, word, since, until) AS (VALUES {rows})
        SELECT place, word, (SELECT count(*) FROM jobs_job WHERE state = word
        AND finished_at > CAST(since AS {kind}) AND finished_at <= CAST(until AS {kind}))
        FROM asked"""  # noqa: S608
    found = [{state.value: 0 for state in FINAL_STATES} for _ in spans]
    for place, state, count in select(sql, values):
        found[int(place)][state] = count
    return found

"""The history of a job's changes, written in the same transaction as each change."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import CharField, DateTimeField, IntegerField, Value

from jobs.models import Event, JobQuerySet, State
from jobs.rows import column, insert_rows, marks, table

FIELDS = ["job", "at", "state", "attempt", "who", "why"]
DISPATCHER = "dispatcher"
MOST_WHY = 300  # characters


def note_rows(rows: Iterable[tuple[int, datetime, str, int | None, str, str]]) -> None:
    """Each row: job, at, state after (or empty), attempt number, who, why."""
    insert_rows(Event, FIELDS, rows)


def note_opened(bundles: Collection[int], at: datetime) -> None:
    """One event for each attempt just opened, in one statement."""
    # They are open: so says the index by bundle too, without which this reads every attempt.
    which = f"a.finished_at IS NULL AND a.bundle IN ({marks(bundles)})"
    note_attempts(which, bundles, at, State.RUNNING, "sent to ")


def note_succeeded(attempts: Collection[int], at: datetime) -> None:
    which = f"a.id IN ({marks(attempts)})"
    note_attempts(which, attempts, at, State.SUCCEEDED, "succeeded on ")


def note_attempts(
    which: str, numbers: Collection[int], at: datetime, state: State, words: str
) -> None:
    """`which`: SQL with a mark for each number. `words`: what comes before the node's name."""
    if not numbers:
        return
    sql = (
        "INSERT INTO jobs_event (job_id, at, state, attempt, who, why)"  # noqa: S608
        f" SELECT a.job_id, %s, %s, a.number, %s, substr(%s || n.name, 1, {MOST_WHY})"
        " FROM jobs_attempt a JOIN cluster_node n ON n.id = a.node_id"
        f" WHERE {which}"
    )
    moment = connection.ops.adapt_datetimefield_value(at)
    with connection.cursor() as cursor:
        cursor.execute(sql, [moment, state.value, DISPATCHER, words, *numbers])


def note_all(jobs: JobQuerySet, at: datetime, state: str, who: str, why: str) -> int:
    """One event for each of `jobs`, in one statement that locks them for the change to come."""
    rows = jobs.order_by().select_for_update(of=("self",)).values_list(
        "id",
        Value(at, DateTimeField()),
        Value(state, CharField()),
        Value(None, IntegerField()),
        Value(who, CharField()),
        Value(why[:MOST_WHY], CharField()),
    )  # fmt: skip
    return insert_select(Event, FIELDS, rows)


def insert_select(model: Any, names: list[str], rows: Any) -> int:
    sql, params = rows.query.sql_with_params()
    columns = ", ".join(column(model, name) for name in names)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table(model)} ({columns}) {sql}", params)
        return int(cursor.rowcount)

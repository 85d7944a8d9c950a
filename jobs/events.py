"""The history of a job's changes, written in the same transaction as each change."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import CharField, DateTimeField, F, IntegerField, QuerySet, Value
from django.db.models.functions import Concat, Left

from jobs.models import Attempt, Event, JobQuerySet, State
from jobs.rows import column, insert_rows, table

FIELDS = ["job", "at", "state", "attempt", "who", "why"]
DISPATCHER = "dispatcher"
MOST_WHY = 300  # characters


def note_rows(rows: Iterable[tuple[int, datetime, str, int | None, str, str]]) -> None:
    """Each row: job, at, state after (or empty), attempt number, who, why."""
    insert_rows(Event, FIELDS, rows)


def note_opened(attempts: QuerySet[Attempt], at: datetime) -> None:
    """One event for each attempt just opened, in one statement."""
    note_attempts(attempts, at, State.RUNNING, "sent to ")


def note_succeeded(attempts: QuerySet[Attempt], at: datetime) -> None:
    note_attempts(attempts, at, State.SUCCEEDED, "succeeded on ")


def note_attempts(attempts: QuerySet[Attempt], at: datetime, state: State, words: str) -> None:
    """`words`: what comes before the node's name."""
    why = Concat(Value(words), F("node__name"))
    rows = attempts.order_by().values_list(
        "job",
        Value(at, DateTimeField()),
        Value(state.value, CharField()),
        "number",
        Value(DISPATCHER, CharField()),
        Left(why, MOST_WHY),
    )
    insert_select(Event, FIELDS, rows)


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

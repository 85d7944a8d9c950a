"""Many rows in one statement's time: the hot path's way past the ORM's objects."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import connection, models


def select(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """For what every pass asks: the ORM needs longer to make such a query than to run it."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def marks(values: Collection[Any]) -> str:
    """As many as there are values, for IN (…)."""
    return ", ".join(["%s"] * len(values))


def insert_rows(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """INSERT each row; `names` are fields, all those without a database default."""
    columns = ", ".join(column(model, name) for name in names)
    if connection.vendor == "postgresql":
        sql = f"COPY {table(model)} ({columns}) FROM STDIN"
        # Django's cursor wraps errors of its own methods alone.
        with (
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.copy(sql) as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    sql = f"INSERT INTO {table(model)} ({columns}) VALUES ({marks(names)})"  # noqa: S608
    execute_many(sql, rows)


def update_rows(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """UPDATE each row: values in the order of `names`, then the primary key, once each."""
    if connection.vendor == "postgresql":
        update_by_json(model, names, rows)
        return
    changes = ", ".join(f"{column(model, name)} = %s" for name in names)
    execute_many(f"UPDATE {table(model)} SET {changes} WHERE id = %s", rows)  # noqa: S608


def update_by_json(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """All rows in one statement, as one JSON text: much cheaper to make than arrays."""
    columns = [column(model, name) for name in names]
    keys = [each.strip('"') for each in (*columns, "id")]
    text = json.dumps([dict(zip(keys, row, strict=True)) for row in rows], default=str)
    if text == "[]":
        return
    changes = ", ".join(f"{each} = new.{each}" for each in columns)
    types = ", ".join(
        f"{each} {model._meta.get_field(name).db_type(connection)}"
        for each, name in zip((*columns, "id"), (*names, "id"), strict=True)
    )
    sql = (
        f"UPDATE {table(model)} old SET {changes} "  # noqa: S608
        f"FROM json_to_recordset(%s) AS new({types}) WHERE old.id = new.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [text])


def execute_many(sql: str, rows: Iterable[Sequence[Any]]) -> None:
    adapted = [
        [moment(value) if type(value) is datetime else value for value in row] for row in rows
    ]
    if adapted:
        with connection.cursor() as cursor:
            cursor.executemany(sql, adapted)


@lru_cache(maxsize=4096)  # an attempt and its job have the same
def moment(value: datetime) -> Any:
    """As Django would write it to SQLite, at a tenth of the price where it is UTC."""
    if value.tzinfo is UTC:
        return str(value)[: -len("+00:00")]
    return connection.ops.adapt_datetimefield_value(value)


def table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return connection.ops.quote_name(field.column)

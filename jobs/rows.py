"""Many rows in one statement's time: the hot path's way past the ORM's objects."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models


def insert_rows(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """INSERT each row; `names` are fields, all those without a database default."""
    columns = ", ".join(column(model, name) for name in names)
    marks = ", ".join(["%s"] * len(names))
    sql = f"INSERT INTO {table(model)} ({columns}) VALUES ({marks})"  # noqa: S608
    execute(sql, rows)


def update_rows(
    model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """UPDATE each row: values in the order of `names`, then the primary key."""
    changes = ", ".join(f"{column(model, name)} = %s" for name in names)
    sql = f"UPDATE {table(model)} SET {changes} WHERE id = %s"  # noqa: S608
    execute(sql, rows)


def execute(sql: str, rows: Iterable[Sequence[Any]]) -> None:
    adapted = [[adapt(value) for value in row] for row in rows]
    if adapted:
        with connection.cursor() as cursor:
            cursor.executemany(sql, adapted)


def adapt(value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return connection.ops.quote_name(field.column)

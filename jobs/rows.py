"""Many rows in one statement's time: the hot path's way past the ORM's objects."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
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
    """UPDATE each row: values in the order of `names`, then the primary key, once each.

    In one statement, from one JSON text: cheaper to make than parameters, and SQLite, where a
    table has triggers, keeps a copy of the pages that a statement changes: once, not for each row.
    """
    keys = [column(model, name).strip('"') for name in (*names, "id")]
    postgres = connection.vendor == "postgresql"
    found = [dict(zip(keys, row, strict=True)) for row in rows] if postgres else list(rows)
    if not found:
        return
    # It refuses a lone surrogate, which no database may get.
    text = orjson.dumps(found, adapted, orjson.OPT_PASSTHROUGH_DATETIME).decode()
    if postgres:
        types = ", ".join(
            f'"{key}" {model._meta.get_field(name).db_type(connection)}'
            for key, name in zip(keys, (*names, "id"), strict=True)
        )
        source, taken = f"json_to_recordset(%s) AS new({types})", [f'new."{key}"' for key in keys]
    else:
        source = "json_each(%s) AS new"
        taken = [f"json_extract(new.value, '$[{place}]')" for place in range(len(keys))]
    changes = ", ".join(
        f'"{key}" = {value}' for key, value in zip(keys[:-1], taken[:-1], strict=True)
    )
    sql = (
        f"UPDATE {table(model)} AS old SET {changes} FROM {source} "  # noqa: S608
        f"WHERE old.id = {taken[-1]}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [text])


def execute_many(sql: str, rows: Iterable[Sequence[Any]]) -> None:
    same = lru_cache(maxsize=64)(moment)  # most rows of a statement are of one moment
    values = [[same(value) if type(value) is datetime else value for value in row] for row in rows]
    if values:
        with connection.cursor() as cursor:
            cursor.executemany(sql, values)


def adapted(value: Any) -> str:
    """What orjson does not know; as text, the database might take what is not meant."""
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"no row holds this: {value!r}")


def moment(value: datetime) -> str:
    """As Django would write it, at a tenth of the price where it is UTC."""
    if connection.vendor == "postgresql":
        return str(value)
    if value.tzinfo is UTC:
        return str(value)[: -len("+00:00")]
    return str(connection.ops.adapt_datetimefield_value(value))


@lru_cache(maxsize=4096)  # the attempts of a claim have the same
def when(value: Any) -> datetime:
    """A moment as a raw statement gives it: SQLite's is text, and in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return connection.ops.quote_name(field.column)

"""How many rows and bytes there are, in the database and beside it."""

from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection

from jobs.rows import select, table
from monitoring import asking

OURS = ("jobs", "cluster", "monitoring", "schedules")
NAMES = {"Output": "pieces of output", "IdempotencyKey": "idempotency keys", "RunTime": "run times",
         "Delivery": "notices", "Dependency": "dependencies", "Tally": "counts",
         "Study": "studies", "Run": "schedule runs"}  # fmt: skip


@dataclass(frozen=True)
class Table:
    rows: int
    bytes: int | None  # with its indexes; None: the database does not tell


@dataclass(frozen=True)
class Sizes:
    tables: dict[str, Table]  # by what its rows are called
    database: int
    free: int | None  # of it, within a SQLite file: used again before the file grows
    files: Table  # in HOME/files


def measure() -> Sizes:
    """Counts every row and reads how large each table is: for people who ask, not for loops."""
    of_table = table_bytes()
    found = {}
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            count = select(f"SELECT count(*) FROM {table(model)}")[0][0]  # noqa: S608
            name = NAMES.get(model.__name__, f"{model._meta.verbose_name_plural}")
            found[name] = Table(int(count), of_table.get(model._meta.db_table))
    return Sizes(found, *database_bytes(), stored_files())


def table_bytes() -> dict[str, int]:
    """By table, indexes included; empty where this SQLite was built without dbstat."""
    if connection.vendor == "postgresql":
        sql = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
        return {name: int(size) for name, size in select(sql)}
    sql = (
        "SELECT coalesce(m.tbl_name, s.name), sum(s.pgsize) FROM dbstat s"
        " LEFT JOIN sqlite_master m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1"
    )
    try:
        return {name: int(size) for name, size in select(sql)}
    except DatabaseError:
        return {}


def database_bytes() -> tuple[int, int | None]:
    """And what is free of it."""
    if connection.vendor == "postgresql":
        return asking.database_bytes(), None
    sql = "SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()"
    return asking.database_bytes(), int(select(sql)[0][0])


def stored_files() -> Table:
    count = size = 0
    for path in Path(settings.FILES).glob("??/*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
        count += 1
    return Table(count, size)


def vacuum() -> None:
    """Give back what is free. SQLite rewrites the file: that takes room, and writers wait."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

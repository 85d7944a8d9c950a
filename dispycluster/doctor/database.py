"""The database: does it answer, is it whole, does it have our tables?"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import Error
from django.utils.translation import gettext as _

from dispycluster.doctor.finding import BAD, OK, WARN, Finding

SKEW_SECONDS = 5


def reachable(connection: Any, path: Path | None) -> Iterator[Finding]:
    """`path`: the file, with SQLite: connecting would make it."""
    if path and not path.exists():
        yield Finding("database", WARN, _("none yet"), _("The first start makes %s.") % path)
        return
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()" if path else "SHOW server_version")
            [version] = cursor.fetchone()
    except Error as error:
        advice = _("Start it, or correct DATABASE_URL.")
        if path:
            advice = _("Look who else uses %s, and whether it is a database at all.") % path
        words = _("does not answer: %s") % " ".join(str(error).split())
        yield Finding("database", BAD, words, advice)
        return
    yield Finding("database", OK, f"{'SQLite' if path else 'PostgreSQL'} {version}")


def whole(connection: Any) -> Iterator[Finding]:
    """SQLite's own check of the file."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA quick_check(3)")
        said = [row[0] for row in cursor.fetchall()]
        cursor.execute("PRAGMA journal_mode")
        [journal] = cursor.fetchone()
    if said != ["ok"]:
        words = _("the file is damaged: %s") % "; ".join(said)
        advice = _("Stop everything and put back the last backup.")
        yield Finding("database", BAD, words, advice)
    if journal != "wal":
        words = _("its journal is %s, not wal: readers and writers get in each other's way")
        advice = _("Start once on a local disk.")
        yield Finding("database", WARN, words % journal, advice)


def migrated(missing: list[str], made: bool) -> Iterator[Finding]:
    """`missing`: migrations of this version that were not applied."""
    if not made:
        yield Finding("database", WARN, _("has no tables yet"), _("The first start makes them."))
    elif missing:
        words = _("%(count)d migrations are missing, first %(first)s") % {
            "count": len(missing), "first": missing[0],
        }  # fmt: skip
        yield Finding("database", BAD, words, "manage.py migrate")


def unapplied(connection: Any) -> tuple[list[str], bool]:
    """Reads only: the table of migrations is not made where it is missing."""
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _back in plan], bool(executor.loader.applied_migrations)


def clock(theirs: datetime, ours: datetime) -> Iterator[Finding]:
    skew = (theirs - ours).total_seconds()
    if abs(skew) > SKEW_SECONDS:
        words = _("its clock is %+d s off ours") % skew
        yield Finding("database", WARN, words, _("Have both machines set theirs by NTP."))

"""How often what failed in which way, kept as it happens: nobody groups a million rows for a page.

AttemptTally: attempts, by hour, node and spec. Where attempts are closed, `note` adds those that
failed, once for all; a trigger takes off what is deleted, by whomever. JobTally: the jobs whose
last attempt failed, by hour, state and owner; by triggers alone, as tally.py.

SQLite has one writer and adds to a row. On PostgreSQL, where writers would wait for each other's
row, each adds rows of its own. `thin` sums them up, and makes days of the hours that are old.
"""

import json
from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from django.db import connection, transaction

from jobs.models import JobTally, State
from jobs.rows import marks, moment, select, when

KEEP = timedelta(hours=48)  # by the hour; a day that ended earlier is one number
HOUR, DAY = 3600, 24  # seconds; hours
ATTEMPTS, JOBS = "jobs_attempttally", "jobs_jobtally"
KEYS = {ATTEMPTS: "fingerprint, hour, node, spec", JOBS: "failure, hour, state, owner"}
SUMS = {ATTEMPTS: ("attempts", "jobs"), JOBS: ("jobs",)}


# SQL


def postgres() -> bool:
    return connection.vendor == "postgresql"


def hour(at: str) -> str:
    if postgres():
        return f"coalesce(floor(extract(epoch FROM {at}) / {HOUR}), 0)::bigint"
    return f"coalesce(strftime('%%s', {at}) / {HOUR}, 0)"


def attempt(row: str, attempts: str, jobs: str, rest: str = "") -> str:
    """SELECT where the attempts count that are called `row`, and for how much."""
    spec = f"coalesce((SELECT spec_id FROM jobs_job WHERE id = {row}.job_id), 0)"
    return f"""SELECT {row}.fingerprint AS fingerprint, {hour(f"{row}.finished_at")} AS hour,
        {row}.node_id AS node, {spec} AS spec, {attempts} AS attempts, {jobs} AS jobs {rest}"""


def job(row: str, jobs: str, rest: str = "") -> str:
    return f"""SELECT {row}.failure AS failure, {hour(f"{row}.finished_at")} AS hour,
        {row}.state AS state, {row}.owner_id AS owner, {jobs} AS jobs {rest}
        WHERE {row}.failure IS NOT NULL"""


def last(row: str) -> str:
    """No later attempt of its job failed likewise."""
    return f"""NOT EXISTS (SELECT 1 FROM jobs_attempt AS other WHERE other.job_id = {row}.job_id
        AND other.number > {row}.number AND other.fingerprint = {row}.fingerprint)"""


def earlier(row: str) -> str:
    """Its job's latest attempt before it that failed likewise."""
    return f"""(SELECT other.id FROM jobs_attempt AS other WHERE other.job_id = {row}.job_id
        AND other.number < {row}.number AND other.fingerprint = {row}.fingerprint
        ORDER BY other.number DESC LIMIT 1)"""


def add(table: str, *rows: str) -> str:
    """INSERT what they select, summed up."""
    key, sums = KEYS[table], SUMS[table]
    totals = ", ".join(f"sum({name})" for name in sums)
    if postgres():
        end = f"HAVING {' OR '.join(f'sum({name}) <> 0' for name in sums)}"
    else:
        changes = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
        end = f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    source = " UNION ALL ".join(rows)
    return f"""INSERT INTO {table} ({key}, {", ".join(sums)}) SELECT {key}, {totals}
        FROM ({source}) AS changes WHERE true GROUP BY {key} {end}"""


# Keep


def note(attempts: Collection[int]) -> None:
    """Count attempts that were closed just now; those of them that failed have their mark."""
    if not attempts:
        return
    ids = list(attempts) if postgres() else json.dumps(list(attempts))
    with connection.cursor() as cursor:
        cursor.execute(noting(), [ids, ids])


@cache
def noting() -> str:
    among = "= ANY(%s)" if postgres() else "IN (SELECT value FROM json_each(%s))"
    here = f"FROM jobs_attempt AS a WHERE a.id {among} AND a.fingerprint IS NOT NULL"
    again = f"""FROM jobs_attempt AS a JOIN jobs_attempt AS b ON b.id = {earlier("a")}
        WHERE a.id {among} AND a.number > 1 AND a.fingerprint IS NOT NULL"""
    return add(ATTEMPTS, attempt("a", "1", "1", here), attempt("b", "0", "-1", again))


def sqlite_triggers() -> dict[str, str]:
    gone = add(
        ATTEMPTS,
        attempt("OLD", "-1", f"CASE WHEN {last('OLD')} THEN -1 ELSE 0 END"),
        attempt("b", "0", "1", f"FROM jobs_attempt AS b WHERE b.id = {earlier('OLD')}"
                f" AND {last('OLD')}"),
    )  # fmt: skip
    left, came = job("OLD", "-1"), job("NEW", "1")
    return {
        "failed_attempt_deleted": "AFTER DELETE ON jobs_attempt WHEN OLD.fingerprint IS NOT NULL"
        f" BEGIN {gone}; END",
        "failed_job_deleted": "AFTER DELETE ON jobs_job WHEN OLD.failure IS NOT NULL"
        f" BEGIN {add(JOBS, left)}; END",
        "failed_job_moved": "AFTER UPDATE OF state, failure, finished_at ON jobs_job"
        " WHEN OLD.failure IS NOT NULL OR NEW.failure IS NOT NULL"
        f" BEGIN {add(JOBS, left, came)}; END",
    }


def postgres_triggers() -> dict[str, tuple[str, str]]:
    """Event and table, with what is done once for a whole statement."""
    latest = """(SELECT DISTINCT ON (job_id, fingerprint) * FROM before
        WHERE fingerprint IS NOT NULL ORDER BY job_id, fingerprint, number DESC) AS a"""
    gone = add(
        ATTEMPTS,
        attempt("a", "-1", "0", "FROM before AS a WHERE a.fingerprint IS NOT NULL"),
        attempt("a", "0", "-1", f"FROM {latest} WHERE {last('a')}"),
        attempt("b", "0", "1", f"FROM {latest} JOIN jobs_attempt AS b ON b.id = {earlier('a')}"
                f" WHERE {last('a')}"),
    )  # fmt: skip
    left, came = job("a", "-1", "FROM before AS a"), job("a", "1", "FROM after AS a")
    old = "REFERENCING OLD TABLE AS before"
    return {
        "failed_attempt_deleted": (f"AFTER DELETE ON jobs_attempt {old}", gone),
        "failed_job_deleted": (f"AFTER DELETE ON jobs_job {old}", add(JOBS, left)),
        "failed_job_moved": (
            f"AFTER UPDATE ON jobs_job {old} NEW TABLE AS after", add(JOBS, left, came)
        ),
    }  # fmt: skip


def install(**_: Any) -> None:
    """After each migrate: a table that was rebuilt has lost its triggers. Counts anew then."""
    if JobTally._meta.db_table not in connection.introspection.table_names():
        return  # migrated back, to before there were any
    known = "SELECT tgname FROM pg_trigger"
    if not postgres():
        known = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    with transaction.atomic(), connection.cursor() as cursor:
        there = {name for (name,) in select(known)}
        for statement in statements(there):
            cursor.execute(statement, [])
        names = postgres_triggers() if postgres() else sqlite_triggers()
        if not (there.issuperset(names) and anything_failed()):
            count_anew()


def count_anew() -> None:
    """By looking at each row, in the caller's transaction."""
    counted = f"CASE WHEN {last('a')} THEN 1 ELSE 0 END"
    every = "FROM jobs_attempt AS a WHERE a.fingerprint IS NOT NULL"
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {ATTEMPTS}")
        cursor.execute(f"DELETE FROM {JOBS}")
        cursor.execute(add(ATTEMPTS, attempt("a", "1", counted, every)), [])
        cursor.execute(add(JOBS, job("a", "1", "FROM jobs_job AS a")), [])


def statements(there: set[str]) -> list[str]:
    """there: triggers. On PostgreSQL to make one waits for all writers, and they for it."""
    if not postgres():
        found = [f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_cell ON {table} ({key})"
                 for table, key in KEYS.items()]  # fmt: skip
        for name, body in sqlite_triggers().items():
            found += [f"DROP TRIGGER IF EXISTS {name}", f"CREATE TRIGGER {name} {body}"]
        return found
    found = []
    for name, (event, body) in postgres_triggers().items():
        found += [
            f"CREATE OR REPLACE FUNCTION jobs_{name}() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN {body}; RETURN NULL; END $$"
        ]
        if name not in there:
            found.append(
                f"CREATE TRIGGER {name} {event} FOR EACH STATEMENT EXECUTE FUNCTION jobs_{name}()"
            )
    return found


def anything_failed() -> bool:
    """False after a flush, too: its deletes were counted in whatever order."""
    sql = "SELECT 1 FROM jobs_attempt WHERE fingerprint IS NOT NULL LIMIT 1"
    return bool(select(sql))


# Thin


def thin(now: datetime) -> int:
    """Old hours become days, day by day; rows of one cell become one. How many days."""
    limit, done = (int((now - KEEP).timestamp()) // HOUR) // DAY * DAY, 0
    for table in KEYS:
        while (first := oldest_hour(table, limit)) is not None:
            with transaction.atomic():
                gather(table, f"hour > {first // DAY * DAY} AND hour < {(first // DAY + 1) * DAY}")
            done += 1
        compact(table)
    return done


def oldest_hour(table: str, limit: int) -> int | None:
    """That is not a day's first: those stand for the day."""
    sql = f"SELECT min(hour) FROM {table} WHERE hour < %s AND hour %% {DAY} <> 0"
    [(found,)] = select(sql, [limit])
    return None if found is None else int(found)


def gather(table: str, where: str) -> None:
    """Those rows, each in its day's first hour."""
    columns = ", ".join((KEYS[table], *SUMS[table]))
    of_day = columns.replace("hour", f"hour / {DAY} * {DAY} AS hour")
    with connection.cursor() as cursor:
        if postgres():
            gone = f"WITH gone AS (DELETE FROM {table} WHERE {where} RETURNING {columns})"
            cursor.execute(f"{gone} {add(table, f'SELECT {of_day} FROM gone')}")
            return
        cursor.execute(add(table, f"SELECT {of_day} FROM {table} WHERE {where}"))
        cursor.execute(f"DELETE FROM {table} WHERE {where}")


def compact(table: str) -> None:
    key, sums = KEYS[table], SUMS[table]
    nothing = " AND ".join(f"{name} = 0" for name in sums)
    with connection.cursor() as cursor:
        if not postgres():
            cursor.execute(f"DELETE FROM {table} WHERE {nothing}")
            return
        several = f"SELECT {key} FROM {table} GROUP BY {key} HAVING count(*) > 1"
        gone = f"""WITH gone AS (DELETE FROM {table} WHERE ({key}) IN ({several})
            RETURNING {key}, {", ".join(sums)})"""
        cursor.execute(f"{gone} {add(table, 'SELECT * FROM gone')}")


# Read


class Told(NamedTuple):
    """A group of failures, as far as it is kept."""

    fingerprint: str
    attempts: int
    jobs: int
    first_at: datetime
    newest: int  # attempt


def number(start: datetime) -> int:
    return int(start.timestamp()) // HOUR


def begins(start: datetime | None, now: datetime) -> bool:
    """Is there a count from that very moment on? None: of all."""
    if start is None or start.timestamp() % (HOUR * DAY) == 0:
        return True
    return start.timestamp() % HOUR == 0 and start > now - KEEP


def most_frequent(start: datetime, most: int, only: str = "") -> list[Told]:
    """start: a full hour. Those that ended first and last are looked up by the index."""
    ended = "FROM jobs_attempt AS a WHERE a.fingerprint = top.fingerprint AND a.finished_at >= %s"
    sql = f"""WITH top AS (SELECT fingerprint, sum(attempts) AS attempts, sum(jobs) AS jobs,
        max(hour) AS hour FROM {ATTEMPTS} WHERE hour >= %s {"AND fingerprint = %s" if only else ""}
        GROUP BY fingerprint HAVING sum(attempts) > 0
        ORDER BY 2 DESC, 4 DESC, fingerprint LIMIT {most})
        SELECT fingerprint, attempts, jobs, (SELECT min(a.finished_at) {ended}),
        (SELECT a.id {ended} ORDER BY a.finished_at DESC, a.id DESC LIMIT 1)
        FROM top ORDER BY 2 DESC, 5 DESC"""
    values = [number(start), *([only] if only else []), moment(start), moment(start)]
    return [
        Told(str(digest), int(attempts), int(jobs), when(first), int(newest))
        for digest, attempts, jobs, first, newest in select(sql, values)
        if newest is not None
    ]


def shares(name: str, start: datetime, digests: Collection[str]) -> list[tuple[str, int, int]]:
    """(fingerprint, node or spec, attempts); name: node or spec."""
    sql = f"""SELECT fingerprint, {name}, sum(attempts) FROM {ATTEMPTS}
        WHERE hour >= %s AND fingerprint IN ({marks(digests)})
        GROUP BY 1, 2 HAVING sum(attempts) > 0"""
    rows = select(sql, [number(start), *digests])
    return [(str(digest), int(pk), int(count)) for digest, pk, count in rows]


def still_failed(
    start: datetime, digests: Collection[str], owner: int | None
) -> dict[str, tuple[int, int]]:
    """Fingerprint -> jobs that stand as failed so, and those of them that are the owner's."""
    theirs = "sum(jobs)" if owner is None else "sum(CASE WHEN owner = %s THEN jobs ELSE 0 END)"
    sql = f"""SELECT failure, sum(jobs), {theirs} FROM {JOBS} WHERE hour >= %s
        AND failure IN ({marks(digests)}) AND state = '{State.FAILED}' GROUP BY 1"""
    rows = select(sql, [*([] if owner is None else [owner]), number(start), *digests])
    return {str(digest): (int(count), int(yours)) for digest, count, yours in rows}


def by_state(digests: Collection[str], start: datetime | None = None) -> dict[str, int]:
    """Jobs whose last attempt ended in one of these ways; start: of those that ended since."""
    sql = f"""SELECT state, sum(jobs) FROM {JOBS} WHERE hour >= %s
        AND failure IN ({marks(digests)}) GROUP BY 1"""
    rows = select(sql, [number(start) if start else 0, *digests])
    found = {state.value: 0 for state in State}
    return found | {str(state): int(count) for state, count in rows}

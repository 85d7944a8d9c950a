"""How many jobs of each sweep are in each state, kept by the database itself: nobody counts a
million rows to draw a page, and no way of changing a job can be forgotten.

SQLite has one writer and adds to a row. On PostgreSQL, where writers would wait for each other's
row, each statement adds rows of its own, and `compact` sums them up now and then.
"""

from collections.abc import Collection, Iterator
from typing import Any

from django.db import connection, transaction

from jobs.models import Tally
from jobs.rows import marks, select

MANY = 16  # rows of one slot, worth summing up
KINDS = {1: "succeeded", 2: "failed", 3: "cancelled"}  # 0: queued or running


def slot(row: str) -> str:
    """SQL for where a job counts: a number for its sweep (0: none) and what became of it."""
    cases = " ".join(f"WHEN '{state}' THEN {kind}" for kind, state in KINDS.items())
    return f"(coalesce({row}sweep_id, 0) * 4 + CASE {row}state {cases} ELSE 0 END)"


OLD, NEW = slot("OLD."), slot("NEW.")
ADD = f"""INSERT INTO jobs_tally (id, slot, count) VALUES ({NEW}, {NEW}, 1)
    ON CONFLICT (id) DO UPDATE SET count = count + 1;"""
TAKE = f"UPDATE jobs_tally SET count = count - 1 WHERE id = {OLD};"
SQLITE = [
    "DELETE FROM jobs_tally",
    "CREATE INDEX IF NOT EXISTS tally_slot ON jobs_tally (slot)",
    f"CREATE TRIGGER IF NOT EXISTS job_inserted AFTER INSERT ON jobs_job BEGIN {ADD} END",
    f"""CREATE TRIGGER IF NOT EXISTS job_moved AFTER UPDATE OF state ON jobs_job
    WHEN {OLD} <> {NEW} BEGIN {TAKE} {ADD} END""",
    f"CREATE TRIGGER IF NOT EXISTS job_deleted AFTER DELETE ON jobs_job BEGIN {TAKE} END",
    f"""INSERT INTO jobs_tally (id, slot, count)
    SELECT {slot("")}, {slot("")}, count(*) FROM jobs_job GROUP BY 1""",
]
FUNCTION = """CREATE OR REPLACE FUNCTION jobs_tally_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO jobs_tally (slot, count) {rows}; RETURN NULL; END $$"""
TRIGGER = """CREATE OR REPLACE TRIGGER job_{name} AFTER {event} ON jobs_job REFERENCING {tables}
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_{name}()"""
COUNTED = f"SELECT {slot('')}, {{sign}}count(*) FROM {{table}} GROUP BY 1"
MOVED = f"""SELECT slot, sum(change) FROM (SELECT {slot("")} AS slot, 1 AS change FROM after
    UNION ALL SELECT {slot("")}, -1 FROM before) AS changes
    GROUP BY 1 HAVING sum(change) <> 0"""
BEFORE, AFTER = "OLD TABLE AS before", "NEW TABLE AS after"
POSTGRES = [
    "LOCK TABLE jobs_job IN SHARE ROW EXCLUSIVE MODE",  # as making a trigger does: nobody writes
    "DELETE FROM jobs_tally",
    "CREATE INDEX IF NOT EXISTS tally_slot ON jobs_tally (slot)",
    FUNCTION.format(name="inserted", rows=COUNTED.format(sign="", table="after")),
    FUNCTION.format(name="deleted", rows=COUNTED.format(sign="-", table="before")),
    FUNCTION.format(name="moved", rows=MOVED),
    TRIGGER.format(name="inserted", event="INSERT", tables=AFTER),
    TRIGGER.format(name="deleted", event="DELETE", tables=BEFORE),
    TRIGGER.format(name="moved", event="UPDATE", tables=f"{BEFORE} {AFTER}"),
    f"INSERT INTO jobs_tally (slot, count) {COUNTED.format(sign='', table='jobs_job')}",
]
COMPACT = """WITH many AS (SELECT slot FROM jobs_tally GROUP BY 1 HAVING count(*) > %s),
    gone AS (DELETE FROM jobs_tally USING many WHERE jobs_tally.slot = many.slot
    RETURNING jobs_tally.slot, count)
    INSERT INTO jobs_tally (slot, count)
    SELECT slot, sum(count) FROM gone GROUP BY 1 HAVING sum(count) <> 0"""


def install(**_: Any) -> None:
    """After each migrate: a table that was rebuilt has lost its triggers. Counts anew."""
    if Tally._meta.db_table not in connection.introspection.table_names():
        return  # migrated back, to before there was any
    statements = POSTGRES if connection.vendor == "postgresql" else SQLITE
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def compact() -> None:
    """On PostgreSQL: one row where there were many."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(COMPACT, [MANY])


def of_all() -> dict[str, int]:
    """The final states with their counts, and those that are open, as "open"."""
    rows = select("SELECT slot % 4, sum(count) FROM jobs_tally GROUP BY 1")
    return {KINDS.get(kind, "open"): int(count) for kind, count in rows}


def of_sweeps(sweeps: Collection[int]) -> Iterator[tuple[int, str, int]]:
    """(sweep, state or "open", count)."""
    if not sweeps:
        return
    slots = [4 * sweep + kind for sweep in sweeps for kind in range(4)]
    sql = f"SELECT slot, sum(count) FROM jobs_tally WHERE slot IN ({marks(slots)}) GROUP BY 1"
    for place, count in select(sql, slots):
        yield place // 4, KINDS.get(place % 4, "open"), int(count)

"""How many jobs of each sweep are in each state, kept by the database itself: nobody counts a
million rows to draw a page, and no way of changing a job can be forgotten.

SQLite has one writer and adds to a row. On PostgreSQL, where writers would wait for each other's
row, each statement adds rows of its own, and `compact` sums them up now and then.
"""

from typing import Any

from django.db import connection, transaction

MANY = 16  # rows of one sweep, worth summing up

SQLITE = [
    "CREATE UNIQUE INDEX IF NOT EXISTS tally_once ON jobs_tally (sweep_id, state)",
    """CREATE TRIGGER IF NOT EXISTS job_inserted AFTER INSERT ON jobs_job BEGIN
    INSERT INTO jobs_tally (sweep_id, state, count) VALUES (coalesce(NEW.sweep_id, 0), NEW.state, 1)
    ON CONFLICT (sweep_id, state) DO UPDATE SET count = count + 1; END""",
    """CREATE TRIGGER IF NOT EXISTS job_moved AFTER UPDATE OF state ON jobs_job
    WHEN OLD.state <> NEW.state BEGIN
    UPDATE jobs_tally SET count = count - 1
    WHERE sweep_id = coalesce(OLD.sweep_id, 0) AND state = OLD.state;
    INSERT INTO jobs_tally (sweep_id, state, count) VALUES (coalesce(NEW.sweep_id, 0), NEW.state, 1)
    ON CONFLICT (sweep_id, state) DO UPDATE SET count = count + 1; END""",
    """CREATE TRIGGER IF NOT EXISTS job_deleted AFTER DELETE ON jobs_job BEGIN
    UPDATE jobs_tally SET count = count - 1
    WHERE sweep_id = coalesce(OLD.sweep_id, 0) AND state = OLD.state; END""",
]
POSTGRES = [
    "CREATE INDEX IF NOT EXISTS tally_sweep ON jobs_tally (sweep_id, state)",
    """CREATE OR REPLACE FUNCTION jobs_tally_inserted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobs_tally (sweep_id, state, count)
    SELECT coalesce(sweep_id, 0), state, count(*) FROM after GROUP BY 1, 2; RETURN NULL; END $$""",
    """CREATE OR REPLACE FUNCTION jobs_tally_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobs_tally (sweep_id, state, count)
    SELECT coalesce(sweep_id, 0), state, -count(*) FROM before GROUP BY 1, 2;
    RETURN NULL; END $$""",
    """CREATE OR REPLACE FUNCTION jobs_tally_moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO jobs_tally (sweep_id, state, count)
    SELECT sweep, state, sum(change) FROM (
    SELECT coalesce(sweep_id, 0) AS sweep, state, 1 AS change FROM after UNION ALL
    SELECT coalesce(sweep_id, 0), state, -1 FROM before) AS changes
    GROUP BY 1, 2 HAVING sum(change) <> 0; RETURN NULL; END $$""",
    """CREATE OR REPLACE TRIGGER job_inserted AFTER INSERT ON jobs_job
    REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_inserted()""",
    """CREATE OR REPLACE TRIGGER job_moved AFTER UPDATE ON jobs_job
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_moved()""",
    """CREATE OR REPLACE TRIGGER job_deleted AFTER DELETE ON jobs_job
    REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally_deleted()""",
]
RECOUNT = """INSERT INTO jobs_tally (sweep_id, state, count)
    SELECT coalesce(sweep_id, 0), state, count(*) FROM jobs_job GROUP BY 1, 2"""
COMPACT = """WITH many AS (SELECT sweep_id FROM jobs_tally GROUP BY 1 HAVING count(*) > %s),
    gone AS (DELETE FROM jobs_tally USING many WHERE jobs_tally.sweep_id = many.sweep_id
    RETURNING jobs_tally.sweep_id, state, count)
    INSERT INTO jobs_tally (sweep_id, state, count)
    SELECT sweep_id, state, sum(count) FROM gone GROUP BY 1, 2 HAVING sum(count) <> 0"""


def install(**_: Any) -> None:
    """After each migrate: a table that was rebuilt has lost its triggers."""
    statements = POSTGRES if connection.vendor == "postgresql" else SQLITE
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_tally")
        for statement in [*statements, RECOUNT]:
            cursor.execute(statement)


def compact() -> None:
    """On PostgreSQL: one row where there were many."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(COMPACT, [MANY])

"""F9 and F10: the database is away, or locked by somebody else."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.models import Job
from tests import factories, postgres
from tests.faults.elsewhere import Elsewhere
from tests.faults.record import verdict
from tests.faults.web import Web
from tests.faults.work import LEDGER_LINE, ended, is_final, ledger_job, lines, outcomes, text
from tests.live.fleet import fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

ALL = os.environ.get("DISPYCLUSTER_FAULTS") == "all"
AWAY_SECONDS = 30.0 if ALL else 10.0
LOCKED_SECONDS = 10.0
LOCKED_FOR_LONG_SECONDS = 40.0
CRASHES, LOAD = 10, 40  # jobs for each
BACK_SECONDS = 5.0  # until the dispatcher has committed again


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    if connection.vendor != "postgresql":
        pytest.skip("a database that is away is PostgreSQL's; for SQLite it is F10")
    with postgres.running() as made:
        yield made


@pytest.fixture
def whole(server: postgres.Server, tmp_path: Path) -> Iterator[Elsewhere]:
    """Dispatcher, monitor, web and two nodes on a server of their own."""
    with fleet(tmp_path, nodes=2) as made:
        yield Elsewhere(made, server.url).up()


def test_f09_the_database_is_stopped(whole: Elsewhere, server: postgres.Server) -> None:
    away_and_back(whole, server, "fast")


def test_f09_the_database_crashes(whole: Elsewhere, server: postgres.Server) -> None:
    away_and_back(whole, server, "immediate")


def test_f09_it_crashes_again_and_again_under_load(
    whole: Elsewhere, server: postgres.Server
) -> None:
    """It may go between claim and sending, or with a commit of which nobody knows."""
    whole.submit_sweep("true", CRASHES * LOAD)
    recovered = 0.0
    for _ in range(CRASHES):
        some_work(whole)
        server.stop("immediate")
        server.start()
        recovered = max(recovered, some_work(whole))
    whole.wait(whole.idle, 60, "the end of all jobs")
    assert whole.get("/api/jobs/status")["succeeded"] == len(whole.accepted), whole.fleet.logs()
    whole.alive()
    whole.judge("F9", recovered, BACK_SECONDS)


def some_work(whole: Elsewhere) -> float:
    """Wait until a few more jobs have run; the seconds it took."""
    count = len(lines(whole.ledger))
    return whole.wait(lambda: len(lines(whole.ledger)) > count + 3, 20, "work")


def away_and_back(whole: Elsewhere, server: postgres.Server, mode: str) -> None:
    go_on = whole.fleet.folder / "go-on"
    short = whole.submit("sleep 3; echo short")  # ends while the database is away
    long = whole.submit(f"while [ ! -e {go_on} ]; do sleep 0.1; done; echo long")
    whole.begun(short, long)
    waiting = [whole.submit("true") for _ in range(4)]
    server.stop(mode)
    stopped_at, until = datetime.now(UTC), time.monotonic() + AWAY_SECONDS
    key = whole.body("true")
    while time.monotonic() < until:
        away(whole.web)
        status, _, headers = whole.web.submit(key, "mine")
        assert (status, headers.get("Retry-After")) == (503, "5")
        whole.alive()
        time.sleep(0.5)
    server.start()
    back = time.monotonic()
    whole.wait(lambda: renewed_at(server) > stopped_at, 20, "a commit")
    recovered = time.monotonic() - back
    whole.succeeded(short)
    assert whole.output(short) == "short\n"
    assert whole.job(long)["state"] == "running"
    go_on.touch()
    whole.succeeded(long)
    assert whole.output(long) == "long\n"
    new = whole.take(whole.web.submit(key, "mine"))
    assert whole.take(whole.web.submit(key, "mine")) == new
    for pk in [*waiting, new]:
        whole.succeeded(pk)
    assert whole.web.page("/")[0] == 200
    whole.wait(whole.complete, 30, "all of it back")
    whole.alive()
    whole.judge("F9", recovered, BACK_SECONDS)


def away(web: Web) -> None:
    """API and pages ask to come again; so does the look of a load balancer."""
    status, body, headers = web.ask("GET", "/api/jobs")
    assert (status, headers.get("Retry-After")) == (503, "5")
    assert "database does not answer" in body["detail"]
    for path in ("/", "/jobs"):
        status, page_headers = web.page(path)
        assert (status, page_headers.get("Retry-After")) == (503, "5")
    assert web.ask("GET", "/healthz")[0] == 503
    assert web.ask("GET", "/readyz")[0] == 503


def renewed_at(server: postgres.Server) -> datetime:
    """The dispatcher's last heartbeat, looked up without its help or the web's."""
    with psycopg.connect(server.url) as own:
        row = own.execute("SELECT renewed_at FROM jobs_lease WHERE name = 'dispatcher'").fetchone()
    assert row
    found: datetime = row[0]
    return found


@pytest.fixture
def with_web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    """Dispatcher, one node and web on the test's database, which is SQLite's."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has no lock on the whole database")
    with fleet(tmp_path, nodes=1) as made:
        made.up()
        web = Web(made)
        web.sign_in(factories.make_user())
        web.start()
        yield web


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Somebody else is writing, and takes long over it."""
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=20, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_f10_the_database_is_locked(with_web: Web) -> None:
    statuses = locked_and_free(with_web, LOCKED_SECONDS)
    assert set(statuses) <= {201, 503}


def test_f10_the_database_is_locked_for_long(with_web: Web) -> None:
    statuses = locked_and_free(with_web, LOCKED_FOR_LONG_SECONDS)
    assert statuses[0] == 503


def locked_and_free(web: Web, seconds: float) -> list[int]:
    """What the web said to a job posted meanwhile, repeated until it was taken."""
    made, ledger = web.fleet, web.fleet.folder / "ledger"
    short = ledger_job(ledger, "sleep 3; echo short", on_lost="fail")
    wait_for(lambda: lines(ledger), 10, f"start\n{made.logs()}")
    body = {"kind": "command", "command": LEDGER_LINE.format(ledger=ledger), "on_lost": "fail"}
    with ThreadPoolExecutor(1) as pool:
        with locked():
            until = time.monotonic() + seconds
            posting = pool.submit(post_until_taken, web, body)
            while time.monotonic() < until:
                assert web.ask("GET", f"/api/jobs/{short.pk}")[1]["state"] == "running"
                assert all(process.poll() is None for process in made.processes.values())
                time.sleep(0.5)
            assert not posting.done()
        free = time.monotonic()
        recovered = wait_for(lambda: is_final(short), 20, f"its end\n{made.logs()}")
        statuses, pk = posting.result(60)
    assert time.monotonic() - free < 20
    assert web.submit(body, "mine")[1]["id"] == pk
    new = ledger_job(ledger, "true", on_lost="fail")
    for job in (short, Job.objects.get(pk=pk), new):
        assert ended(job).state == "succeeded", f"{job.error}\n{made.logs()}"
        assert outcomes(job) == ["succeeded"]
        assert lines(ledger).count(str(job.pk)) == 1
    assert text(short) == b"short\n"
    assert Job.objects.count() == 3
    assert all(process.poll() is None for process in made.processes.values())
    verdict("F10", Job.objects.all(), ledger, recovered, bound=BACK_SECONDS)
    return statuses


def post_until_taken(web: Web, body: dict[str, Any]) -> tuple[list[int], int]:
    statuses: list[int] = []
    while True:
        status, job, headers = web.submit(body, "mine")
        statuses.append(status)
        if status in (200, 201):
            return statuses, int(job["id"])
        assert (status, headers.get("Retry-After")) == (503, "5"), job

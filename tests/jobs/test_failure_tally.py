"""What is kept of failures must be what looking at each row finds, whatever happened to them."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs import cleanup, failure_tally, failures, lifecycle, tally
from jobs.models import Attempt, AttemptTally, Job, JobTally, Sweep
from tests.factories import make_job, make_node, make_sweep, make_user
from tests.fakes import FakeEngine
from tests.jobs.conftest import Pass

ERRORS = ["ValueError: bad value 3", "KeyError: 'x'", "OSError: no space"]


def looked_up(start: datetime) -> dict[str, Any]:
    """Fingerprint -> all that a group tells, from the rows."""
    found: dict[str, Any] = {}
    for attempt in Attempt.objects.filter(fingerprint__isnull=False, finished_at__gte=start):
        told = found.setdefault(str(attempt.fingerprint), defaultdict(Counter))
        told["attempts"][""] += 1
        told["jobs"][attempt.job_id] = 1
        told["nodes"][attempt.node_id] += 1
        told["specs"][attempt.job.spec_id] += 1
        told["ends"][attempt.finished_at] += 1
        if attempt.job.state == "failed" and attempt.number == attempt.job.tried:
            told["failed"][attempt.job.owner_id] += 1
    return {
        digest: {
            "count": told["attempts"][""], "jobs": len(told["jobs"]), "first": min(told["ends"]),
            "last": max(told["ends"]), "failed": sum(told["failed"].values()),
            "mine": told["failed"][mine()], "nodes": dict(told["nodes"]),
            "specs": dict(told["specs"]),
        }
        for digest, told in found.items()
    }  # fmt: skip


def mine() -> int:
    return make_user().pk


def kept(start: datetime) -> dict[str, Any]:
    return {
        group.fingerprint: {
            "count": group.count, "jobs": group.jobs, "first": group.first_at,
            "last": group.last_at, "failed": group.failed, "mine": group.yours,
            "nodes": {share.pk: share.count for share in group.nodes},
            "specs": {share.pk: share.count for share in group.specs},
        }
        for group in failures.groups(start, owner=mine())
    }  # fmt: skip


def check(now: datetime) -> None:
    for days in failures.DAYS:
        start = failures.since(days, now)
        assert kept(start) == looked_up(start)
    by_state: dict[str, Counter[str]] = defaultdict(Counter)
    for job in Job.objects.all():
        last = job.attempts.filter(number=job.tried).first()
        # One that was requeued has forgotten it.
        if job.failure or job.state == "failed":
            assert last and job.failure == last.fingerprint
            by_state[str(job.failure)][job.state] += 1
    for digest in {*Attempt.objects.values_list("fingerprint", flat=True)} - {None}:
        known = {state: n for state, n in failure_tally.by_state([str(digest)]).items() if n}
        assert known == by_state[str(digest)]


def fail(now: datetime, *attempts: Attempt, error: str = ERRORS[0], **more: Any) -> None:
    told = {"outcome": "failed", "error": error, "error_type": "ValueError", **more}
    lifecycle.close([lifecycle.Closing(attempt.pk, **told) for attempt in attempts], now)


def open_one(job: Job, now: datetime, node: Any) -> Attempt:
    """As the claim does."""
    number = job.tried + 1
    Job.objects.filter(pk=job.pk).update(
        state="running", tried=number, node=node, failure=None, started_at=now
    )
    job.refresh_from_db()
    return Attempt.objects.create(
        job=job, number=number, node=node, bundle=job.pk, claimed_at=now, started_at=now
    )


@pytest.mark.django_db
def test_a_job_that_fails_again_in_the_same_way_is_one_job(now: datetime) -> None:
    node, job = make_node(), make_job(now, max_attempts=3)
    fail(now, open_one(job, now, node))
    check(now)
    job.refresh_from_db()
    assert (job.state, bool(job.failure)) == ("queued", True)
    later = now + timedelta(hours=30)
    fail(later, open_one(job, later, node))
    check(later)
    [group] = failures.groups(failures.since(7, later))
    assert (group.count, group.jobs, group.failed) == (2, 1, 0)
    [group] = failures.groups(failures.since(1, later))
    assert (group.count, group.jobs) == (1, 1)
    fail(later, open_one(job, later, node), error=ERRORS[1])
    check(later)
    assert len(failures.groups(failures.since(7, later))) == 2
    # Of several attempts the latest goes first: the job counts where the one before it ended.
    job.attempts.get(number=2).delete()
    check(later)
    job.attempts.all().delete()
    assert not failures.groups(failures.since(30, later))


@pytest.mark.django_db
def test_a_job_whose_earlier_attempt_is_deleted_still_counts(now: datetime) -> None:
    node, job = make_node(), make_job(now, max_attempts=3)
    for _ in range(3):
        fail(now, open_one(job, now, node))
    for number in (2, 1):
        job.attempts.get(number=number).delete()
        check(now)
    [group] = failures.groups(failures.since(1, now))
    assert (group.count, group.jobs, group.failed) == (1, 1, 1)


@pytest.mark.django_db
def test_a_requeued_job_is_no_longer_failed_and_forgets_why(now: datetime) -> None:
    node, jobs = make_node(), [make_job(now) for _ in range(3)]
    fail(now, *(open_one(job, now, node) for job in jobs))
    [group] = failures.groups(failures.since(1, now))
    assert (group.count, group.failed) == (3, 3)
    one = Job.objects.filter(pk=jobs[0].pk)
    assert lifecycle.requeue(one, now, "alice") == 1
    check(now)
    [group] = failures.groups(failures.since(1, now))
    assert (group.count, group.failed) == (3, 2)
    assert one.get().failure is None
    lifecycle.cancel(one, now, "alice")
    check(now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_what_is_kept_is_what_the_rows_say(
    engine: FakeEngine, one_pass: Pass, now: datetime, seed: int
) -> None:
    draw, bob = random.Random(seed), make_user("bob")
    for n in range(3):
        make_node(f"pi-{n}", slots=3)
    clock = now

    def submit() -> None:
        make_sweep(draw.randrange(1, 5), clock, max_attempts=draw.randrange(1, 4))
        make_job(clock, owner=bob, command=[f"c{draw.randrange(3)}"], max_attempts=2)

    def end() -> None:
        for bundle in [b for b in engine.sent if draw.random() < 0.7]:
            error = draw.choice(ERRORS)
            match draw.choice(["failed", "failed", "timed_out", "succeeded", "lost"]):
                case "lost":
                    engine.lose(bundle, draw.choice(["gone", "reset"]))
                case outcome:
                    engine.end(bundle, outcome, error=error, error_type=error.partition(":")[0])
            del engine.sent[bundle]

    def some() -> Any:
        return Job.objects.filter(pk__in=[0] + [
            pk for pk in Job.objects.values_list("pk", flat=True) if draw.random() < 0.3
        ])  # fmt: skip

    def away() -> None:
        sweep = Sweep.objects.order_by("pk").first()
        if sweep and not sweep.jobs.filter(state__in=["queued", "running"]).exists():
            sweep.delete()

    acts: list[Callable[[], Any]] = [
        submit, submit, end, end, end, end,
        lambda: lifecycle.cancel(some(), clock, "alice"),
        lambda: lifecycle.requeue(some(), clock, "alice"),
        lambda: sum(cleanup.delete(some())),
        lambda: some().filter(state="failed").delete(),
        lambda: cleanup.cleanup(clock, days=20.0),
        lambda: failure_tally.thin(clock), away,
    ]  # fmt: skip
    for _ in range(40):
        clock += timedelta(hours=draw.choice([0, 0, 1, 7, 30]), minutes=draw.randrange(90))
        draw.choice(acts)()
        check(clock)
        one_pass(clock)
        check(clock)


@contextmanager
def statements() -> Iterator[list[str]]:
    found: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    found += [query["sql"] for query in captured.captured_queries]


@pytest.mark.django_db
def test_failures_cost_a_drain_one_statement_and_successes_none(now: datetime) -> None:
    node = make_node()

    def cost(count: int, outcome: str) -> list[str]:
        tried = [open_one(make_job(now), now, node) for _ in range(count)]
        with statements() as found:
            fail(now, *tried, outcome=outcome)
        return [sql for sql in found if "tally" in sql]

    assert cost(1, "succeeded") == cost(5, "succeeded") == []
    assert len(cost(1, "failed")) == len(cost(20, "failed")) == 1


@pytest.mark.django_db
def test_old_hours_become_days_and_rows_of_one_cell_one(now: datetime) -> None:
    node = make_node()
    for hours in (0, 1, 1, 1, 24 * 3, 24 * 3 + 1, 24 * 3 + 5, 24 * 9):
        fail(now - timedelta(hours=hours), open_one(make_job(now), now - timedelta(days=20), node))
    # At noon of the third day before and of the ninth; one of five hours earlier is that day's too.
    assert failure_tally.thin(now) == 4  # two days, of attempts and of jobs
    failure_tally.thin(now)  # on PostgreSQL, what was gathered beside a day's own row
    assert AttemptTally.objects.count() == JobTally.objects.count() == 4
    check(now)
    Job.objects.all().delete()
    failure_tally.thin(now)
    assert not AttemptTally.objects.exclude(attempts=0, jobs=0).exists()
    assert not JobTally.objects.exclude(jobs=0).exists()


@pytest.mark.django_db(transaction=True)
def test_a_database_of_before_gets_its_counts_by_migrate(now: datetime) -> None:
    node, jobs = make_node(), [make_job(now, max_attempts=2) for _ in range(3)]
    fail(now, *(open_one(job, now, node) for job in jobs))
    fail(now, open_one(jobs[0], now, node), error=ERRORS[1])
    before = kept(failures.since(1, now))
    Job.objects.update(failure=None)
    with connection.cursor() as cursor:
        cursor.execute(import_module("jobs.migrations.0007_failures_are_counted").LAST)
        on = " ON jobs_attempt" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER failed_attempt_deleted{on}")
    AttemptTally.objects.update(attempts=99)
    JobTally.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert kept(failures.since(1, now)) == before
    check(now)
    Job.objects.all().delete()
    check(now)


@pytest.mark.django_db
def test_a_migrate_beside_a_dispatcher_waits_for_no_writer() -> None:
    with CaptureQueriesContext(connection) as captured:
        failure_tally.install()
    made = [query["sql"] for query in captured if "CREATE TRIGGER" in query["sql"]]
    assert bool(made) == (connection.vendor == "sqlite")  # whose writers wait for anything


@pytest.mark.django_db
@pytest.mark.parametrize("module", [tally, failure_tally])
def test_a_database_migrated_back_to_before_there_were_counts_is_left_alone(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", lambda *_: ["jobs_job"])
    with CaptureQueriesContext(connection) as captured:
        module.install()
    assert not captured.captured_queries

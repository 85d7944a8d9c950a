"""F15, F19: clocks that are a day off, and answers of attempts that were given up."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from cluster.engine.events import BundleEnded, Progress
from jobs import lease
from jobs.dispatcher import Desk, run_once
from jobs.health import Health
from jobs.models import Attempt, Event, Job
from tests.factories import NOW, hold_lease, make_job, make_node
from tests.fakes import FakeEngine, report, stream
from tests.faults.record import verdict

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]

DAY = 86_400.0
Pass = Callable[[float], None]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def one_pass(engine: FakeEngine, db: None) -> Pass:
    desk = Desk(hold_lease(), Health(NOW))

    def at(seconds: float) -> None:
        run_once(engine, desk, NOW + timedelta(seconds=seconds))

    return at


def send_one(engine: FakeEngine, one_pass: Pass, seconds: float) -> int:
    """The bundle that goes out now."""
    before = set(engine.sent)
    one_pass(seconds)
    [bundle] = set(engine.sent) - before
    return bundle


@pytest.mark.parametrize("skew", [-DAY, 0.0, DAY])
def test_f15_a_nodes_clock_is_a_day_off(engine: FakeEngine, one_pass: Pass, skew: float) -> None:
    make_node()
    jobs = [make_job(NOW + timedelta(seconds=n), command=["echo", str(n)]) for n in range(3)]
    bundle = send_one(engine, one_pass, 5)
    for n in range(3):
        begun = 5.0 + 10 * n
        engine.started(bundle, *engine.attempts(bundle))
        one_pass(begun + 1)
        node_says = (NOW + timedelta(seconds=begun + 6)).timestamp() + skew
        engine.end(bundle, started_at=node_says, run_seconds=4.0)
        if n < 2:
            bundle = send_one(engine, one_pass, begun + 10)
        else:
            one_pass(begun + 10)
    attempts = list(Attempt.objects.order_by("id"))
    assert [attempt.job_id for attempt in attempts] == [job.pk for job in jobs]
    for n, attempt in enumerate(attempts):
        claimed = NOW + timedelta(seconds=5 + 10 * n)
        assert attempt.claimed_at == claimed
        assert attempt.started_at == claimed + timedelta(seconds=6)
        assert attempt.finished_at == claimed + timedelta(seconds=10)
        assert attempt.run_seconds == 4.0
    ends = [job.finished_at for job in Job.objects.order_by("id")]
    assert ends == sorted(ends, key=lambda at: at or datetime.min)
    verdict("F15", jobs, None, 0.0)


@pytest.mark.parametrize(
    "wild",
    [
        {"run_seconds": -DAY},
        {"run_seconds": float("nan"), "cpu_seconds": float("nan")},
        {"cpu_seconds": -5.0, "max_rss_kb": -1},
        {"cpu_seconds": float("inf")},
        {"started_at": float("nan")},
        {"started_at": 1e300},
        {"run_seconds": 1e300},
        {"exit_code": 2**40},
        {"exit_code": "0"},
        {"max_rss_kb": 2**70},
        {"stdout": stream("x") | {"total": 2**70}},
        {"stdout": stream("x") | {"total": -1}},
        {"artifacts": [{"name": "a", "size": 2**70, "digest": "", "error": "gone"}]},
    ],
    ids=str,
)
def test_f15_wild_figures_leave_sane_rows_and_jam_nothing(
    engine: FakeEngine, one_pass: Pass, wild: dict[str, Any]
) -> None:
    make_node()
    job = make_job(on_lost="fail")
    bundle = send_one(engine, one_pass, 1)
    engine.end(bundle, **wild)
    one_pass(5)
    good = make_job(NOW)
    engine.end(send_one(engine, one_pass, 6))
    one_pass(7)
    good.refresh_from_db()
    assert good.state == "succeeded"
    job.refresh_from_db()
    assert job.state in ("succeeded", "failed")
    attempt = job.attempts.get()
    assert attempt.finished_at and attempt.claimed_at <= attempt.finished_at
    assert attempt.finished_at <= NOW + timedelta(seconds=5)
    for figure in (attempt.run_seconds, attempt.cpu_seconds):
        assert figure is None or 0 <= figure <= 1e9
    assert (attempt.max_rss_kb or 0) >= 0
    assert attempt.stdout_bytes >= 0
    verdict("F15", [job, good], None, 0.0)


def test_f15_a_lease_is_watched_by_ones_own_clock(db: None) -> None:
    """A holder whose clock is a day ahead, or behind, is neither robbed nor waited for."""
    for skew in (-DAY, DAY):
        lease.Lease.objects.all().delete()
        theirs = NOW + timedelta(seconds=skew)
        epoch = lease.take("dispatcher", "elsewhere:1:1", theirs)
        assert epoch
        turn = lease.Turn("dispatcher")
        for second in range(0, 40, 5):  # it renews all the time
            lease.renew("dispatcher", epoch, theirs + timedelta(seconds=second))
            assert turn.ask(NOW + timedelta(seconds=second), float(second)) is None
        assert turn.holder_lives
        silent = 35.0 + lease.SECONDS
        assert turn.ask(NOW + timedelta(seconds=silent - 1), silent - 1) is None
        assert turn.ask(NOW + timedelta(seconds=silent), silent) == epoch + 1


def test_f19_a_job_that_must_not_run_twice_and_was_stopped_is_not_sent_again(
    engine: FakeEngine, one_pass: Pass
) -> None:
    make_node()
    job = make_job(on_lost="fail")
    bundle = send_one(engine, one_pass, 1)
    engine.end(bundle, "cancelled", error="cancelled while it ran")  # with its node: nobody asked
    one_pass(2)
    job.refresh_from_db()
    assert (job.state, job.attempts.get().outcome) == ("failed", "lost")
    verdict("F19", [job], None, 0.0)


def test_f19_the_answer_of_an_old_attempt_is_never_accepted(
    engine: FakeEngine, one_pass: Pass
) -> None:
    first_node, second_node = make_node("a"), make_node("b")
    job = make_job()
    old = send_one(engine, one_pass, 1)
    engine.lose(old)
    new = send_one(engine, one_pass, 2)
    assert {engine.address[old], engine.address[new]} == {first_node.address, second_node.address}
    [newest] = engine.attempts(new)
    tricks: list[Callable[[], None]] = [
        lambda: engine.end(old, result='"old"'),
        lambda: engine.end(old, "failed", error="too late"),
        # It may name the new attempt, or the new bundle: neither is its own.
        lambda: engine.say(old, [report(newest, result='"forged"')]),
        lambda: engine.say(old, [report(newest, result='"forged"')], final=False),
        lambda: engine.events.append(
            BundleEnded(new, engine.address[old], f'{{"ended": [], "bundle": {new}}}', "")
        ),
        lambda: engine.events.append(
            Progress(new, engine.address[old], f'{{"started": [{newest}], "ended": []}}')
        ),
    ]
    for number, trick in enumerate(tricks):
        trick()
        one_pass(3 + number)
        job.refresh_from_db()
        assert job.state == "running"
        assert list(job.attempts.values_list("outcome", flat=True)) == ["lost", None]
        assert job.attempts.get(number=2).started_at is None
    assert Event.objects.filter(job=job, attempt=1, why__contains="late answer").exists()
    engine.end(new, result='"new"')
    engine.end(old, result='"old"')
    one_pass(20)
    engine.end(old, result='"old"')
    one_pass(21)
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", '"new"')
    assert list(job.attempts.values_list("outcome", flat=True)) == ["lost", "succeeded"]
    verdict("F19", [job], None, 0.0)

"""Flows through run_once, with an engine whose answers the tests choose."""

import errno
import json
import math
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from cluster.engine.events import NodeGone, NodeReading, NodeSeen, NodeTrouble, Progress
from cluster.models import Node
from jobs import dispatcher, lease, lifecycle
from jobs.dispatcher import Desk, run_once, take_news
from jobs.models import Attempt, Job, Lease, Output
from jobs.runtimes import Stat
from tests.factories import make_job, make_node, make_sweep
from tests.fakes import FakeEngine, report, stream
from tests.jobs.conftest import Pass

pytestmark = pytest.mark.django_db


def outcomes(job: Job) -> list[str | None]:
    return [attempt.outcome for attempt in job.attempts.order_by("number")]


def test_a_job_goes_out_and_its_answer_is_recorded_once(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "running"
    bundle = engine.only()
    engine.end(bundle, result="42", stdout=stream("hello\n"))
    engine.end(bundle, "failed", error="a second answer")
    one_pass(now + timedelta(seconds=2))
    one_pass(now + timedelta(seconds=3))
    job.refresh_from_db()
    assert (job.state, job.result, job.error) == ("succeeded", "42", "")
    assert job.run_seconds == 0.5
    assert outcomes(job) == ["succeeded"]
    assert [bytes(o.data) for o in Output.objects.all()] == [b"hello\n"]


def test_a_failure_that_counts_is_tried_again_after_a_pause(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now, max_attempts=2)
    one_pass(now)
    engine.end(engine.only(), "failed", error="exited with status 3", exit_code=3)
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "queued"
    assert job.run_at > now
    assert not Attempt.objects.filter(finished_at=None).exists()
    later = job.run_at
    engine.sent.clear()
    one_pass(later)
    engine.end(engine.only(), "failed", error="exited with status 3", exit_code=3)
    one_pass(later)
    job.refresh_from_db()
    assert (job.state, job.exit_code, job.error) == ("failed", 3, "exited with status 3")
    assert outcomes(job) == ["failed", "failed"]


def test_a_lost_attempt_is_tried_again_and_its_late_answer_is_ignored(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    first = engine.only()
    engine.lose(first)
    engine.end(first, "succeeded")
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "running"  # lost, queued and sent again in one pass
    assert job.charged == 0
    assert outcomes(job) == ["lost", None]


def test_a_job_that_must_not_run_twice_fails_when_it_is_lost(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now, on_lost="fail", max_attempts=5)
    one_pass(now)
    engine.lose(engine.only())
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "failed"
    assert "lost" in job.error


def test_a_job_that_must_not_run_twice_goes_back_if_it_certainly_never_started(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now, on_lost="fail")
    one_pass(now)
    engine.lose(engine.only(), never_started=True)
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "running"
    assert outcomes(job) == ["lost", None]


def test_a_job_lost_three_times_is_taken_for_the_cause(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    for _ in range(3):
        one_pass(now)
        [bundle] = engine.sent
        engine.sent.clear()
        engine.lose(bundle)
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "failed"
    assert "lost 3 times" in job.error
    assert outcomes(job) == ["lost"] * 3


def test_members_ride_together_once_their_run_time_is_known(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node(slots=2)
    make_sweep(200, now)
    one_pass(now)
    assert [len(sent["members"]) for sent in engine.sent.values()] == [1, 1]
    sizes = []
    while Job.objects.exclude(state="succeeded").exists():
        for bundle in list(engine.sent):
            sizes.append(len(engine.sent[bundle]["members"]))
            engine.end(bundle, run_seconds=0.001)
            del engine.sent[bundle]
        one_pass(now)
    assert sum(sizes) == 200
    assert max(sizes) > 10
    assert Attempt.objects.count() == 200


def test_a_lost_bundle_costs_only_the_member_in_flight(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    node = make_node()
    sweep = make_sweep(8, now)
    desk.times.note(sweep.spec_id, node.pk, 0.01)
    one_pass(now)
    bundle = engine.only()
    attempts = engine.attempts(bundle)
    assert len(attempts) == 4
    engine.started(bundle, *attempts[:2])
    engine.say(bundle, [report(attempts[0])], final=False)
    engine.lose(bundle)
    one_pass(now)
    rows = [Attempt.objects.get(pk=pk).outcome for pk in attempts]
    assert rows == ["succeeded", "lost", "released", "released"]


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_on_its_node(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    running, queued = make_job(now), make_job(now)
    one_pass(now)
    assert lifecycle.cancel(Job.objects.all(), now, "alice") == 2
    queued.refresh_from_db()
    assert queued.state == "cancelled"
    one_pass(now)
    assert engine.cancelled == [engine.only()]
    engine.end(engine.only(), "cancelled", error="cancelled")
    one_pass(now)
    running.refresh_from_db()
    assert running.state == "cancelled"


def test_a_job_that_finishes_before_the_cancel_reaches_it_has_succeeded(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    lifecycle.cancel(Job.objects.all(), now, "alice")
    engine.end(engine.only())
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "succeeded"
    assert lifecycle.cancel(Job.objects.all(), now, "alice") == 0


def test_a_requeued_job_starts_afresh_and_keeps_its_history(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    engine.end(engine.only(), "failed", error="no")
    one_pass(now)
    assert lifecycle.requeue(Job.objects.all(), now, "alice") == 1
    engine.sent.clear()
    one_pass(now)
    engine.end(engine.only())
    one_pass(now)
    job.refresh_from_db()
    assert (job.state, job.tried, job.error) == ("succeeded", 2, "")
    assert outcomes(job) == ["failed", "succeeded"]


def test_the_urgent_go_first_and_the_scheduled_wait(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    make_job(now, priority=0)
    make_job(now, priority=9, run_at=now + timedelta(hours=1))
    urgent = make_job(now, priority=5)
    one_pass(now)
    [member] = engine.sent[engine.only()]["members"]
    assert member["job"] == urgent.pk


def test_a_node_that_turns_a_bundle_away_rests_and_costs_nothing(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    node = make_node()
    engine.full.add(node.address)
    job = make_job(now)
    one_pass(now)
    one_pass(now)
    job.refresh_from_db()
    assert (job.state, job.charged, job.losses) == ("queued", 0, 0)
    assert outcomes(job) == ["released"]
    engine.full.clear()
    one_pass(now + timedelta(seconds=2))
    assert len(engine.sent) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"ended": 5}', '{"ended": [{"attempt": 1}]}', "[" * 100_000]
)
def test_a_nonsense_answer_is_a_loss_and_jams_nothing(
    engine: FakeEngine, one_pass: Pass, now: datetime, text: str
) -> None:
    from cluster.engine.events import BundleEnded

    make_node()
    job = make_job(now, on_lost="fail")
    one_pass(now)
    bundle = engine.only()
    text = text.replace('"attempt": 1', f'"attempt": {engine.attempts(bundle)[0]}')
    engine.events.append(BundleEnded(bundle, engine.address[bundle], text))
    one_pass(now)
    job.refresh_from_db()
    assert job.state == "failed"


def test_a_node_may_answer_for_its_own_attempts_only(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a")
    make_node("b")
    make_job(now), make_job(now)
    one_pass(now)
    first, second = engine.sent
    engine.say(first, [report(engine.attempts(second)[0], result='"forged"')])
    one_pass(now)
    assert not Job.objects.filter(result='"forged"').exists()
    assert Attempt.objects.get(pk=engine.attempts(second)[0]).outcome is None


def test_node_news_reach_the_row(engine: FakeEngine, one_pass: Pass, now: datetime) -> None:
    engine.events += [
        NodeSeen("127.0.0.2", "pi", 4, "Linux", "4.15.2", True, {"arch": "aarch64"}),
        NodeTrouble("pi-9", "its name does not resolve"),
    ]
    one_pass(now)
    node = Node.objects.get(name="pi")
    assert (node.online, node.slots, node.passport["arch"]) == (True, 4, "aarch64")
    assert Node.objects.get(address="pi-9").trouble == "its name does not resolve"
    engine.events += [
        NodeReading("127.0.0.2", 12.5, 1000, 2000, 3000, 0.0),
        NodeGone("127.0.0.2", "no pulse for 5 s"),
    ]
    one_pass(now + timedelta(seconds=10))
    node.refresh_from_db()
    assert (node.online, node.cpu_percent, node.memory_free) == (False, 12.5, 1000)


def test_an_old_holder_of_the_lease_writes_nothing(
    engine: FakeEngine, desk: Desk, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    later = now + timedelta(seconds=lease.SECONDS + 1)
    assert lease.take("dispatcher", "another", later, silent_since=now) == desk.epoch + 1
    with pytest.raises(lease.LeaseLost):
        run_once(engine, desk, later)
    job.refresh_from_db()
    assert job.state == "queued"


def test_the_hot_path_takes_a_fixed_number_of_statements(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    node = make_node()
    sweep = make_sweep(400, now)
    desk.next_beat = desk.next_rescue = now + timedelta(hours=1)
    counts = []
    for mean in (0.03, 0.02, 0.004):
        desk.times.put(sweep.spec_id, node.pk, Stat(9, math.log(mean)))
        with CaptureQueriesContext(connection) as queries:
            one_pass(now)
        bundle = engine.only()
        size = len(engine.attempts(bundle))
        engine.end(bundle, run_seconds=mean, stdout=stream("x"))
        engine.sent.clear()
        with CaptureQueriesContext(connection) as more:
            take_news(engine, desk, now)
        counts.append((len(queries), len(more)))
    assert size > 20
    assert counts[1] == counts[2]  # in the first pass a spec is read that is known from then on


@pytest.mark.parametrize("committed", [True, False])
def test_a_claim_whose_commit_was_cut_off_is_taken_back_and_made_again(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime, monkeypatch: Any, committed: bool
) -> None:
    """Whether or not it is there, nothing of it was sent."""
    make_node()
    job = make_job(now, on_lost="fail")
    real = dispatcher.claim

    def cut_off(*args: Any) -> Any:
        with transaction.atomic():
            real(*args)
            if not committed:
                transaction.set_rollback(True)
        raise OperationalError("the connection broke")

    monkeypatch.setattr(dispatcher, "claim", cut_off)
    with pytest.raises(OperationalError):
        one_pass(now)
    assert not engine.sent
    monkeypatch.setattr(dispatcher, "claim", real)
    one_pass(now + timedelta(seconds=1))
    job.refresh_from_db()
    assert (job.state, job.charged) == ("running", 0)
    assert outcomes(job) == (["released", None] if committed else [None])
    assert engine.attempts(engine.only()) == [job.attempts.latest("number").pk]
    assert not desk.unsent


def test_bundles_not_yet_sent_when_the_database_goes_are_taken_back(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime, monkeypatch: Any
) -> None:
    make_node("a")
    make_node("b")
    jobs = [make_job(now), make_job(now)]

    def away(*args: Any) -> Any:
        raise OperationalError("the connection broke")

    monkeypatch.setattr(dispatcher, "parcel", away)
    with pytest.raises(OperationalError):
        one_pass(now)
    monkeypatch.undo()
    one_pass(now + timedelta(seconds=1))
    assert len(engine.sent) == 2
    assert [outcomes(job) for job in jobs] == [["released", None]] * 2


def test_a_dispatcher_that_cannot_send_still_says_that_it_lives(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime, monkeypatch: Any
) -> None:
    """A full disk: it is to find out, and must not lose its lease over it."""
    make_node()
    job = make_job(now)

    def full(*args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dispatcher, "parcel", full)
    for seconds in (5, 10):
        one_pass(now + timedelta(seconds=seconds))
        renewed = Lease.objects.get(name="dispatcher").renewed_at
        assert renewed == now + timedelta(seconds=seconds)
    monkeypatch.undo()
    one_pass(now + timedelta(seconds=15))
    assert outcomes(job) == ["released", "released", None]


def test_what_a_lost_attempt_wrote_last_is_kept(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now, max_attempts=1)
    one_pass(now)
    bundle = engine.only()
    [attempt] = engine.attempts(bundle)
    piece = {"attempt": attempt, "stream": "stdout", "offset": 0, "text": "last words"}
    text = json.dumps({"bundle": bundle, "started": [attempt], "ended": [], "output": [piece]})
    engine.events.append(Progress(bundle, engine.address[bundle], text))
    engine.lose(bundle)
    one_pass(now)
    [kept] = Output.objects.filter(attempt__job=job)
    assert bytes(kept.data) == b"last words"

"""Breakers, canaries and speeds, through whole passes."""

import math
from datetime import datetime, timedelta

import pytest

from cluster.models import Node
from jobs.dispatcher import Desk
from jobs.models import Attempt, Job, RunTime
from jobs.runtimes import Stat, load
from tests.factories import make_job, make_node, make_sweep
from tests.fakes import FakeEngine
from tests.jobs.conftest import Pass

pytestmark = pytest.mark.django_db


def later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def lose_all(engine: FakeEngine) -> None:
    for bundle in list(engine.sent):
        engine.lose(bundle)
        del engine.sent[bundle]


def test_three_jobs_lost_on_a_node_quarantine_it_until_a_canary_sings(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    node = make_node("a", slots=3)
    now = later(now, 60)  # well after the dispatcher's start
    jobs = [make_job(now) for _ in range(3)]
    one_pass(now)
    lose_all(engine)
    one_pass(now)
    node.refresh_from_db()
    assert node.breaker_opened_at == now
    assert "3 different jobs" in node.breaker_reason
    assert not engine.sent  # the jobs wait: there is no other node
    assert {job.state for job in Job.objects.all()} == {"queued"}
    one_pass(later(now, 5))
    assert not engine.canaries
    engine.sings = True
    one_pass(later(now, 11))
    assert engine.canaries == [node.address]
    one_pass(later(now, 12))
    node.refresh_from_db()
    assert node.breaker_opened_at is None
    assert node.canary_at == later(now, 12)
    assert node.dispatch_ms == 500.0  # a second between the passes, half of it the work's
    assert len(engine.sent) == len(jobs)


def test_jobs_lost_everywhere_quarantine_nobody(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a", slots=3)
    make_node("b", slots=3)
    now = later(now, 60)
    for _ in range(3):
        make_job(now)
    for _ in range(2):  # each job is lost on one node, then on the other
        one_pass(now)
        lose_all(engine)
    one_pass(now)
    assert not Node.objects.filter(breaker_opened_at__isnull=False).exists()


def test_what_a_dispatchers_restart_loses_is_no_nodes_fault(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a", slots=3)
    for _ in range(3):
        make_job(now)
    one_pass(now)
    lose_all(engine)
    one_pass(now)
    assert not Node.objects.filter(breaker_opened_at__isnull=False).exists()


def test_an_idle_node_gets_a_canary_now_and_then_and_one_that_fails_makes_it_suspect(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    node = make_node("a")
    engine.sings = True
    engine.song = {"outcome": "failed", "error": "cannot fork"}
    one_pass(now)
    one_pass(later(now, 4))
    node.refresh_from_db()
    assert node.canary_error == "cannot fork"
    assert node.breaker_opened_at is None
    one_pass(later(now, 15))
    one_pass(later(now, 16))
    node.refresh_from_db()
    assert "cannot fork" in node.breaker_reason
    engine.song = {}
    one_pass(later(now, 60))
    one_pass(later(now, 61))
    node.refresh_from_db()
    assert (node.canary_error, node.breaker_opened_at) == ("", None)
    assert len(engine.canaries) == 3
    one_pass(later(now, 100))
    assert len(engine.canaries) == 3
    one_pass(later(now, 200))
    assert len(engine.canaries) == 4


def test_a_canary_that_never_answers_is_given_up(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    node = make_node("a")
    engine.sings = True
    one_pass(now)
    engine.events.clear()
    one_pass(later(now, 61))
    node.refresh_from_db()
    assert "no answer within 60 s" in node.canary_error
    assert len(engine.cancelled) == 1


def test_a_busy_node_and_a_draining_one_get_no_canary(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a", draining=True)
    busy = make_node("b", slots=2)
    make_job(now)
    engine.sings = True
    one_pass(now)
    assert busy.attempts.count() == 1
    assert not engine.canaries


def test_a_canary_keeps_its_slot_from_jobs_until_it_has_sung(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    make_node("a")
    engine.sings = True
    one_pass(now)
    song, engine.events = engine.events, []
    make_job(now)
    one_pass(now)
    assert not engine.sent
    engine.events = song
    one_pass(later(now, 1))
    assert len(engine.sent) == 1


def test_speeds_are_measured_on_common_work_and_run_times_outlive_the_dispatcher(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    nodes = {"127.0.0.2": 1.0, "127.0.0.3": 2.0}
    fast, slow = make_node("fast"), make_node("slow")
    sweep = make_sweep(6, now)
    for step in range(4):
        one_pass(later(now, step * 30))
        for bundle in list(engine.sent):
            engine.end(bundle, run_seconds=nodes[engine.address[bundle]])
            del engine.sent[bundle]
    for node in (fast, slow):
        node.refresh_from_db()
    assert fast.speed and slow.speed
    assert round(fast.speed / slow.speed, 3) == 2.0
    assert fast.speed_samples >= 2
    assert fast.speed_evidence[0]["spec"] == sweep.spec_id
    one_pass(later(now, 200))
    assert RunTime.objects.count() == 2
    kept = load()
    assert round(kept.expected(sweep.spec_id, slow.pk, {}) or 0, 3) == 2.0
    other = kept.expected(sweep.spec_id, 999, {fast.pk: 2.0, slow.pk: 1.0, 999: 4.0})
    assert round(other or 0, 3) == 0.5


def test_nodes_that_people_add_and_remove_reach_the_engine(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    node = make_node("a", added_by="alice")
    one_pass(now)
    assert engine.nodes == {node.address}
    Node.objects.filter(pk=node.pk).update(removed_at=now)
    one_pass(later(now, 4))
    assert engine.nodes == set()


def test_a_slow_node_gets_its_share_late_in_the_queue(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime
) -> None:
    """Sixteen jobs are for the fast node's two slots; the slow one is worth its time after."""
    fast, slow = make_node("fast", slots=2), make_node("slow")
    sweep = make_sweep(60, now, strategy="earliest_finish")
    for node, seconds in ((fast, 1.0), (slow, 15.0)):
        desk.times.put(sweep.spec_id, node.pk, Stat(9, math.log(seconds)))
    one_pass(now)
    assert sorted(engine.address.values()) == [fast.address, fast.address, slow.address]
    receipt = Attempt.objects.get(node=slow).placement
    assert receipt["expected_seconds"] == 15.0
    assert receipt["candidates"]["fast"] >= receipt["candidates"]["slow"] == 15.0


def test_a_pass_that_looks_ahead_adds_up_the_measured_runs_of_a_spec_once(
    engine: FakeEngine, one_pass: Pass, desk: Desk, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each node where the spec never ran, at each look: seconds, with a thousand nodes."""
    nodes = [make_node(f"n{number}", slots=2) for number in range(30)]
    sweep = make_sweep(200, now, strategy="earliest_finish")
    for node in nodes[:20]:
        desk.times.put(sweep.spec_id, node.pk, Stat(9, math.log(5.0)))
    read = []

    def seconds(stat: Stat) -> float:
        read.append(stat)
        return math.exp(stat.log_mean)

    monkeypatch.setattr(Stat, "seconds", property(seconds))
    one_pass(now)
    assert len(engine.sent) == 60
    assert len(read) < 10 * len(nodes)

from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from jobs.ahead import PAUSE, SOON_SECONDS, Ahead, Flight
from jobs.bundles import FIRST, size
from jobs.dispatcher import Desk
from jobs.models import Job
from node import turn
from tests.factories import NOW, make_job, make_node, make_sweep
from tests.fakes import FakeEngine
from tests.jobs.conftest import Pass


def flight(
    node: int = 1, seconds: float | None = 0.1, after: int | None = None, slots: int = 1
) -> Flight:
    return Flight(node, slots, seconds, after)


def test_only_what_ends_soon_is_followed_and_only_once() -> None:
    ahead = Ahead()
    ahead.sent(1, flight())
    ahead.sent(2, flight(seconds=SOON_SECONDS * 2))
    ahead.sent(3, flight(seconds=None))
    ahead.sent(4, flight(slots=2))
    assert ahead.to_follow() == {1: [1]}
    ahead.sent(5, flight(after=1))
    assert ahead.to_follow() == {}
    ahead.ended([1], NOW)
    assert ahead.to_follow() == {1: [5]}


def test_what_waits_takes_no_slot_and_what_has_not_ended_keeps_its_own() -> None:
    ahead = Ahead()
    ahead.sent(1, flight())
    ahead.sent(2, flight(after=1))
    taken = Counter({1: 2})
    ahead.correct(taken)
    assert taken == {1: 1}
    taken = Counter({1: 1})  # every member of bundle 1 has ended, but not the bundle
    ahead.correct(taken)
    assert taken == {1: 1}
    ahead.ended([1], NOW)
    taken = Counter({1: 1})
    ahead.correct(taken)
    assert taken == {1: 1}


def test_after_a_pause_the_first_bundle_is_small() -> None:
    ahead = Ahead()
    assert ahead.rested(NOW)
    ahead.sent(1, flight())
    assert ahead.rested(NOW)
    ahead.ended([1], NOW)
    assert not ahead.rested(NOW)
    assert ahead.rested(NOW + 2 * PAUSE)
    assert size(1e-5, 100_000, 2, first=True) == FIRST < size(1e-5, 100_000, 2)


def test_a_turn_comes_when_the_folder_before_is_gone(tmp_path: Any, monkeypatch: Any) -> None:
    assert turn.comes(tmp_path / "none")
    monkeypatch.setattr(turn, "PATIENCE_SECONDS", 0.01)
    assert not turn.comes(tmp_path)
    text = '{"bundle": 7, "members": [{"attempt": 3}, {"attempt": 4}]}'
    assert turn.nothing_started(text) == '{"bundle": 7, "not_started": [3, 4], "ended": []}'


@pytest.fixture
def measured(engine: FakeEngine, one_pass: Pass, now: datetime) -> None:
    """A node of one slot, and a spec whose jobs take 0.1 s there."""
    make_node(slots=1)
    make_sweep(1, now)
    one_pass(now)
    engine.end(engine.only(), run_seconds=0.1)
    one_pass(now)
    engine.sent.clear()


@pytest.mark.django_db
@pytest.mark.usefixtures("measured")
def test_the_next_bundle_is_sent_ahead_and_no_third(
    engine: FakeEngine, desk: Desk, one_pass: Pass, now: datetime
) -> None:
    make_sweep(100, now)
    for _ in range(4):
        one_pass(now)
    first, second = engine.sent
    assert engine.after == {second: first}
    engine.end(first, run_seconds=0.1)
    for _ in range(3):
        one_pass(now)
    third = list(engine.sent)[2]
    assert engine.after == {second: first, third: second}
    assert list(desk.ahead.flights) == [second, third]
    while Job.objects.exclude(state="succeeded").exists():
        for bundle in set(engine.sent) & set(desk.ahead.flights):
            engine.end(bundle, run_seconds=0.1)
        one_pass(now)
    assert desk.ahead.flights == {}


@pytest.mark.django_db
@pytest.mark.usefixtures("measured")
def test_what_must_not_run_twice_and_what_nobody_measured_are_not_followed_or_sent_ahead(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_sweep(1, now)
    make_job(now, on_lost="fail")
    for _ in range(3):
        one_pass(now)
    assert len(engine.sent) == 1
    assert engine.after == {}


@pytest.mark.django_db
@pytest.mark.usefixtures("measured")
def test_a_bundle_lost_while_it_waited_is_placed_again(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_sweep(20, now)
    for _ in range(3):
        one_pass(now)
    first, second = engine.sent
    engine.lose(second, never_started=True)
    for _ in range(3):
        one_pass(now)
    third = list(engine.sent)[2]
    assert engine.after[third] == first

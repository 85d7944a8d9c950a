"""The monitor's duties: when each is due, and that one that fails stops no other."""

import logging
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from jobs import lease
from monitoring import alerts, samples, watch
from monitoring.models import Alert, Sample
from monitoring.watch import Duty, Look
from tests.factories import make_node


def made(duties: list[Duty]) -> watch.Watch:
    return watch.Watch(duties, lambda now: None)


class Told:
    """A duty that notes when it was done, and fails with the errors it is given."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.moments: list[datetime] = []

    def __call__(self, now: datetime) -> None:
        self.moments.append(now)
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error


def run(watching: watch.Watch, now: datetime, seconds: int) -> None:
    for second in range(seconds):
        watching.step(now + timedelta(seconds=second), 100.0 + second)


@pytest.mark.django_db
def test_each_duty_is_done_when_it_is_due(now: datetime) -> None:
    each, fifth = Told(), Told()
    run(made([Duty("each", 1, each), Duty("fifth", 5, fifth)]), now, 11)
    assert len(each.moments) == 11
    assert fifth.moments == [now + timedelta(seconds=s) for s in (0, 5, 10)]


@pytest.mark.django_db
def test_a_duty_that_fails_is_logged_once_a_minute_and_stops_no_other(
    now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    other = Told()
    bad = Duty("bad", 1, Told(*[ValueError("no")] * 200))
    run(made([bad, Duty("other", 1, other)]), now, 121)
    assert len(other.moments) == 121
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "bad failed; the other duties go on"
    ] * 3


@pytest.mark.django_db
def test_while_the_database_is_away_it_is_asked_once_a_step(
    now: datetime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.connection, "close", lambda: None)
    caplog.set_level(logging.INFO)
    first, second = Told(*[OperationalError("gone")] * 3), Told()
    run(made([Duty("first", 10, first), Duty("second", 1, second)]), now, 5)
    assert len(first.moments) == 4  # tried each second until it is back
    assert len(second.moments) == 2
    assert [record.getMessage() for record in caplog.records if record.name == watch.__name__] == [
        "the database does not answer; trying again: gone", "the database answers again",
    ]  # fmt: skip


@pytest.mark.django_db
def test_where_another_took_over_nothing_more_is_done(now: datetime) -> None:
    epoch = lease.take("monitor", "us", now, seconds=watch.LEASE)
    assert epoch
    after = Told()
    watching = made([
        Duty("heartbeat", 5, lambda moment: lease.renew("monitor", epoch, moment, watch.LEASE)),
        Duty("after", 1, after),
    ])  # fmt: skip
    watching.step(now, 0)
    lease.give_back("monitor", epoch, now)
    assert lease.take("monitor", "another", now)
    with pytest.raises(lease.LeaseLost):
        watching.step(now + timedelta(seconds=5), 5)
    assert len(after.moments) == 1


@pytest.mark.django_db(transaction=True)
def test_a_slow_duty_holds_nothing_up_and_is_never_there_twice(now: datetime) -> None:
    go_on, begun = threading.Event(), list[str]()

    def slow(_moment: datetime) -> None:
        begun.append(threading.current_thread().name)
        assert go_on.wait(20)

    each = Told()
    duty = Duty("slow", 1, slow, slow=True)
    run(made([duty, Duty("each", 1, each)]), now, 5)
    assert len(each.moments) == 5 and begun == ["slow"]
    go_on.set()
    assert duty.thread
    duty.thread.join(20)


@pytest.mark.django_db
def test_it_looks_every_ten_seconds_and_when_an_alert_falls_due(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[datetime] = []

    def judge(_seen: Any, moment: datetime) -> datetime | None:
        judged.append(moment)
        return now + timedelta(seconds=13) if moment < now + timedelta(seconds=13) else None

    monkeypatch.setattr(alerts, "judge", judge)
    run(made([Duty("look", 1, Look())]), now, 21)
    assert [(moment - now).total_seconds() for moment in judged] == [0, 10, 13, 20]
    kept = Sample.objects.filter(node=None, seconds=10).order_by("at").values_list("at", flat=True)
    assert [(moment - now).total_seconds() for moment in kept] == [0, 10, 20]


@pytest.mark.django_db
def test_alerts_are_judged_although_no_sample_can_be_kept(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise ValueError("no room")

    monkeypatch.setattr(samples, "keep", full)
    make_node("pi-1")
    run(made([Duty("look", 1, Look())]), now, 25)
    assert Alert.objects.filter(rule="dispatcher_silent").exists()


@pytest.mark.django_db
def test_a_monitor_with_nothing_to_do_commits_once_a_second_at_most(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = lease.take("monitor", "us", now, seconds=watch.LEASE)
    assert epoch
    make_node("pi-1", last_seen_at=now)
    watching = watch.watch(epoch)
    for duty in watching.duties:
        duty.slow = False  # in this thread, where they are seen
    run(watching, now, 40)
    counts = [written(watching, now + timedelta(seconds=s), 100.0 + s) for s in range(40, 80)]
    watching.close(now)
    assert sum(counts) <= 40 and max(counts) <= 3


def written(watching: watch.Watch, now: datetime, clock: float) -> int:
    """Commits that wrote something: an atomic block counts as one."""
    blocks, depth = 0, 0
    with CaptureQueriesContext(connection) as captured:
        watching.step(now, clock)
    dirty = False
    for statement in (query["sql"] for query in captured.captured_queries):
        word = statement.split(None, 1)[0].upper()
        if word == "SAVEPOINT":
            depth += 1
        elif word == "RELEASE":
            depth -= 1
            blocks += dirty and not depth
            dirty = dirty and bool(depth)
        elif word in ("INSERT", "UPDATE", "DELETE", "COPY", "WITH"):
            dirty = True
            if not depth:
                blocks, dirty = blocks + 1, False
    return blocks

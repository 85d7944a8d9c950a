"""Notices on their way: sent once, tried again with growing pauses, given up, in order."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring import carrying, postman
from monitoring.carrying import Notice
from monitoring.models import Alert, Channel, Delivery
from monitoring.postman import PAUSES, Postman
from tests.sinks import http_sink

SECRET = "s3cr3t-t0ken"


def make_channel(now: datetime, name: str = "hook", url: str = "json://x/", **more: Any) -> Channel:
    values = {"allow_private": True, "created_at": now, "created_by": "chief", **more}
    return Channel.objects.create(name=name, url=url, **values)


def make_delivery(channel: Channel, now: datetime, kind: str = "firing", **more: Any) -> Delivery:
    values = {"title": "Warning: x", "body": "y", "created_at": now, "due_at": now, **more}
    return Delivery.objects.create(channel=channel, kind=kind, **values)


class Carrier:
    """In the courier's place: answers as it is told, holds what it is told to hold."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.answers: dict[str, str] = {}  # by URL
        self.held: dict[str, threading.Event] = {}

    def __call__(self, notice: Notice, timeout: float) -> str:
        self.sent.append(notice)
        if held := self.held.get(notice.url):
            held.wait(20)
        return self.answers.get(notice.url, "")


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    found = Carrier()
    monkeypatch.setattr(carrying, "send", found)
    return found


@pytest.fixture
def man() -> Iterator[Postman]:
    found = Postman(timeout=10)
    yield found
    found.out.clear()
    found.pool.shutdown(wait=True)


def settle(man: Postman, now: datetime, most: int = 50) -> None:
    """Steps until nothing is on its way and nothing is due."""
    for _ in range(most):
        postman.wait(list(man.out), timeout=20)
        if not man.step(now):
            return
    raise AssertionError("it never came to rest")


@pytest.mark.django_db
def test_a_notice_is_sent_once_and_recorded(man: Postman, carrier: Carrier, now: datetime) -> None:
    row = make_delivery(make_channel(now), now)
    settle(man, now)
    settle(man, now + timedelta(days=1))
    row.refresh_from_db()
    assert (row.state, row.tries, row.sent_at, row.error) == ("sent", 1, now, "")
    assert len(carrier.sent) == 1


@pytest.mark.django_db
def test_it_is_tried_again_with_growing_pauses_and_given_up(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    channel = make_channel(now)
    row = make_delivery(channel, now)
    carrier.answers[channel.url] = "the service did not take it"
    moment = now
    for tries, pause in enumerate(PAUSES, 1):
        settle(man, moment)
        row.refresh_from_db()
        assert (row.state, row.tries, row.error) == ("queued", tries, "the service did not take it")
        assert row.due_at == moment + timedelta(seconds=pause)
        settle(man, row.due_at - timedelta(seconds=1))
        assert len(carrier.sent) == tries
        moment = row.due_at
    settle(man, moment)
    row.refresh_from_db()
    assert (row.state, row.tries) == ("failed", 5)
    settle(man, moment + timedelta(days=9))
    assert len(carrier.sent) == 5


@pytest.mark.django_db
def test_a_try_that_works_ends_it(man: Postman, carrier: Carrier, now: datetime) -> None:
    channel = make_channel(now)
    row = make_delivery(channel, now)
    carrier.answers[channel.url] = "away"
    settle(man, now)
    carrier.answers.clear()
    settle(man, now + timedelta(seconds=30))
    row.refresh_from_db()
    assert (row.state, row.tries, row.error) == ("sent", 2, "")


@pytest.mark.django_db
def test_a_test_is_not_tried_again_and_goes_by_a_channel_that_is_off(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    channel = make_channel(now, enabled=False)
    row = make_delivery(channel, now, "test")
    carrier.answers[channel.url] = "no"
    settle(man, now)
    row.refresh_from_db()
    assert (row.state, row.tries, row.error) == ("failed", 1, "no")


@pytest.mark.django_db
def test_what_waits_for_a_channel_that_is_switched_off_is_not_sent(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    row = make_delivery(make_channel(now, enabled=False), now)
    settle(man, now)
    row.refresh_from_db()
    assert (row.state, row.error, carrier.sent) == ("failed", postman.OFF, [])


@pytest.mark.django_db
def test_a_channel_that_hangs_holds_up_nobody_else(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    slow, quick = make_channel(now, "slow", "json://slow/"), make_channel(now, "quick")
    carrier.held[slow.url] = threading.Event()
    for _ in range(100):
        make_delivery(slow, now - timedelta(minutes=1))
    rows = [make_delivery(quick, now) for _ in range(3)]
    for _ in range(200):
        postman.wait(list(man.out), timeout=0.05)
        man.step(now)
        if not Delivery.objects.filter(channel=quick, state="queued").exists():
            break
    assert {Delivery.objects.get(pk=row.pk).state for row in rows} == {"sent"}
    assert [notice.url for notice in carrier.sent].count(slow.url) == 1
    carrier.held[slow.url].set()


@pytest.mark.django_db
def test_all_clear_waits_until_the_alarm_has_arrived(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    channel = make_channel(now)
    alert = Alert.objects.create(rule="node_down", subject="pi-1", severity="warning",
                                 started_at=now)  # fmt: skip
    firing, over = make_delivery(channel, now), make_delivery(channel, now, "resolved")
    other = make_delivery(channel, now, title="of something else")
    firing.alerts.add(alert)
    over.alerts.add(alert)
    carrier.answers[channel.url] = "away"
    settle(man, now)
    assert len(carrier.sent) == 2  # the alarm and the other one
    carrier.answers.clear()
    settle(man, now + timedelta(seconds=30))
    sent = Delivery.objects.filter(state="sent")
    assert sent.count() == 3 and other.state == "queued"
    levels = [notice.level for notice in carrier.sent if notice.level != "info"]
    assert levels == ["warning", "warning", "success"]


@pytest.mark.django_db
def test_a_crash_between_send_and_record_sends_it_again_later(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    row = make_delivery(make_channel(now), now)
    man.step(now)
    postman.wait(list(man.out), timeout=20)
    man.out.clear()  # the monitor is gone, and what it knew
    other = Postman(timeout=10)
    settle(other, now + timedelta(seconds=5))
    row.refresh_from_db()
    assert (row.state, row.tries, len(carrier.sent)) == ("queued", 1, 1)
    settle(other, now + timedelta(seconds=26))
    row.refresh_from_db()
    assert (row.state, row.tries, len(carrier.sent)) == ("sent", 2, 2)
    other.close(now)


@pytest.mark.django_db
def test_one_that_kills_the_monitor_each_time_is_given_up(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    row = make_delivery(make_channel(now), now, tries=5)
    settle(man, now)
    row.refresh_from_db()
    assert (row.state, row.error, carrier.sent) == ("failed", postman.DIED, [])


@pytest.mark.django_db
def test_a_late_answer_of_an_earlier_try_changes_nothing(now: datetime) -> None:
    channel = make_channel(now)
    row = make_delivery(channel, now, tries=2)
    trip = postman.Trip(row.pk, channel.pk, 1, postman.notice_of(row))
    postman.record(trip, "", now)
    row.refresh_from_db()
    assert row.state == "queued"


@pytest.mark.django_db
def test_with_nothing_to_do_it_looks_once_and_commits_nothing(man: Postman, now: datetime) -> None:
    make_delivery(make_channel(now), now, state="sent")
    with CaptureQueriesContext(connection) as captured:
        assert man.step(now) == 0
    assert len(captured) == 1


@pytest.mark.django_db
def test_a_step_makes_the_same_statements_however_many_wait(
    man: Postman, carrier: Carrier, now: datetime
) -> None:
    counts = []
    for many in (1, 200):
        channel = make_channel(now, f"c{many}")
        for _ in range(many):
            make_delivery(channel, now)
        with CaptureQueriesContext(connection) as captured:
            man.step(now)
        counts.append(len(captured))
        postman.wait(list(man.out), timeout=20)
        man.out.clear()
        Delivery.objects.all().delete()
    assert counts[0] == counts[1]


@pytest.mark.django_db
def test_closing_waits_a_little_and_records(man: Postman, carrier: Carrier, now: datetime) -> None:
    row = make_delivery(make_channel(now), now)
    man.step(now)
    man.close(now)
    row.refresh_from_db()
    assert row.state == "sent"


@pytest.mark.django_db
def test_by_real_couriers_with_one_target_hanging(
    now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    man = Postman(timeout=6)
    with http_sink() as good, http_sink() as bad:
        bad.hang = True
        urls = [f"json://{sink.host}:{sink.port}/{SECRET}?rto=60" for sink in (bad, good)]
        rows = [
            make_delivery(make_channel(now, f"c{place}", url), now)
            for place, url in enumerate(urls)
        ]
        with caplog.at_level("DEBUG"):
            man.step(now)
            wait_until(lambda: man.step(now) >= 0 and bool(good.arrived))
            assert len(good.wait(1)) == 1
            settle(man, now)
        assert good.quiet(0.2)
    hung, sent = (Delivery.objects.get(pk=row.pk) for row in rows)
    assert (sent.state, hung.state, hung.error) == ("sent", "queued", "no answer within 6 s")
    assert SECRET not in caplog.text
    man.close(now)


def wait_until(condition: Callable[[], bool]) -> None:
    event = threading.Event()
    for _ in range(300):
        if condition():
            return
        event.wait(0.05)
    raise AssertionError("it never happened")

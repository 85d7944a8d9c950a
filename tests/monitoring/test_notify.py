"""Who is told what: grouped, by severity and tags, in words, with the alert's own change."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from monitoring import notify
from monitoring.models import Alert, Channel, Delivery
from tests.factories import make_node
from tests.monitoring.test_postman import make_channel


def make_alert(
    now: datetime, subject: str = "pi-3", severity: str = "warning", rule: str = "node_down",
    **more: Any,
) -> Alert:  # fmt: skip
    values = {"started_at": now, "state": "firing", "facts": {}, **more}
    return Alert.objects.create(rule=rule, subject=subject, severity=severity, **values)


def told(channel: Channel) -> list[Delivery]:
    return list(Delivery.objects.filter(channel=channel).order_by("id"))


@pytest.mark.django_db
def test_one_notice_for_each_channel_and_call(now: datetime) -> None:
    first, second = make_channel(now, "a"), make_channel(now, "b")
    rows = [make_alert(now, "pi-1"), make_alert(now, "pi-2", "critical"), make_alert(now, "pi-3")]
    assert notify.announce("firing", rows, now) == 2
    for channel in (first, second):
        [row] = told(channel)
        assert set(row.alerts.all()) == set(rows)
        assert row.title.startswith("Critical: ") and "pi-2" in row.title
        assert row.title.endswith("(and 2 more)")
        places = [row.body.index(name) for name in ("pi-2", "pi-1", "pi-3")]
        assert places == sorted(places)
        assert (row.state, row.due_at, row.kind) == ("queued", now, "firing")


@pytest.mark.django_db
def test_nothing_is_told_to_channels_that_are_off_or_ask_for_worse(now: datetime) -> None:
    make_channel(now, "off", enabled=False)
    worse = make_channel(now, "worse", least="critical")
    all_of_it = make_channel(now, "all", least="info")
    assert notify.announce("firing", [make_alert(now)], now) == 1
    assert not told(worse) and len(told(all_of_it)) == 1
    assert notify.announce("firing", [], now) == 0


@pytest.mark.django_db
def test_a_channel_with_tags_hears_of_nodes_that_carry_them(now: datetime) -> None:
    make_node("pi-1", tags=["camera"])
    make_node("pi-2", auto_tags=["arch:aarch64"])
    make_node("pi-3")
    camera = make_channel(now, "camera", tags=["camera"])
    arm = make_channel(now, "arm", tags=["arch:aarch64", "gpu"])
    rows = [
        make_alert(now, "pi-1"), make_alert(now, "pi-3"),
        make_alert(now, "", rule="nodes_down", facts={"nodes": ["pi-2", "pi-3"]}),
        make_alert(now, "", rule="overload"),
    ]  # fmt: skip
    notify.announce("firing", rows, now)
    assert list(told(camera)[0].alerts.all()) == [rows[0]]
    assert list(told(arm)[0].alerts.all()) == [rows[2]]


@pytest.mark.django_db
def test_all_clear_is_told_to_those_who_were_told(now: datetime) -> None:
    early = make_channel(now, "early")
    row = make_alert(now)
    notify.announce("firing", [row], now)
    late = make_channel(now, "late")
    quiet = make_alert(now, "pi-9")  # it was silenced
    for one in (row, quiet):
        one.state, one.resolved_at = "resolved", now
        one.save()
    assert notify.announce("resolved", [row, quiet], now) == 1
    assert not told(late)
    [_firing, over] = told(early)
    assert over.kind == "resolved" and over.title.startswith("Over: ")
    assert list(over.alerts.all()) == [row]


@pytest.mark.django_db
def test_a_notice_says_what_to_do_and_where_to_look(now: datetime, settings: Any) -> None:
    channel, row = make_channel(now), make_alert(now)
    notify.announce("firing", [row], now)
    settings.DISPYCLUSTER_URL = "http://pi.example:8085"
    notify.announce("firing", [row], now)
    without, with_link = told(channel)
    assert "http" not in without.body
    assert f"http://pi.example:8085/alerts/{row.pk}" in with_link.body
    from monitoring import alert_words

    assert alert_words.summary(row) in without.body and alert_words.advice(row) in without.body


@pytest.mark.django_db
def test_notices_speak_the_sites_language(now: datetime, settings: Any) -> None:
    settings.LANGUAGE_CODE = "fr"
    channel = make_channel(now)
    notify.announce("firing", [make_alert(now)], now)
    notify.test(channel, now)
    assert len(told(channel)) == 2


@pytest.mark.django_db
def test_a_very_long_notice_is_cut_and_says_so(now: datetime) -> None:
    channel = make_channel(now)
    rows = [make_alert(now, f"{'n' * 150}-{number}") for number in range(60)]
    notify.announce("firing", rows, now)
    [row] = told(channel)
    assert len(row.title) <= 300 and len(row.body) < 5000
    assert "more are not listed" in row.body and row.alerts.count() == 60


@pytest.mark.django_db
def test_it_is_undone_with_the_change_that_it_tells_of(now: datetime) -> None:
    make_channel(now)

    class Fell(Exception):
        pass

    with pytest.raises(Fell), transaction.atomic():
        notify.announce("firing", [make_alert(now)], now)
        raise Fell
    assert not Delivery.objects.exists() and not Alert.objects.exists()


@pytest.mark.django_db
def test_the_statements_are_as_many_for_one_alert_as_for_fifty(now: datetime) -> None:
    counts = []
    for many in (1, 50):
        make_channel(now, f"tagged {many}", tags=["x"])
        make_channel(now, f"plain {many}")
        rows = [make_alert(now, f"pi-{many}-{number}") for number in range(many)]
        for kind in ("firing", "resolved"):
            with CaptureQueriesContext(connection) as captured:
                notify.announce(kind, rows, now + timedelta(seconds=1))
            counts.append(len(captured))
    assert counts[:2] == counts[2:]
    assert max(counts) <= 5

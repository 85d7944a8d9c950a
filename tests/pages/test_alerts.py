"""The alerts' pages: what they show, who may do what."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from cluster.models import Node
from jobs.models import Lease
from monitoring import alert_words, silences
from monitoring.alert_advice import ADVICE
from monitoring.models import Alert, Channel, Delivery, RuleSetting, Silence
from monitoring.rules import RULES
from tests.monitoring.test_alerts_api import make_alert
from tests.pages.conftest import Counted
from tests.pages.rows import HOSTILE

FACTS: dict[str, dict[str, Any]] = {
    "dispatcher_halted": {"note": HOSTILE},
    "nodes_down": {"nodes": ["pi-1", HOSTILE], "away": [HOSTILE], "fleet": 8},
    "node_down": {"trouble": HOSTILE},
    "breaker_open": {"reason": HOSTILE},
    "memory_low": {"free_bytes": 10**8, "total_bytes": 4 * 10**9},
    "throttled_node": {"words": ["under_voltage", HOSTILE]},
    "slow_node": {"runs": 40, "spec": 1},
    "clock_skew": {"ahead": True},
    "stuck_jobs": {
        "job": 1,
        "reasons": [
            {
                "node": HOSTILE,
                "why": {"text": "lacks the tag %(tags)s", "values": {"tags": HOSTILE}},
            }
        ],
    },
    "overload": {"ready": 5000, "before": 4000, "slots": 4},
    "no_free_slot": {"ready": 50, "slots": 4},
    "success_falling": {"failed": 40, "ended": 100, "past": 98.0},
    "schedule_failing": {"schedule": 1, "name": HOSTILE, "last": "failed", "job": 1},
    "database_growing": {"bytes": 10**9, "growth": 10**8, "free_bytes": 10**9},
}


FAILING = FACTS["schedule_failing"]
OTHERS: list[tuple[str, dict[str, Any]]] = [  # where what happened decides on the words
    ("dispatcher_silent", {"never": True}),
    ("nodes_down", {"nodes": ["pi-1", "pi-2"], "away": ["pi-1", "pi-2"], "fleet": 8}),
    ("node_down", {"never": True}),
    ("disk_low", {"read_only": True}),
    ("throttled_node", {"words": ["throttled"]}),
    ("clock_skew", {"ahead": False}),
    ("success_falling", {"failed": 40, "ended": 100}),
    ("schedule_failing", {**FAILING, "more": True}),
    ("schedule_failing", {**FAILING, "job": None, "sweep": 7}),
    ("schedule_failing", {**FAILING, "last": "missed", "job": None}),
    ("schedule_failing", {**FAILING, "last": "refused", "why": HOSTILE}),
    ("schedule_failing", {**FAILING, "last": "refused", "why": HOSTILE, "paused": True}),
    ("schedule_failing", {"schedules": [1, 2], "names": ["nightly", HOSTILE]}),
]


def make_every_alert(now: datetime) -> list[Alert]:
    return [
        make_alert(
            now, rule, subject="pi-1" if "node" in rule and rule != "nodes_down" else "",
            facts=FACTS.get(rule, {}), value=12.5, threshold=RULES[rule].threshold,
            inside=[{"rule": "hot_node", "subject": HOSTILE, "value": 90.0, "facts": {}}],
        )
        for rule in RULES
    ]  # fmt: skip


@pytest.mark.django_db
def test_every_alert_is_told_whole_and_escaped(page: Client, node: Node, now: datetime) -> None:
    for alert in make_every_alert(now):
        for path in (f"/alerts/{alert.pk}", f"/live/alerts/{alert.pk}"):
            response = page.get(path)
            text = response.content.decode()
            assert response.status_code == 200, path
            assert HOSTILE not in text, path
            assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path
        said = alert_words.summary(alert)
        assert len(said) > 10 and "%(" not in said and "None" not in said, said
        assert alert_words.advice(alert)
    text = page.get("/alerts").content.decode()
    assert text.count("firing") > len(RULES)
    assert HOSTILE not in text


def in_words(language: str, alert: Alert) -> tuple[str, str]:
    with translation.override(language):
        bare = alert_words.title(alert.rule)
        summary, advice = alert_words.summary(alert), alert_words.advice(alert)
        assert summary not in (bare, f"{bare}: {alert.subject}"), "its facts do not do"
    return summary, advice


@pytest.mark.parametrize(
    ("rule", "facts"), [*((rule, FACTS.get(rule, {})) for rule in RULES), *OTHERS]
)
@pytest.mark.parametrize("value", [1.0, 12.5])
def test_every_alert_has_words_of_its_own_in_each_language(
    rule: str, facts: dict[str, Any], value: float
) -> None:
    alert = Alert(rule=rule, subject="pi-1", value=value, facts=facts)
    pairs = zip(in_words("en", alert), in_words("fr", alert), strict=True)
    assert all(english and french and english != french for english, french in pairs)


@pytest.mark.parametrize(
    ("rule", "value", "facts", "words"),
    [
        ("no_free_slot", 1.0, {"ready": 1, "slots": 1},
         "The only slot has been taken for a long time. 1 job waits."),
        ("no_free_slot", 50.0, {"ready": 50, "slots": 4},
         "All 4 slots have been taken for a long time. 50 jobs wait."),
        ("overload", 900.0, {"ready": 1, "before": 1, "slots": 4}, "done: 1 waits, "),
        ("overload", 900.0, {"ready": 2, "before": 1, "slots": 4}, "done: 2 wait, "),
        ("database_growing", 1.001, FACTS["database_growing"], "full in 1 day."),
        ("database_growing", 0.5, FACTS["database_growing"], "full in 0.5 days."),
        ("schedule_failing", 1.0, {"schedules": [1], "names": ["s"]}, "1 schedule is failing: s"),
    ],
)  # fmt: skip
def test_one_is_told_as_one(rule: str, value: float, facts: dict[str, Any], words: str) -> None:
    assert words in alert_words.summary(Alert(rule=rule, value=value, facts=facts))


def test_each_rule_has_its_words_and_its_advice() -> None:
    assert set(alert_words.TITLES) == set(alert_words.SUMMARIES) == set(ADVICE) == set(RULES)


@pytest.mark.django_db
def test_facts_of_another_release_do_not_break_a_page(page: Client, now: datetime) -> None:
    alert = make_alert(now, "nodes_down", facts={"names": 7})
    unknown = make_alert(now, "of_tomorrow", facts={}, inside=[{"rule": "x", "subject": "y"}])
    for path in ("/alerts", f"/alerts/{alert.pk}", f"/alerts/{unknown.pk}", "/api/alerts"):
        assert page.get(path).status_code == 200, path


@pytest.mark.django_db
def test_open_alerts_are_on_the_dashboard_and_counted_in_the_bar(
    page: Client, node: Node, now: datetime
) -> None:
    Lease.objects.create(
        name="monitor", holder="tests", taken_at=now, renewed_at=now,
        expires_at=now + timedelta(seconds=20),
    )  # fmt: skip
    assert "nav-count" not in page.get("/jobs").content.decode()
    assert "Open alerts" not in page.get("/").content.decode()
    make_alert(now)
    make_alert(now, "hot_node", state="resolved", resolved_at=now)
    text = page.get("/").content.decode()
    assert "Open alerts" in text and "pi-1 does not answer" in text
    assert 'title="1 open alert">1</b>' in page.get("/jobs").content.decode()


@pytest.mark.django_db
def test_the_dashboard_says_that_nobody_watches(page: Client, now: datetime) -> None:
    assert "The monitor has never run" in page.get("/").content.decode()
    assert "The monitor has never run" in page.get("/alerts").content.decode()


@pytest.mark.django_db
def test_staff_acknowledges_and_silences(
    page: Client, staff: Client, node: Node, now: datetime
) -> None:
    alert = make_alert(now)
    assert "acknowledge" not in page.get(f"/alerts/{alert.pk}").content.decode()
    assert page.post(f"/alerts/{alert.pk}/acknowledge").status_code == 403
    staff.post(f"/alerts/{alert.pk}/acknowledge")
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", "chief")
    given = {"rule": "node_down", "subject": "pi-1", "hours": "8", "comment": "a new disk"}
    assert page.post("/alerts/silences", given).status_code == 403
    assert staff.post("/alerts/silences", given).status_code == 302
    [silence] = Silence.objects.all()
    assert timedelta(hours=7) < silence.ends_at - now < timedelta(hours=9)
    assert "silenced" in page.get(f"/alerts/{alert.pk}").content.decode()
    text = staff.post("/alerts/silences", {"hours": "8", "comment": "all"}).content.decode()
    assert "switch maintenance on" in text
    staff.post(f"/alerts/silences/{silence.pk}/end")
    silence.refresh_from_db()
    assert silence.ends_at <= timezone.now()


@pytest.mark.django_db
def test_a_schedule_is_a_subject_like_a_node(page: Client, staff: Client, node: Node) -> None:
    text = page.get("/alerts?subject=schedule+7").content.decode()
    assert '<option value="schedule 7" selected>schedule 7</option>' in text
    assert text.count(f'<option value="{node.name}">') == 1
    text = page.get(f"/alerts?subject={node.name}").content.decode()
    assert text.count(f'<option value="{node.name}"') == 1
    text = staff.get("/alerts/silences?rule=schedule_failing&subject=schedule+7").content.decode()
    assert 'value="schedule 7"' in text and ">Node or schedule</label>" in text


@pytest.mark.django_db
def test_every_silence_that_lasts_is_shown_the_first_to_end_first(
    page: Client, now: datetime
) -> None:
    values = {"rule": "node_down", "comment": "move", "created_at": now, "created_by": "alice"}
    Silence.objects.create(subject="soon", ends_at=now + timedelta(hours=1), **values)
    for n in range(210):
        Silence.objects.create(subject=f"n-{n}", ends_at=now + timedelta(days=2, hours=n), **values)
    for n in range(40):
        Silence.objects.create(subject=f"old-{n}!", ends_at=now - timedelta(days=n + 1), **values)
    text = page.get("/alerts/silences").content.decode()
    places = [text.find(name) for name in ("soon", "n-0", "n-209", "old-0!", "old-29!")]
    assert -1 not in places and places == sorted(places)
    assert "old-30!" not in text


@pytest.mark.django_db
def test_the_maintenance_switch(page: Client, staff: Client, now: datetime) -> None:
    given = {"hours": "2", "comment": "moving"}
    assert page.post("/alerts/maintenance", given).status_code == 403
    staff.post("/alerts/maintenance", given)
    for path in ("/", "/alerts", "/alerts/silences"):
        assert "Maintenance" in page.get(path).content.decode(), path
    assert "moving" in page.get("/alerts").content.decode()
    staff.post("/alerts/maintenance", {"off": "1"})
    assert "moving" not in page.get("/alerts").content.decode()


@pytest.mark.django_db
def test_rules_are_set_on_their_page(page: Client, staff: Client) -> None:
    given = {"rule": "hot_node", "hot_node-enabled": "on", "hot_node-threshold": "70",
             "hot_node-hold_seconds": "60"}  # fmt: skip
    assert page.post("/alerts/rules", given).status_code == 403
    assert staff.post("/alerts/rules", given).status_code == 302
    assert RuleSetting.objects.get().threshold == 70
    text = staff.post("/alerts/rules", {**given, "hot_node-threshold": "999"}).content.decode()
    assert "from 30 to 150" in text
    staff.post("/alerts/rules", {"rule": "hot_node", "reset": "1"})
    assert not RuleSetting.objects.exists()
    staff.post("/alerts/rules", {"rule": "disk_low"})
    assert RuleSetting.objects.get().enabled is False


@pytest.mark.django_db
def test_an_alert_shows_what_was_sent(page: Client, now: datetime) -> None:
    alert = make_alert(now)
    channel = Channel.objects.create(name="ops", url="json://x", created_at=now, created_by="a")
    sent = Delivery.objects.create(
        channel=channel, kind="firing", state="failed", title="t", body="b", tries=3,
        error="no route to host", created_at=now, due_at=now,
    )  # fmt: skip
    sent.alerts.add(alert)
    text = page.get(f"/alerts/{alert.pk}").content.decode()
    assert "ops" in text and "no route to host" in text


@pytest.mark.django_db
def test_history_goes_on_by_key(page: Client, now: datetime, counted: Counted) -> None:
    made = [make_alert(now, state="resolved", resolved_at=now, subject=f"n-{n}") for n in range(3)]
    with counted() as few:
        page.get("/alerts")
    made += [
        make_alert(now, state="resolved", resolved_at=now, subject=f"m-{n}") for n in range(60)
    ]
    with counted() as many:
        text = page.get("/alerts?rule=node_down").content.decode()
    assert len(many) <= len(few)
    [before] = re.findall(r"before=(\d+)", text)
    assert int(before) == made[-50].pk
    older = page.get(f"/alerts?rule=node_down&before={before}").content.decode()
    assert f'/alerts/{made[-51].pk}"' in older and f'/alerts/{made[-50].pk}"' not in older
    assert "one of" in page.get("/alerts?state=ill").content.decode().lower()


@pytest.mark.django_db
def test_words_are_made_in_the_readers_language(now: datetime) -> None:
    """From facts, when they are read: the row has no sentence."""
    alert = make_alert(now, value=100.0)
    with translation.override("fr"):
        assert alert_words.summary(alert)
    with translation.override("en"):
        assert "does not answer" in alert_words.summary(alert)


def test_the_admin_reads_alerts_and_acknowledges_them(
    page: Client, staff: Client, now: datetime, counted: Counted
) -> None:
    alert = make_alert(now, facts={"trouble": HOSTILE}, inside=[
        {"rule": "dispatch_errors", "subject": "pi-1", "value": 9.0, "facts": {}}
    ])  # fmt: skip
    over = make_alert(now, "overload", state="resolved", resolved_at=now)
    path = "/admin/monitoring/alert/"
    assert page.get(path).status_code == 302  # alice is not staff: to the door
    with counted() as statements:
        text = staff.get(path).content.decode()
    assert "A node is down" in text and "pi-1 does not answer." in text and HOSTILE not in text
    for number in range(5):
        make_alert(now, subject=f"pi-{number + 2}", facts={})
    with counted() as more:
        staff.get(path)
    assert len(more) <= len(statements)
    text = staff.get(f"{path}{alert.pk}/change/").content.decode()
    assert "9 attempts were lost on pi-1" in text and "has power and network" in text
    assert f'href="/alerts/{alert.pk}"' in text and HOSTILE not in text
    assert staff.post(f"{path}{alert.pk}/change/", {"state": "resolved"}).status_code == 403
    for closed in (f"{path}add/", f"{path}{alert.pk}/delete/"):
        assert staff.get(closed).status_code == 403
    data = {"action": "acknowledge", "_selected_action": [alert.pk, over.pk]}
    assert "1 alert is acknowledged." in staff.post(path, data, follow=True).content.decode()
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", "chief")
    over.refresh_from_db()
    assert (over.state, over.acknowledged_by) == ("resolved", "")


def test_the_admin_takes_all_at_once(staff: Client, now: datetime, counted: Counted) -> None:
    """What was acknowledged before keeps who did it; so does the end of a silence that is over."""

    def act(kind: str, action: str, rows: Any) -> tuple[int, str]:
        data = {"action": action, "_selected_action": list(rows.values_list("pk", flat=True)[:100]),
                "select_across": "1"}  # fmt: skip
        with counted() as statements:
            staff.post(f"/admin/monitoring/{kind}/", data)
        text = staff.get(f"/admin/monitoring/{kind}/").content.decode()
        return len(statements), text

    first = make_alert(now, state="acknowledged", acknowledged_at=now, acknowledged_by="alice")
    make_alert(now, subject="pi-2")
    few, _ = act("alert", "acknowledge", Alert.objects.all())
    for n in range(150):
        make_alert(now, subject=f"n-{n}")
    many, text = act("alert", "acknowledge", Alert.objects.all())
    assert "150 alerts are acknowledged." in text and many <= few
    first.refresh_from_db()
    assert first.acknowledged_by == "alice"
    assert not Alert.objects.filter(state="firing").exists()
    values = {"rule": "node_down", "comment": "move", "created_at": now, "created_by": "alice"}
    over = Silence.objects.create(ends_at=now - timedelta(hours=2), **values)
    for n in range(150):
        Silence.objects.create(subject=f"n-{n}", ends_at=now + timedelta(hours=9), **values)
    asked, text = act("silence", "end", Silence.objects.all())
    assert "150 silences are over." in text and asked <= few
    over.refresh_from_db()
    assert over.ends_at == now - timedelta(hours=2)
    assert not silences.active(timezone.now())


def test_the_admin_changes_a_silence_until_it_ends(staff: Client, now: datetime) -> None:
    values = {"comment": "move", "created_at": now, "created_by": "alice"}
    lasting = Silence.objects.create(rule="node_down", subject="pi-1",
                                     ends_at=now + timedelta(hours=2), **values)  # fmt: skip
    over = Silence.objects.create(ends_at=now - timedelta(hours=2), **values)
    path = "/admin/monitoring/silence/"
    text = staff.get(path).content.decode()
    assert "A node is down" in text and "Maintenance" in text
    end = timezone.localtime(now) + timedelta(hours=5)

    def send(silence: Silence, days: int = 0, **more: str) -> Any:
        moment = end + timedelta(days=days)
        data = {"comment": "a new rack", "ends_at_0": f"{moment:%Y-%m-%d}",
                "ends_at_1": f"{moment:%H:%M:%S}", **more}  # fmt: skip
        return staff.post(f"{path}{silence.pk}/change/", data)

    assert "moment in the future" in send(lasting, -2).content.decode()
    assert "A year at most" in send(lasting, 400).content.decode()
    assert send(lasting, subject="pi-9", rule="").status_code == 302
    lasting.refresh_from_db()
    assert (lasting.comment, lasting.rule, lasting.subject) == ("a new rack", "node_down", "pi-1")
    assert timedelta(hours=4) < lasting.ends_at - now < timedelta(hours=6)
    assert staff.get(f"{path}{over.pk}/change/").status_code == 200
    assert send(over).status_code == 403
    for closed in (f"{path}add/", f"{path}{lasting.pk}/delete/"):
        assert staff.get(closed).status_code == 403
    data = {"action": "end", "_selected_action": [lasting.pk, over.pk]}
    assert "1 silence is over." in staff.post(path, data, follow=True).content.decode()
    lasting.refresh_from_db()
    assert lasting.ends_at <= timezone.now()

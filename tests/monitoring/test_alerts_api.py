"""Alerts, silences, maintenance and rules by API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs.models import Lease
from monitoring.models import Alert, Silence
from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def reader() -> Client:
    client = Client()
    client.force_login(make_user("alice"))
    return client


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(make_user("chief", is_staff=True))
    return client


@pytest.fixture(autouse=True)
def monitor(now: datetime) -> Lease:
    return Lease.objects.create(
        name="monitor", holder="tests", taken_at=now, renewed_at=now,
        expires_at=now + timedelta(seconds=20),
    )  # fmt: skip


def make_alert(now: datetime, rule: str = "node_down", **more: Any) -> Alert:
    values: dict[str, Any] = {
        "subject": "pi-1" if rule == "node_down" else "", "severity": "warning",
        "state": "firing", "started_at": now, "fired_at": now, "facts": {"trouble": "silent"},
    }  # fmt: skip
    return Alert.objects.create(rule=rule, **{**values, **more})


def send(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = getattr(client, method)(path, body, "application/json")
    return answer.status_code, answer.json() if answer.content else None


def test_an_alert_reads_as_designed(reader: Client, now: datetime) -> None:
    alert = make_alert(now, value=12.0, inside=[{"rule": "dispatch_errors", "subject": "pi-1",
                                                 "value": 9.0, "facts": {}}])  # fmt: skip
    [told] = reader.get("/api/alerts").json()["results"]
    assert told["id"] == alert.pk
    assert told["summary"] == "pi-1 does not answer. (silent)"
    assert "power and network" in told["advice"]
    assert told["evidence"] == [{"label": "node pi-1", "url": "/nodes/pi-1"}]
    assert told["inside"] == ["9 attempts were lost on pi-1 within ten minutes."]
    assert (told["state"], told["severity"], told["silenced"]) == ("firing", "warning", False)
    assert reader.get(f"/api/alerts/{alert.pk}").json() == told
    assert {"rule", "subject", "value", "threshold", "started_at", "acknowledged_at",
            "resolved_at"} <= told.keys()  # fmt: skip


def test_filters_and_pages(reader: Client, now: datetime) -> None:
    old = make_alert(now, state="resolved", resolved_at=now)
    new = make_alert(now, state="acknowledged")
    hot = make_alert(now, "hot_node", subject="pi-2", severity="critical")

    def ids(query: str) -> list[int]:
        return [one["id"] for one in reader.get(f"/api/alerts?{query}").json()["results"]]

    assert ids("") == [hot.pk, new.pk, old.pk]
    assert ids("state=open") == [hot.pk, new.pk]
    assert ids("state=resolved&state=firing") == [hot.pk, old.pk]
    assert ids("severity=critical") == [hot.pk]
    assert ids("rule=node_down&subject=pi-1") == [new.pk, old.pk]
    page = reader.get("/api/alerts?limit=2").json()
    assert [one["id"] for one in page["results"]] == [hot.pk, new.pk]
    assert [one["id"] for one in reader.get(page["next"]).json()["results"]] == [old.pk]
    status, told = send(reader, "get", "/api/alerts?state=ill")
    assert status == 400
    assert "firing" in told["state"][0]


def test_a_dead_monitor_is_found_by_the_web(reader: Client, now: datetime, monitor: Lease) -> None:
    assert reader.get("/api/alerts").json()["results"] == []
    Lease.objects.update(renewed_at=now - timedelta(minutes=5), expires_at=now)
    [told] = reader.get("/api/alerts?state=open").json()["results"]
    assert (told["id"], told["rule"], told["severity"]) == (None, "monitor_silent", "critical")
    assert "5 min 0" in told["summary"]
    assert reader.get("/api/alerts?severity=info").json()["results"] == []


def test_acknowledging_is_for_staff_and_once_is_enough(
    reader: Client, staff: Client, now: datetime
) -> None:
    alert = make_alert(now)
    path = f"/api/alerts/{alert.pk}/acknowledge"
    assert send(reader, "post", path)[0] == 403
    status, told = send(staff, "post", path)
    assert (status, told["state"], told["acknowledged_by"]) == (200, "acknowledged", "chief")
    status, again = send(staff, "post", path)
    assert (status, again["acknowledged_at"]) == (200, told["acknowledged_at"])
    over = make_alert(now, "hot_node", state="resolved", resolved_at=now)
    assert send(staff, "post", f"/api/alerts/{over.pk}/acknowledge")[0] == 409
    assert send(staff, "post", "/api/alerts/999999/acknowledge")[0] == 404


def test_silences_are_made_changed_and_ended(reader: Client, staff: Client, now: datetime) -> None:
    alert = make_alert(now)
    body = {"subject": "pi-1", "comment": "new disk",
            "ends_at": (now + timedelta(hours=1)).isoformat()}  # fmt: skip
    assert send(reader, "post", "/api/silences", body)[0] == 403
    status, made = send(staff, "post", "/api/silences", body)
    assert (status, made["rule"], made["created_by"]) == (201, "", "chief")
    assert reader.get(f"/api/alerts/{alert.pk}").json()["silenced"]
    path = f"/api/silences/{made['id']}"
    status, told = send(staff, "patch", path, {"comment": "two disks"})
    assert (status, told["comment"]) == (200, "two disks")
    assert send(staff, "delete", path)[0] == 204
    assert not reader.get(f"/api/alerts/{alert.pk}").json()["silenced"]
    assert send(staff, "patch", path, {"comment": "late"})[0] == 409
    assert reader.get("/api/silences").json()["results"][0]["id"] == made["id"]
    assert reader.get("/api/silences?active=true").json()["results"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rule": "no_such_rule"}, "rule"),
        ({"subject": ""}, "rule"),
        ({"ends_at": "2001-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "9001-01-01T00:00:00Z"}, "ends_at"),
        ({"comment": ""}, "comment"),
        ({"more": 1}, "more"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(
    staff: Client, now: datetime, change: dict[str, Any], field: str
) -> None:
    body = {"subject": "pi-1", "comment": "why", "ends_at": (now + timedelta(hours=1)).isoformat()}
    status, told = send(staff, "post", "/api/silences", {**body, **change})
    assert (status, list(told)) == (400, [field])
    assert not Silence.objects.exists()


def test_one_switch_for_maintenance(reader: Client, staff: Client, now: datetime) -> None:
    assert reader.get("/api/maintenance").json()["on"] is False
    assert send(reader, "put", "/api/maintenance", {"on": True})[0] == 403
    status, told = send(staff, "put", "/api/maintenance", {"on": True, "comment": "moving"})
    assert (status, told["on"], told["comment"]) == (200, True, "moving")
    send(staff, "put", "/api/maintenance", {"on": True})
    assert Silence.objects.count() == 1
    assert send(staff, "put", "/api/maintenance", {"on": False})[1]["on"] is False
    assert send(staff, "put", "/api/maintenance", {"on": False})[1]["on"] is False


def test_rules_are_set_and_put_back(reader: Client, staff: Client) -> None:
    told = {one["name"]: one for one in reader.get("/api/alerts/rules").json()}
    assert told["hot_node"]["threshold"] == 80
    path = "/api/alerts/rules/hot_node"
    assert send(reader, "put", path, {"threshold": 70})[0] == 403
    status, rule = send(staff, "put", path, {"threshold": 70, "hold_seconds": 5})
    assert (status, rule["threshold"], rule["hold_seconds"]) == (200, 70, 5)
    assert (rule["default_threshold"], rule["changed_by"]) == (80, "chief")
    for body, field in (
        ({"threshold": 1000}, "threshold"), ({"threshold": "NaN"}, "threshold"),
        ({"hold_seconds": -1}, "hold_seconds"), ({"hold": 1}, "hold"),
    ):  # fmt: skip
        status, refused = send(staff, "put", path, body)
        assert (status, list(refused)) == (400, [field]), body
    assert send(staff, "put", "/api/alerts/rules/node_down", {"threshold": 3})[0] == 400
    assert send(staff, "put", "/api/alerts/rules/none", {})[0] == 404
    status, rule = send(staff, "delete", path)
    assert (status, rule["threshold"], rule["changed_at"]) == (200, 80, None)

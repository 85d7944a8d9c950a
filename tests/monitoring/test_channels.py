"""Channels by page and API: who may, what is refused, and that no URL is ever shown."""

import logging
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitoring import carrying, notify
from monitoring.models import Channel, Delivery
from monitoring.postman import Postman
from tests.factories import make_user
from tests.monitoring.test_notify import make_alert
from tests.monitoring.test_postman import make_channel, make_delivery, settle
from tests.sinks import http_sink

SECRET = "s3cr3t-t0ken"
HOOK = f"jsons://me:{SECRET}@93.184.215.14/{SECRET}?key={SECRET}"
API = "/api/monitoring/channels"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def chief(db: None) -> User:
    return make_user("chief", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(chief: User) -> Client:
    found = Client()
    found.force_login(chief)
    return found


@pytest.fixture
def staff(db: None) -> Client:
    found = Client()
    found.force_login(make_user("bob", is_staff=True))
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Without the courier that looks at each URL; what it was asked about."""
    asked: list[str] = []

    def check(url: str, allow_private: bool) -> str:
        asked.append(url)
        return ""

    monkeypatch.setattr(carrying, "check", check)
    return asked


def send(client: Client, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    return getattr(client, method)(path, body or {}, content_type="application/json")


def test_by_api_a_channel_is_added_changed_tested_and_deleted(
    staff: Client, quick: list[str]
) -> None:
    made = send(staff, "post", API, {"name": "hook", "url": HOOK, "tags": ["ssd"]})
    assert made.status_code == 201 and SECRET not in made.content.decode()
    row = made.json()
    assert row["target"] == "jsons://93.184.215.14/…" and row["least"] == "warning"
    assert "url" not in row and row["created_by"] == "bob"
    path = f"{API}/{row['id']}"
    changed = send(staff, "patch", path, {"least": "critical", "enabled": False})
    assert changed.json()["least"] == "critical" and not changed.json()["enabled"]
    assert Channel.objects.get().url == HOOK and quick == [HOOK]
    test = send(staff, "post", f"{path}/test")
    assert test.status_code == 202 and test.json()["state"] == "queued"
    log = staff.get(f"{path}/deliveries").json()["results"]
    assert [one["kind"] for one in log] == ["test"]
    assert staff.get(f"{path}/deliveries?state=sent").json()["results"] == []
    assert staff.get(f"{path}/deliveries?state=x").status_code == 400
    assert staff.get(API).json()[0]["name"] == "hook"
    assert staff.delete(path).status_code == 204
    assert staff.get(path).status_code == 404


@pytest.mark.parametrize(("body", "field"), [
    ({"name": "", "url": HOOK}, "name"), ({"name": "taken", "url": HOOK}, "name"),
    ({"name": "a", "url": "file:///etc/passwd"}, "url"), ({"name": "a", "url": "exec://ls"}, "url"),
    ({"name": "a", "url": "https://example.org/x"}, "url"), ({"name": "a"}, "url"),
    ({"name": "a", "url": "json://host/\nx"}, "url"), ({"name": "a", "url": "mailto:a@b.c"}, "url"),
    ({"name": "a", "url": HOOK, "least": "bad"}, "least"),
    ({"name": "a", "url": HOOK, "tags": ["Bad Tag"]}, "tags"),
    ({"name": "a", "url": HOOK, "allow_private": True}, "allow_private"),
    ({"name": "a", "url": HOOK, "nmae": 1}, "nmae"),
])  # fmt: skip
def test_what_cannot_be_is_refused_beside_its_field(
    staff: Client, quick: list[str], now: datetime, body: dict[str, Any], field: str
) -> None:
    make_channel(now, "taken")
    answer = send(staff, "post", API, body)
    assert answer.status_code == 400 and list(answer.json()) == [field], answer.content
    assert SECRET not in answer.content.decode()
    assert Channel.objects.count() == 1


def test_targets_at_home_are_refused_when_saved(staff: Client, admin: Client) -> None:
    body = {"name": "home", "url": f"json://localhost:9/{SECRET}"}
    answer = send(staff, "post", API, body)
    assert answer.status_code == 400 and "loopback" in answer.json()["url"][0]
    assert send(admin, "post", API, {**body, "allow_private": True}).status_code == 201
    again = send(admin, "patch", f"{API}/{Channel.objects.get().pk}", {"allow_private": False})
    assert again.status_code == 400 and list(again.json()) == ["allow_private"]


def test_staff_may_not_turn_an_allowed_channel_elsewhere(
    staff: Client, admin: Client, quick: list[str], now: datetime
) -> None:
    path = f"{API}/{make_channel(now, allow_private=True).pk}"
    answer = send(staff, "patch", path, {"url": "json://10.0.0.1/"})
    assert answer.status_code == 400 and list(answer.json()) == ["url"]
    assert send(staff, "patch", path, {"name": "other"}).status_code == 200
    assert send(admin, "patch", path, {"url": "json://10.0.0.1/"}).status_code == 200
    page = {"name": "other", "url": "json://10.0.0.2/", "least": "info", "allow_private": "on"}
    web = f"/settings/channels/{Channel.objects.get().pk}"
    assert "field-error" in staff.post(web, page).content.decode()
    assert Channel.objects.get().url == "json://10.0.0.1/"


def test_only_staff_look_at_channels(client: Client, db: None, now: datetime) -> None:
    make_channel(now, url=HOOK)
    client.force_login(make_user("alice"))
    for path in ("/settings/channels", "/settings/channels/deliveries", "/live/channels"):
        assert client.get(path).status_code == 403, path
    assert client.get(API).status_code == 403
    for action in ("test", "switch", "delete"):
        assert client.post(f"/settings/channels/1/{action}").status_code == 403


def test_by_page_a_channel_is_added_changed_switched_and_deleted(
    staff: Client, quick: list[str]
) -> None:
    assert "No channel yet" in staff.get("/settings/channels").content.decode()
    wanted = {"name": "hook", "url": HOOK, "least": "info", "tags": "ssd, camera", "enabled": "on"}
    answer = staff.post("/settings/channels", wanted)
    row = Channel.objects.get()
    assert answer.status_code == 302 and row.tags == ["camera", "ssd"]
    path = f"/settings/channels/{row.pk}"
    staff.post(path, {**wanted, "url": "", "name": "hook 2"})
    row.refresh_from_db()
    assert (row.name, row.url) == ("hook 2", HOOK)
    staff.post(f"{path}/switch")
    assert not Channel.objects.get().enabled
    staff.post(f"{path}/switch", {"on": "1"})
    assert Channel.objects.get().enabled
    staff.post(f"{path}/test")
    text = staff.get(path).content.decode()
    assert "The test is on its way" in text and 'data-refresh="1"' in text
    Delivery.objects.update(state="failed", error="no answer within 30 s")
    assert "The test did not arrive" in staff.get(f"/live/channels/{row.pk}").content.decode()
    assert "delete it" in staff.get(f"{path}/delete").content.decode()
    staff.post(f"{path}/delete")
    assert not Channel.objects.exists() and not Delivery.objects.exists()


def test_a_form_that_is_refused_does_not_show_the_url_again(
    staff: Client, quick: list[str]
) -> None:
    text = staff.post("/settings/channels", {"name": "", "url": HOOK, "least": "info"})
    assert "field-error" in text.content.decode() and SECRET not in text.content.decode()


def test_no_page_no_api_and_no_log_holds_the_secret(
    admin: Client, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    with http_sink() as sink, caplog.at_level(logging.DEBUG):
        sink.refuse = -1
        url = f"json://me:{SECRET}@{sink.host}:{sink.port}/{SECRET}?key={SECRET}&%2Bh={SECRET}"
        body = {"name": "hook", "url": url, "allow_private": True}
        answer = send(admin, "post", API, body)
        assert answer.status_code == 201, answer.content
        channel = Channel.objects.get()
        notify.announce("firing", [make_alert(now)], now)
        man = Postman()
        settle(man, now)
        man.close(now)
    row = Delivery.objects.get()
    assert row.error and SECRET not in row.error and SECRET not in row.title + row.body
    pk = channel.pk
    paths = [
        "/settings/channels", f"/settings/channels/{pk}", f"/settings/channels/{pk}/delete",
        "/settings/channels/deliveries", "/live/channels", f"/live/channels/{pk}", "/alerts",
        f"/alerts/{row.alerts.get().pk}", API, f"{API}/{pk}", f"{API}/{pk}/deliveries",
        "/api/alerts", "/admin/monitoring/channel/", f"/admin/monitoring/channel/{pk}/change/",
        f"/admin/monitoring/channel/{pk}/delete/", "/admin/monitoring/delivery/",
        f"/admin/monitoring/delivery/{row.pk}/change/", f"/admin/monitoring/channel/{pk}/history/",
        "/api/schema",
    ]  # fmt: skip
    for path in paths:
        answer = admin.get(path)
        assert answer.status_code == 200, path
        assert SECRET not in answer.content.decode(), path
    for path in (f"{API}/{pk}/test", f"/settings/channels/{pk}/test"):
        assert SECRET not in admin.post(path, follow=True).content.decode()
    assert SECRET not in caplog.text


def test_the_pages_make_the_same_statements_however_many_rows(admin: Client, now: datetime) -> None:
    paths = ["/settings/channels", "/settings/channels/deliveries", "/live/channels",
             "/admin/monitoring/channel/", "/admin/monitoring/delivery/"]  # fmt: skip
    counts: list[list[int]] = []
    for many in (1, 12):
        for number in range(many):
            channel = make_channel(now, f"c{many}-{number}")
            for _ in range(3):
                make_delivery(channel, now).alerts.add(make_alert(now, f"n{many}-{number}-{_}"))
        found = []
        for path in [*paths, f"/settings/channels/{channel.pk}", f"{API}/{channel.pk}/deliveries"]:
            admin.get(path)
            with CaptureQueriesContext(connection) as captured:
                assert admin.get(path).status_code == 200
            found.append(len(captured))
        counts.append(found)
    assert counts[0] == counts[1]


def test_what_was_sent_is_filtered_and_paged(staff: Client, now: datetime) -> None:
    one, two = make_channel(now, "one"), make_channel(now, "two")
    for number in range(60):
        make_delivery(one, now, title=f"notice {number}.", state="sent")
    make_delivery(two, now, title="the failed one", state="failed", error="no answer within 9 s")
    text = staff.get("/settings/channels/deliveries").content.decode()
    assert "the failed one" in text and "notice 59." in text and "notice 3." not in text
    before = text.split("before=")[1].split('"')[0]
    later = staff.get(f"/settings/channels/deliveries?before={before}").content.decode()
    assert "notice 3." in later and "the failed one" not in later
    text = staff.get(
        f"/settings/channels/deliveries?channel={two.pk}&state=failed"
    ).content.decode()
    assert "the failed one" in text and "notice 59." not in text
    assert staff.get("/settings/channels/deliveries?channel=x&state=y&kind=z").status_code == 200


def test_pages_escape_what_others_wrote(staff: Client, now: datetime) -> None:
    evil = "<script>alert(1)</script>"
    channel = make_channel(now, evil, f"json://{evil}/")
    make_delivery(channel, now, title=evil, body=evil, error=evil)
    for path in ("", f"/{channel.pk}", f"/{channel.pk}/delete", "/deliveries"):
        assert evil not in staff.get(f"/settings/channels{path}").content.decode(), path


def test_the_web_never_loads_apprise() -> None:
    code = (
        "import django; django.setup(); import sys, dispycluster.urls, monitoring.postman; "
        "sys.exit('apprise' in sys.modules)"
    )
    environ = {"DJANGO_SETTINGS_MODULE": "dispycluster.settings", "PATH": "/usr/bin:/bin"}
    environ["DISPYCLUSTER_HOME"] = str(settings.HOME)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=settings.BASE_DIR, timeout=60, check=False
    )
    assert done.returncode == 0

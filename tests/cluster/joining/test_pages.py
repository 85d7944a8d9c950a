"""Who may invite, by API and by page; that the line is shown once and logged never."""

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cluster.joining import invitations
from cluster.joining.masking import Masked
from cluster.joining.receipt import CHECKS
from cluster.models import Invitation
from tests.cluster.joining.words import invite
from tests.factories import make_node, make_user


def test_staff_invite_by_api_and_nobody_else_does(chief: User, staff: Client) -> None:
    other = Client()
    assert other.get("/api/cluster/invitations").status_code == 401
    other.force_login(make_user("alice"))
    assert other.post("/api/cluster/invitations").status_code == 403
    wishes = {"name": "pi-9", "address": "192.0.2.9", "slots": 2, "tags": ["camera"]}
    answer = staff.post("/api/cluster/invitations", wishes, content_type="application/json")
    assert answer.status_code == 201 and answer["Cache-Control"] == "no-store"
    made = answer.json()
    assert made["line"].startswith("curl -fsS http://testserver/join/")
    assert (made["state"], made["slots"], made["created_by"]) == ("open", 2, "chief")
    assert [check["name"] for check in made["checks"]] == list(CHECKS)
    assert {check["ok"] for check in made["checks"]} == {None}
    [row] = staff.get("/api/cluster/invitations").json()
    assert row["id"] == made["id"] and "line" not in row
    assert other.delete(f"/api/cluster/invitations/{made['id']}").status_code == 403
    assert staff.delete(f"/api/cluster/invitations/{made['id']}").status_code == 204
    assert staff.get(f"/api/cluster/invitations/{made['id']}").json()["state"] == "revoked"
    assert staff.delete(f"/api/cluster/invitations/{made['id']}").status_code == 204
    used, _ = invite(chief)
    assert invitations.use(used, timezone.now())
    late = staff.delete(f"/api/cluster/invitations/{used.pk}")
    assert late.status_code == 409 and "used already" in late.json()["detail"]


@pytest.mark.parametrize(("wishes", "field"), [
    ({"name": "a/b"}, "name"), ({"name": "pi-1"}, "name"), ({"address": "10.0.0.1:80"}, "address"),
    ({"address": "0.0.0.0"}, "address"), ({"slots": 0}, "slots"), ({"slots": 5000}, "slots"),
    ({"tags": ["Bad Tag"]}, "tags"), ({"tags": ["arch:x"]}, "tags"), ({"nmae": "x"}, "nmae"),
])  # fmt: skip
def test_wishes_that_cannot_be_are_refused(
    staff: Client, wishes: dict[str, Any], field: str
) -> None:
    make_node("pi-1")
    answer = staff.post("/api/cluster/invitations", wishes, content_type="application/json")
    assert answer.status_code == 400 and list(answer.json()) == [field]
    assert not Invitation.objects.exists()


def test_the_page_shows_the_line_once(staff: Client, chief: User, settings: Any) -> None:
    settings.DISPY_SECRET = "top secret"
    assert "Nobody is invited" in staff.get("/nodes/join").content.decode()
    answer = staff.post("/nodes/join", {"name": "pi-9", "tags": "camera, big"})
    text = answer.content.decode()
    made = Invitation.objects.get()
    assert (made.name, made.tags, made.created_by) == ("pi-9", ["big", "camera"], chief)
    [line] = {part.split()[0] for part in text.split("http://testserver/join/")[1:3]}
    token = line.split("<")[0]
    assert invitations.find(token) == made
    assert "no-store" in answer["Cache-Control"]
    assert "Waiting for the line to be run." in text and 'data-refresh="1"' in text
    assert "top secret" not in text
    preview = text.split('id="script"')[1]
    assert "http://testserver/join/…" in preview and token not in preview
    later = staff.get(f"/nodes/join/{made.pk}").content.decode()
    assert token not in later and "top secret" not in later
    made.refresh_from_db()
    assert made.used_at is None
    staff.post(f"/nodes/join/{made.pk}/revoke")
    over = staff.get(f"/live/join/{made.pk}").content.decode()
    assert "This invitation is revoked." in over and "data-refresh" not in over
    assert "revoked" in staff.get("/nodes/join").content.decode()


def test_the_form_says_what_the_api_would(staff: Client) -> None:
    wrong = {"name": "a/b", "address": "10.0.0.1:80", "slots": "0", "tags": "Bad Tag"}
    text = staff.post("/nodes/join", wrong).content.decode()
    assert text.count("field-error") == 4
    assert not Invitation.objects.exists()


def test_only_staff_see_the_pages(client: Client, chief: User) -> None:
    made, _ = invite(chief)
    client.force_login(make_user("alice"))
    for path in ("/nodes/join", f"/nodes/join/{made.pk}", f"/live/join/{made.pk}"):
        assert client.get(path).status_code == 403
    assert client.post(f"/nodes/join/{made.pk}/revoke").status_code == 403


def test_a_line_that_no_other_machine_could_follow_is_warned_of(
    staff: Client, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.DISPY_HOST = "127.0.0.1"
    for host in ("localhost:8085", "127.0.0.1", "[::1]:8085"):
        text = staff.get("/nodes/join", headers={"host": host}).content.decode()
        assert text.count("note-warning") == 2, host
    settings.DISPY_HOST = "192.0.2.1"
    text = staff.get("/nodes/join", headers={"host": "192.0.2.1:8085"}).content.decode()
    assert "note-warning" not in text


def test_no_token_gets_into_a_log(
    node: Client, chief: User, caplog: pytest.LogCaptureFixture
) -> None:
    _, path = invite(chief)
    masked = Masked()
    with caplog.at_level(logging.INFO):
        caplog.handler.addFilter(masked)
        node.post(f"{path}/secret")
        node.post(f"{path}/secret")
        node.get(f"{path}/secret")
        node.get(f"/join/{'a' * 43}")
    caplog.handler.removeFilter(masked)
    assert caplog.text.count("/join/…") >= 3
    assert path not in caplog.text and "a" * 43 not in caplog.text


def test_the_masking_is_on(settings: Any) -> None:
    assert "masked" in settings.LOGGING["handlers"]["console"]["filters"]
    from dispycluster import web

    record = logging.LogRecord(
        "x", 20, "", 0, '"GET %s HTTP/1.1" 200', (f"/join/{'a' * 43}",), None
    )
    assert web and all(
        logging.getLogger(name).filter(record) for name in ("gunicorn.error", "gunicorn.access")
    )
    assert record.getMessage() == '"GET /join/… HTTP/1.1" 200'


def test_the_pages_speak_french(staff: Client, chief: User) -> None:
    made, _ = invite(chief)
    staff.post("/language", {"language": "fr", "next": "/"})
    assert "Inviter une machine" in staff.get("/nodes/join").content.decode()
    text = staff.get(f"/nodes/join/{made.pk}").content.decode()
    assert "Reçu de contrôle" in text and text.count("pas encore") == 11

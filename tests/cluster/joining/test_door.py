"""What a machine gets by its token: when, how often, and what comes of its reports."""

import io
import tarfile
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cluster.joining import invitations
from cluster.joining.views import door, progress
from cluster.models import Invitation, Node
from jobs.models import Job
from tests.cluster.joining.words import NOW, invite, tell
from tests.factories import hold_lease, make_node

PARTS = ["", "/address", "/agent.tar.gz", "/packages.tar"]


def test_only_a_digest_of_the_token_is_kept(chief: User) -> None:
    made, token = invitations.invite(chief, NOW)
    assert len(token) == 43
    assert token not in str(Invitation.objects.values().get())
    assert invitations.find(token) == made
    assert invitations.find(token[:-1] + "x") is None


def test_a_machine_fetches_what_it_needs_and_the_secret_once(
    node: Client, chief: User, settings: Any
) -> None:
    settings.DISPY_SECRET = "top secret"
    made, path = invite(chief)
    for part in PARTS:
        response = node.get(path + part)
        assert response.status_code == 200, part
        assert b"top secret" not in response.content
        assert response["Cache-Control"] == "no-store"
        assert response["Referrer-Policy"] == "no-referrer"
    assert node.get(f"{path}/address").content == b"192.0.2.9\n"
    assert node.get(f"{path}/secret").status_code == 405
    given = node.post(f"{path}/secret")
    with tarfile.open(fileobj=io.BytesIO(given.content)) as archive:
        [entry] = archive.getmembers()
        assert (entry.name, entry.mode) == ("secret", 0o600)
        assert archive.extractfile(entry).read() == b"top secret\n"  # type: ignore[union-attr]
    again = node.post(f"{path}/secret")
    assert again.status_code == 410
    assert "used already" in again.content.decode()
    assert {node.get(path + part).status_code for part in PARTS} == {410}
    made.refresh_from_db()
    assert made.used_at is not None
    assert tell(node, path, "secret", value="600").status_code == 200  # it may still report


def test_a_node_behind_our_own_proxy_is_known_by_what_that_says(chief: User, settings: Any) -> None:
    _, path = invite(chief)
    forged = {"X-Forwarded-For": "10.1.1.1, 10.2.2.2"}
    assert Client().get(f"{path}/address", headers=forged).content == b"127.0.0.1\n"
    settings.HTTPS = True
    assert Client().get(f"{path}/address", headers=forged).content == b"10.2.2.2\n"


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_an_invitation_that_is_over_gives_nothing(node: Client, chief: User, how: str) -> None:
    long_ago = timezone.now() - invitations.LIFE - invitations.REPORTS
    made, path = invite(chief, long_ago if how == "expired" else None)
    if how == "revoked":
        assert invitations.revoke(made, timezone.now())
        assert not invitations.revoke(made, timezone.now())
    assert {node.get(path + part).status_code for part in PARTS} == {410}
    assert node.post(f"{path}/secret").status_code == 410
    assert tell(node, path, "disk", value=1).status_code == 410
    made.refresh_from_db()
    assert made.used_at is None and made.checks == {}


def test_reports_are_taken_a_while_longer_than_the_rest(node: Client, chief: User) -> None:
    _, path = invite(chief, timezone.now() - invitations.LIFE)
    assert node.get(path).status_code == 410
    assert tell(node, path, "disk", value=10**10).status_code == 200


def test_strangers_learn_nothing(node: Client, chief: User) -> None:
    _, path = invite(chief)
    for wrong in (path[:-1] + ("x" if path[-1] != "x" else "y"), "/join/" + "a" * 43):
        for part in PARTS:
            response = node.get(wrong + part)
            assert (response.status_code, response.content) == (
                404,
                b"There is no such invitation.\n",
            )
        assert node.post(f"{wrong}/secret").status_code == 404
        assert tell(node, wrong, "disk").status_code == 404
    for shapeless in ("/join/", "/join/short", f"{path}/../secret", f"{path}/passwd"):
        assert node.get(shapeless).status_code == 404


def test_one_address_may_not_ask_too_often(
    node: Client, chief: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_A_MINUTE", 5)
    _, path = invite(chief)
    answers = [node.get("/join/" + "a" * 43).status_code for _ in range(7)]
    assert answers == [404] * 5 + [429] * 2
    assert node.get(path)["Retry-After"] == "60"
    assert Client(REMOTE_ADDR="192.0.2.10").get(path).status_code == 200


def test_looking_at_the_script_here_is_not_a_machine_that_came(
    node: Client, staff: Client, chief: User
) -> None:
    made, path = invite(chief)
    assert staff.get(path).status_code == 200
    made.refresh_from_db()
    assert made.checks == {}
    assert node.get(path).status_code == 200
    made.refresh_from_db()
    assert made.checks["reached"]["value"] == "192.0.2.9"
    assert made.used_at is None


HOSTILE = [
    ({"check": "secrets"}, 400),
    ({"check": "reached"}, 400),  # ours to say
    ({"check": "test_job", "ok": "true"}, 400),
    ({"check": "disk", "value": "9" * 301}, 400),
    ({"check": "disk", "node": "1"}, 400),
    ({"check": "disk", "ok": "perhaps"}, 400),
    ({"check": "clock", "value": "nan"}, 400),
    ({"check": "clock", "value": "noon"}, 400),
    ({"check": "clock", "value": "1e400"}, 400),
    ({"check": "started", "name": "../../etc"}, 400),
    ({"check": "started", "name": "a b"}, 400),
    ({"check": "started", "address": "http://evil/"}, 400),
    ({"check": "started", "address": "10.0.0.999"}, 400),
    ({"ok": "true"}, 400),
]


@pytest.mark.parametrize(("form", "status"), HOSTILE)
def test_a_report_that_makes_no_sense_is_refused(
    node: Client, chief: User, form: dict[str, str], status: int
) -> None:
    made, path = invite(chief)
    answer = node.post(
        f"{path}/report", "&".join(f"{name}={value}" for name, value in form.items()),
        content_type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert answer.status_code == status
    made.refresh_from_db()
    assert made.checks == {} and not Node.objects.exists()


def test_a_report_is_a_small_form(node: Client, chief: User) -> None:
    _, path = invite(chief)
    large = "check=disk&value=" + "1" * 5000
    kind = "application/x-www-form-urlencoded"
    assert node.post(f"{path}/report", large, content_type=kind).status_code == 413
    assert node.post(f"{path}/report", {"check": "disk"}).status_code == 413  # multipart
    body = '{"check": "disk"}'
    assert node.post(f"{path}/report", body, content_type="application/json").status_code == 413


def test_what_a_node_says_is_shown_harmless(staff: Client, node: Client, chief: User) -> None:
    made, path = invite(chief)
    words = "<script>alert(1)</script>%1b[31mred%e2%80%ae"
    assert tell(node, path, "packages", ok="false", value=words).status_code == 200
    page = staff.get(f"/nodes/join/{made.pk}").content.decode()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page and "\u202e" not in page


def test_it_is_listed_once_its_agent_runs_and_welcomed_once_it_is_online(
    node: Client, chief: User
) -> None:
    made, path = invite(chief, name="pi-9", tags=["camera"])
    answer = tell(node, path, "started", value="user", address="192.0.2.9", name="pi-9")
    assert answer.status_code == 200, answer.content
    row = Node.objects.get()
    assert (row.address, row.name, row.tags, row.added_by) == (
        "192.0.2.9", "pi-9", ["camera"], "chief",
    )  # fmt: skip
    tell(node, path, "started", value="user", address="192.0.2.77", name="other")
    assert Node.objects.get() == row
    assert not Job.objects.exists()
    Node.objects.update(online=True)
    for _ in range(3):
        answer = tell(node, path, "waiting")
    assert answer.content.startswith(b"bad\n")  # port_out and the dispatcher
    job = Job.objects.get()
    assert (job.name, job.owner, job.need.body) == ("welcome pi-9", chief, {"nodes": ["pi-9"]})
    made.refresh_from_db()
    assert made.welcome_job == job.pk


def test_it_must_be_the_machine_that_was_invited(node: Client, chief: User) -> None:
    _, path = invite(chief, address="192.0.2.9")
    answer = tell(node, path, "started", address="198.51.100.7", name="pi-9")
    assert answer.status_code == 409
    assert answer.content == b"It was invited as 192.0.2.9.\n"
    assert not Node.objects.exists()


def test_a_node_that_is_known_stays_as_it_is_and_one_removed_comes_back(
    node: Client, chief: User
) -> None:
    known = make_node("pi-1", address="192.0.2.9", tags=["old"], slots=3)
    made, path = invite(chief, tags=["new"])
    assert tell(node, path, "started", address="192.0.2.9", name="x").status_code == 200
    made.refresh_from_db()
    known.refresh_from_db()
    assert (made.node, known.name, known.tags, known.slots) == (known, "pi-1", ["old"], 3)
    Node.objects.update(removed_at=timezone.now())
    made, path = invite(chief, tags=["new"])
    assert tell(node, path, "started", address="192.0.2.9", name="x").status_code == 200
    known.refresh_from_db()
    assert (known.removed_at, known.name, known.tags) == (None, "pi-1", ["new"])


def test_a_name_that_is_taken_is_told_apart(node: Client, chief: User) -> None:
    make_node("pi-9")
    _, path = invite(chief)
    assert tell(node, path, "started", address="192.0.2.9", name="pi-9").status_code == 200
    assert Node.objects.get(address="192.0.2.9").name == "pi-9-2"


def test_the_connection_back_goes_to_the_node_alone_and_until_it_succeeds(
    node: Client, chief: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    called = []

    def cannot_connect(address: str, port: int) -> str:
        called.append((address, port))
        return "" if len(called) > 1 else "timed out"

    monkeypatch.setattr(progress, "cannot_connect", cannot_connect)
    made, path = invite(chief)
    tell(node, path, "disk", value=1)
    assert called == []
    tell(node, path, "started", address="192.0.2.9", name="pi-9")
    for _ in range(3):
        tell(node, path, "waiting")
    assert called == [("192.0.2.9", settings.DISPY_PORT + 1)] * 2
    made.refresh_from_db()
    assert made.checks["port_out"]["ok"] is True


def test_old_invitations_are_forgotten(chief: User) -> None:
    invitations.invite(chief, NOW)
    invitations.invite(chief, NOW + timedelta(days=20))
    invitations.invite(chief, NOW + timedelta(days=31))
    assert Invitation.objects.count() == 2


def test_a_secret_is_handed_out_once_however_many_ask(chief: User) -> None:
    made, _ = invite(chief)
    stale = Invitation.objects.get(pk=made.pk)
    assert invitations.use(made, timezone.now())
    assert not invitations.use(stale, timezone.now())


def test_a_dispatcher_that_runs_is_known(chief: User) -> None:
    made, _ = invite(chief)
    assert not progress.standing_of(made, timezone.now()).dispatcher_up
    hold_lease(timezone.now())
    assert progress.standing_of(made, timezone.now()).dispatcher_up

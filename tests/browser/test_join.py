"""Inviting a machine, watched in a browser while it comes in."""

import os

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cluster.joining import invitations
from cluster.joining.views import progress
from cluster.models import Invitation, Node
from jobs.models import Job
from tests.browser.walker import Walker
from tests.factories import hold_lease, make_node

KIND = "application/x-www-form-urlencoded"
PACKAGES = "dispy 4.15.2, pycos 4.12.2, psutil 7.2.2"
TOLD = [("python", "3.11.2"), ("disk", "27e9"), ("clock", ""), ("port_in", ""),
        ("packages", PACKAGES), ("secret", "600")]  # fmt: skip


@pytest.fixture(autouse=True)
def nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "cannot_connect", lambda address, port: "")


def tell(token: str, check: str, value: str = "", **more: str) -> None:
    form = {"check": check, "value": value, **more}
    body = "&".join(f"{name}={text}" for name, text in form.items())
    answer = Client().post(f"/join/{token}/report", body, content_type=KIND)
    assert answer.status_code == 200, answer.content


def picture(walk: Walker, name: str) -> None:
    """For people who want to see it: SCREENSHOTS=folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        walk.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": walk.driver.execute_script("return innerWidth"), "deviceScaleFactor": 1,
            "height": walk.driver.execute_script("return document.body.scrollHeight"),
            "mobile": False,
        })  # fmt: skip
        walk.driver.save_screenshot(f"{folder}/{name}.png")


def test_a_machine_is_invited_and_turns_green_check_by_check(walk: Walker, chief: User) -> None:
    hold_lease(timezone.now())
    walk.sign_in()
    walk.go("/nodes/join")
    walk.fill("#id_name", "a/b")
    walk.click("#invite button")
    walk.wait("letters, digits", "#invite")
    walk.fill("#id_name", "pi-9")
    walk.fill("#id_tags", "camera")
    walk.click("#invite button")
    walk.wait("curl -fsS http://", "#join-line")
    walk.wait("Waiting for the line to be run.", "#join-live")
    token = walk.text("#join-line").partition("/join/")[2].split()[0]
    made = invitations.find(token)
    assert made and made.name == "pi-9"
    walk.click("#script summary")
    walk.wait("Makes this machine a node", "#script")
    assert token not in walk.text("#script")

    assert Client().get(f"/join/{token}").status_code == 200
    walk.wait("It is on its way.", "#join-live")
    for check, value in TOLD:
        tell(token, check, value or str(timezone.now().timestamp()))
        walk.wait(value and value[:4] if check == "python" else "good", "#join-live")
    tell(token, "started", "user", address="127.0.0.9", name="pi-9")
    walk.wait("the dispatcher looks for it", "#join-live")
    Node.objects.update(online=True, last_seen_at=timezone.now())
    tell(token, "waiting")
    walk.wait("job ", "#join-live")
    picture(walk, "join-almost")
    now = timezone.now()
    Job.objects.update(state="succeeded", started_at=now, finished_at=now, result="null")
    walk.wait("pi-9 is a node of the cluster.", "#join-live")
    assert walk.count("#join-live .state-succeeded") == 11
    assert walk.count("#join-live[data-refresh]") == 0
    assert token in walk.text("#join-line")  # only the receipt was swapped
    picture(walk, "join-good")
    walk.click(".menu summary")
    walk.click("[data-set-theme=dark]")
    picture(walk, "join-dark")
    walk.click("[data-set-theme=auto]")


@pytest.mark.parametrize("width", [375, 1280])
def test_no_page_of_joining_is_wider_than_the_window(walk: Walker, chief: User, width: int) -> None:
    hold_lease(timezone.now())
    walk.sign_in()
    walk.narrow(width)
    walk.go("/nodes/join")
    picture(walk, f"join-empty-{width}")
    walk.fill("#id_name", "a-name-as-long-as-any-that-would-be-let-in-is-63-characters-ok")
    walk.fill("#id_address", "a-host-with-a-long-name.in-a-zone-with-a-long-name.example.org")
    walk.click("#invite button")
    walk.wait("curl -fsS", "#join-line")
    token = walk.text("#join-line").partition("/join/")[2].split()[0]
    walk.click("#look-first summary")
    assert Client().get(f"/join/{token}").status_code == 200
    tell(token, "python", "3.13.1")
    tell(token, "clock", str(timezone.now().timestamp() + 90))
    tell(token, "packages", "ERROR:" + "x" * 200, ok="false")
    walk.wait("ahead of ours", "#join-live")
    assert walk.too_wide() == []
    picture(walk, f"join-line-{width}")
    walk.click("#script summary")
    assert walk.too_wide() == []
    made = Invitation.objects.get()
    Invitation.objects.update(node=make_node("pi-9"))
    walk.go("/nodes/join")
    assert walk.too_wide() == []
    picture(walk, f"join-list-{width}")
    walk.go(f"/nodes/join/{made.pk}")
    assert walk.too_wide() == []


def test_without_javascript_a_machine_is_invited_too(walk: Walker, chief: User) -> None:
    walk.sign_in()
    walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        walk.go("/nodes/join")
        walk.click("#invite button")
        walk.wait("curl -fsS", "#join-line")
        made = Invitation.objects.get()
        link = walk.find("noscript a").get_attribute("href") or ""
        assert link.endswith(f"/nodes/join/{made.pk}")
        walk.go(f"/nodes/join/{made.pk}")
        walk.wait("Waiting for the line to be run.")
        walk.click(f"form[action='/nodes/join/{made.pk}/revoke'] button")
        walk.wait("its line is worthless now")
    finally:
        walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

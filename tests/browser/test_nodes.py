"""The machines' pages and the settings, in a real browser."""

from datetime import timedelta

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By

from cluster import setting
from cluster.models import Node
from tests.browser.walker import Walker
from tests.factories import hold_lease, make_node
from tests.pages.rows import HOSTILE, make_running

LONG = "a-node-with-a-name-longer-than-any-column-could-ever-be.example.org"


def test_a_node_is_added_changed_drained_and_removed(walk: Walker) -> None:
    walk.sign_in()
    walk.go("/nodes")
    walk.fill("#id_address", "pi 9")  # the fold is open while there is no node
    walk.click("#add-node button")
    walk.wait("a host name or an IP address alone", ".field-error")
    walk.fill("#id_address", "pi-9.local")
    walk.fill("#id_tags", "ssd")
    walk.click("#add-node button")
    walk.wait_path("/nodes/pi-9.local")
    Node.objects.update(online=True, last_seen_at=timezone.now(), cpus=4, slots=4)
    walk.wait("online", "#node-live .state-big")
    walk.fill("#id_slots", "9")
    walk.click("#save")
    walk.wait("offers 4", ".field-error")
    walk.fill("#id_slots", "2")
    walk.click("#save")
    walk.wait("is changed")
    walk.click("#drain-menu")
    walk.fill("#reason", "new disk")
    walk.click("#drain")
    walk.wait("drained", "#node-live .state-big")
    walk.wait("new disk", "#node-live")
    walk.find("#change").find_element(By.PARTIAL_LINK_TEXT, "Remove").click()
    walk.wait("Remove pi-9.local?")
    walk.click("#remove")
    walk.wait("its history stays")
    assert Node.objects.get().removed_at


def test_a_reason_that_is_being_typed_is_not_swept_away(walk: Walker) -> None:
    make_node("pi-1", slots=4, last_seen_at=timezone.now())
    walk.sign_in()
    walk.go("/nodes/pi-1")
    walk.click("#drain-menu")
    walk.find("#reason").send_keys("new di")
    walk.fill("#id_tags", "ssd, cam")
    Node.objects.update(cpu_percent=77)
    walk.click("#tags h2")  # beside the menu: it closes, and the page goes on
    walk.wait("77 %", "#node-live")
    assert walk.find("#id_tags").get_attribute("value") == "ssd, cam"


def test_a_drain_is_followed_to_its_end(walk: Walker) -> None:
    now = timezone.now()
    node = make_node("pi-1", slots=4, last_seen_at=now, draining=True, drain_reason="dust")
    make_running(now, node)
    walk.sign_in()
    walk.go("/nodes/pi-1")
    walk.wait("1 of 4 slots still taken", "#node-live")
    node.attempts.update(finished_at=now, outcome="succeeded")
    walk.wait("drained", "#node-live .state-big")


def test_a_breaker_opens_on_the_page_and_is_reset(walk: Walker) -> None:
    now = timezone.now()
    make_node("pi-1", last_seen_at=now)
    walk.sign_in()
    walk.go("/nodes/pi-1")
    assert walk.count("#reset") == 0
    probe_at = now + timedelta(minutes=1)
    Node.objects.update(
        breaker_opened_at=now, breaker_probe_at=probe_at, breaker_reason=f"lost {HOSTILE}"
    )
    walk.wait("quarantined", "#node-live .state-big")
    assert HOSTILE in walk.text("#node-live") and walk.count("main script") == 0
    walk.click("#reset")
    walk.wait("gets work again")
    assert not Node.objects.get().breaker_opened_at


def test_everything_goes_without_javascript(walk: Walker) -> None:
    make_node("pi-1", slots=4, last_seen_at=timezone.now())
    walk.sign_in()
    walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        walk.go("/settings/cluster")
        walk.click("input[value=round_robin]")
        walk.click("main button.button-first")
        walk.wait("chosen by round_robin")
        walk.go("/nodes/pi-1")
        walk.click("#drain-menu")
        walk.fill("#reason", "dust")
        walk.click("#drain")
        walk.wait("dust", "#node-live")
        walk.click("#resume")
        walk.wait("takes work again")
        walk.fill("#id_tags", "ssd")
        walk.click("#save")
        walk.wait("is changed")
    finally:
        walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert setting.read("strategy") == "round_robin"
    assert Node.objects.get().tags == ["ssd"]


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("language", ["en", "fr"])
def test_no_page_of_the_nodes_is_wider_than_the_window(
    walk: Walker, width: int, language: str
) -> None:
    now = timezone.now()
    hold_lease(now)
    node = make_node(
        LONG, slots=64, last_seen_at=now, tags=["t" * 40, "u" * 40],
        auto_tags=["board:" + "x" * 34],
        breaker_opened_at=now, breaker_reason="z" * 300, canary_error="y" * 300, canary_at=now,
        passport={"os": "w" * 500, "packages": {"p" * 200: "1" * 200}, "n" * 200: "v" * 200},
        reading={"throttled": ["under_voltage", "throttled"], "temperature": 85.1}, speed=0.5,
        speed_samples=3, speed_evidence=[
            {"spec": 0, "runs": 3, "seconds": 0.1, "fleet_seconds": 0.2}
        ],
    )  # fmt: skip
    make_running(now, node, name="x" * 200)
    walk.sign_in()
    walk.driver.add_cookie({"name": "django_language", "value": language})
    walk.narrow(width)
    for path in ("/nodes", f"/nodes/{LONG}", f"/nodes/{LONG}/remove", "/settings/cluster", "/"):
        walk.go(path)
        assert walk.too_wide() == [], path
        assert walk.find("html").get_attribute("lang") == language
    walk.go(f"/nodes/{LONG}")
    walk.click("#drain-menu")
    assert walk.too_wide() == []
    assert walk.find(".menu-form").rect["x"] >= 0

"""The pages about machines, and the settings of the cluster."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from cluster import setting
from cluster.models import Node
from cluster.strategies import STRATEGIES
from cluster.views.cards import Card
from cluster.views.checks import checks
from tests.factories import make_node
from tests.pages.conftest import Counted
from tests.pages.rows import HOSTILE, make_ended, make_running

pytestmark = pytest.mark.django_db


def body(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_a_machine_is_added_on_the_page(staff: Client, page: Client) -> None:
    given = {"address": "pi-9.local", "name": "", "slots": "", "tags": "ssd, camera"}
    assert page.post("/nodes", given).status_code == 403
    assert staff.post("/nodes", given)["Location"] == "/nodes/pi-9.local"
    node = Node.objects.get()
    assert (node.tags, node.slots_set, node.added_by) == (["camera", "ssd"], False, "chief")
    text = staff.post("/nodes", {**given, "tags": "Ä"}).content.decode()
    assert "known already" in text and "field-error" in text
    assert 'value="pi-9.local"' in text  # what was typed stays
    assert '<details id="add-node" open' in text
    assert 'id="add-node"' not in body(page, "/nodes")


def test_only_what_was_given_is_changed(staff: Client, page: Client, node: Node) -> None:
    Node.objects.update(cpus=4)
    given = {"name": "pi-1", "slots": "2", "tags": "ssd"}
    assert page.post("/nodes/pi-1", given).status_code == 403
    staff.post("/nodes/pi-1", given)
    node.refresh_from_db()
    assert (node.slots, node.slots_set, node.tags) == (2, True, ["ssd"])
    text = staff.post("/nodes/pi-1", {**given, "slots": "8"}).content.decode()
    assert "start it with --slots 8" in text
    text = staff.post("/nodes/pi-1", {**given, "tags": "py:2"}).content.decode()
    assert "given automatically" in text
    response = staff.post("/nodes/pi-1", {"name": "attic", "slots": "", "tags": ""})
    assert response["Location"] == "/nodes/attic"
    node.refresh_from_db()
    assert (node.slots, node.slots_set, node.tags) == (4, False, [])
    assert 'id="change"' not in body(page, "/nodes/attic")


def test_a_node_is_removed_after_a_question(
    staff: Client, page: Client, node: Node, now: datetime
) -> None:
    make_running(now, node)
    assert page.get("/nodes/pi-1/remove").status_code == 403
    assert page.post("/nodes/pi-1/remove", {"force": "1"}).status_code == 403
    text = body(staff, "/nodes/pi-1/remove")
    assert "1 attempt is open there" in text and "Drain it first" in text
    assert "still open there" in staff.post("/nodes/pi-1/remove").content.decode()
    assert staff.post("/nodes/pi-1/remove", {"force": "1"})["Location"] == "/nodes"
    assert "pi-1" not in staff.get("/nodes").context["cards"]
    text = body(page, "/nodes/pi-1")  # its history stays
    assert "its history stays" in text and "state-removed" in text
    for action in ("drain", "resume", "reset", "remove"):
        assert staff.post(f"/nodes/pi-1/{action}").status_code == 404


def test_a_node_of_the_settings_says_so_instead(staff: Client) -> None:
    make_node("here", address="127.0.0.1")
    text = body(staff, "/nodes/here/remove")
    assert "DISPY_NODES" in text and "Yes, remove it" not in text
    assert "DISPY_NODES is empty" in staff.post("/nodes/here/remove").content.decode()


def test_a_breaker_is_shown_with_its_reason_and_reset(
    staff: Client, page: Client, node: Node, now: datetime
) -> None:
    Node.objects.update(breaker_opened_at=now, breaker_reason=f"lost {HOSTILE}", breaker_openings=2,
                        breaker_probe_at=now + timedelta(minutes=1))  # fmt: skip
    text = body(page, "/nodes/pi-1")
    assert "quarantined" in text and "2 times in a row" in text and 'id="reset"' not in text
    assert "lost &lt;script&gt;" in text and HOSTILE not in text
    assert page.post("/nodes/pi-1/reset").status_code == 403
    assert 'id="reset"' in body(staff, "/live/nodes/pi-1")
    staff.post("/nodes/pi-1/reset")
    assert "quarantined" not in body(page, "/nodes/pi-1")


def test_a_drain_shows_how_far_it_is(staff: Client, node: Node, now: datetime) -> None:
    make_running(now, node)
    staff.post("/nodes/pi-1/drain", {"reason": f"dust {HOSTILE}"})
    text = body(staff, "/live/nodes/pi-1")
    assert "1 of 4 slots still taken" in text and "dust &lt;script&gt;" in text
    node.attempts.update(finished_at=now, outcome="succeeded")
    text = body(staff, "/live/nodes/pi-1")
    assert "drained" in text and "nothing runs here any more" in text


def test_a_node_may_say_anything_on_its_page(page: Client, now: datetime) -> None:
    evil = f"{HOSTILE}\u202e\x1b[31m"
    passport: Any = {
        HOSTILE: evil, "os": [evil], "packages": {evil: evil}, "programs": [evil, 3],
        "board": {evil: 1},
        "memory_total": 10**400, "booted_at": 1e300, "cpu_frequency_max_mhz": float(10**300),
        "cores": "many", "gpu": True,
    }  # fmt: skip
    reading = {"load_1": evil, "temperature": [evil], "throttled": evil, "disk_total": -1}
    make_node("pi-1", passport=passport, reading=reading, last_seen_at=now, platform=evil,
              version=evil, tags=[evil], auto_tags=[evil], canary_error=evil, canary_at=now,
              trouble=evil, added_by=evil)  # fmt: skip
    make_node("pi-2", passport=[evil], reading=evil, speed_evidence={}, online=False, trouble=evil)
    make_node("pi-3", passport={"packages": [1], "programs": {}}, reading=None or [])
    for path in ("/nodes", "/nodes/pi-1", "/nodes/pi-2", "/nodes/pi-3", "/live/nodes", "/"):
        text = body(page, path)
        assert HOSTILE not in text, path
        assert "\u202e" not in text and "\x1b" not in text, path


def test_what_is_not_known_is_a_dash(page: Client) -> None:
    make_node("pi-1")
    text = body(page, "/nodes/pi-1")
    tiles = text.split('aria-label="Gauges"')[1].split("</section>")[0]
    assert tiles.count('<span class="tile-value">–</span>') == 7
    assert "it was never heard" in text and "none has run yet" in text
    assert "None" not in text and "nan" not in tiles


def test_readings_of_a_node_that_is_away_are_not_shown_as_present(page: Client) -> None:
    make_node("pi-1", online=False, cpu_percent=50, memory_free=1, reading={"temperature": 50})
    tiles = body(page, "/nodes/pi-1").split('aria-label="Gauges"')[1].split("</section>")[0]
    assert "50" not in tiles


def words(node: Node, now: datetime) -> dict[str, tuple[str, str]]:
    return {check.title: (check.level, check.words) for check in checks(Card(node, 0, now))}


def test_health_is_told_in_words_with_what_to_do(now: datetime) -> None:
    node = make_node("pi-1", last_seen_at=now, canary_at=now, dispatch_ms=7.25, disk_free=10**10)
    node.reading = {
        "throttled": ["under_voltage"], "throttled_since_boot": ["under_voltage", "throttled"],
        "temperature": 83.0, "round_trip_ms": 2.5, "clock_skew_seconds": -61.0,
    }  # fmt: skip
    found = words(node, now)
    assert found["Power"] == (
        "bad", "under-voltage now: use a better power supply and a short, thick cable",
    )  # fmt: skip
    assert found["Temperature"] == ("bad", "83 °C: give it air, or a fan")
    assert found["Clock"][0] == "warning" and "1 min 01 s behind ours" in found["Clock"][1]
    assert found["Round trip"] == ("good", "2.5 ms over the network")
    assert found["Test job"][0] == "good" and "7.2 ms" in found["Test job"][1]
    assert found["Disk"] == ("good", "10 GB free")
    node.reading = {"throttled": [], "throttled_since_boot": ["throttled"],
                    "scratch_read_only": True}  # fmt: skip
    found = words(node, now + timedelta(seconds=20))
    assert found["Power"] == ("warning", "good now; since it was started: slowed down")
    assert found["Disk"][0] == "bad" and "read-only" in found["Disk"][1]
    assert found["Heartbeat"] == ("warning", "nothing was heard for 20 s")
    node.online = False
    assert set(words(node, now)) == {"Heartbeat", "Test job"}


def test_a_speed_shows_what_it_rests_on(page: Client, node: Node, now: datetime) -> None:
    spec = make_ended(now, node, command="render {frame}").spec
    evidence = [
        {"spec": spec.pk, "runs": 1300, "seconds": 2.0, "fleet_seconds": 3.0},
        {"spec": 0, "runs": 7, "seconds": 0.1, "fleet_seconds": 0.1},
        {"spec": 999, "runs": 7, "seconds": 0.1, "fleet_seconds": 0.1},
    ]
    Node.objects.update(speed=1.49, speed_samples=1307, speed_evidence=evidence)
    text = body(page, "/nodes/pi-1")
    assert "1.49 ×" in text and f"/jobs?spec={spec.pk}" in text and "the test job" in text
    assert "1.50 ×" in text and len(page.get("/nodes/pi-1").context["evidence"]) == 2


def test_the_settings_are_read_by_all_and_changed_by_staff(page: Client, staff: Client) -> None:
    text = body(page, "/settings/cluster")
    assert all(f'value="{name}"' in text and setting.described(name) for name in STRATEGIES)
    assert "disabled" in text and "Save" not in text
    assert page.post("/settings/cluster", {"strategy": "round_robin"}).status_code == 403
    assert staff.post("/settings/cluster", {"strategy": "round_robin"}).status_code == 302
    assert setting.read("strategy") == "round_robin"
    text = body(staff, "/settings/cluster")
    assert 'value="round_robin" checked' in text and "by chief" in text
    for wrong in ({"strategy": "best"}, {}):
        response = staff.post("/settings/cluster", wrong)
        assert response.status_code == 200 and "field-error" in response.content.decode()
    assert setting.read("strategy") == "round_robin"


def test_the_pages_make_a_fixed_number_of_statements(
    staff: Client, now: datetime, counted: Counted
) -> None:
    def rows(count: int) -> None:
        for number in range(count):
            node = make_node(f"pi-{Node.objects.count() + 2}", tags=["a"], auto_tags=["b", "c"])
            for _attempt in range(3):
                make_ended(now, node, name=f"job {number}")

    few = {}
    rows(1)
    for path in ("/nodes", "/nodes/pi-2", "/settings/cluster", "/nodes/pi-2/remove"):
        staff.get(path)
        with counted() as statements:
            body(staff, path)
        few[path] = len(statements)
    rows(8)
    for path, most in few.items():
        with counted() as statements:
            body(staff, path)
        assert len(statements) <= most, (path, *statements)


def test_the_admin_acts_by_the_same_functions(staff: Client, node: Node, now: datetime) -> None:
    other = make_node("here", address="127.0.0.1", breaker_opened_at=now, breaker_reason="lost")

    def act(name: str, *chosen: Node) -> str:
        data = {"action": name, "_selected_action": [one.pk for one in chosen]}
        return staff.post("/admin/cluster/node/", data, follow=True).content.decode()

    assert "1 breaker is closed." in act("reset", other)
    other.refresh_from_db()
    assert other.breaker_opened_at is None
    text = act("remove", node, other)
    assert "1 node is removed." in text and "DISPY_NODES is empty" in text
    act("drain", node, other)
    assert list(Node.objects.filter(draining=True)) == [other]  # a removed one is left alone


def test_the_admin_checks_what_it_changes(staff: Client, node: Node) -> None:
    Node.objects.update(cpus=4, cpu_percent=50)
    path = f"/admin/cluster/node/{node.pk}/change/"
    assert body(staff, path)
    given = {"name": "pi-1", "slots": "3", "tags": '["ssd"]'}
    assert staff.post(path, given).status_code == 302
    node.refresh_from_db()
    assert (node.slots, node.slots_set, node.tags, node.cpu_percent) == (3, True, ["ssd"], 50)
    assert staff.post(path, given).status_code == 302  # the box was unticked: auto again
    node.refresh_from_db()
    assert (node.slots, node.slots_set) == (4, False)
    for wrong, words in [
        ({"slots": "9"}, "offers 4"), ({"tags": '["A"]'}, "lower case"),
        ({"tags": '"ssd"'}, "list of words"), ({"tags": "[1]"}, "list of words"),
        ({"name": "a/b"}, "letters, digits"), ({"slots": ""}, "required"),
    ]:  # fmt: skip
        assert words in staff.post(path, {**given, **wrong}).content.decode(), wrong
    assert staff.get("/admin/cluster/node/add/").status_code == 403


def test_the_settings_lead_to_what_is_watched(page: Client, staff: Client) -> None:
    told = ["/alerts/rules", "/settings/channels", "/alerts/silences"]
    for client, links in ((page, [told[0], told[2]]), (staff, told)):
        text = body(client, "/settings/cluster").split('id="watching-title"')[1]
        assert re.findall(r'<a href="([^"]+)"', text.split("</section>")[0]) == links
        for link in links:
            assert client.get(link).status_code == 200

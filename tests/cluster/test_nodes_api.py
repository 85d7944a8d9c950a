"""The API of nodes, strategy and health: what it takes, what it refuses and in which words."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from cluster import setting
from cluster.models import Node
from cluster.strategies import STRATEGIES
from tests.factories import hold_lease, make_node, make_user
from tests.pages.rows import HOSTILE, make_running

pytestmark = pytest.mark.django_db
NODES = "/api/cluster/nodes"


@pytest.fixture
def now() -> datetime:
    """The API looks at the clock itself."""
    return timezone.now()


def client_of(name: str, **more: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(make_user(name, **more))
    return client


@pytest.fixture
def staff() -> APIClient:
    return client_of("chief", is_staff=True)


@pytest.fixture
def viewer() -> APIClient:
    return client_of("alice")


def call(client: APIClient, method: str, path: str, body: Any = None) -> Any:
    return getattr(client, method)(path, body, format="json")


def test_a_machine_is_added_and_read_back(staff: APIClient) -> None:
    body = {"address": "192.168.1.14", "name": "pi-4", "slots": 2, "tags": ["ssd", "camera"]}
    answer = call(staff, "post", NODES, body)
    assert answer.status_code == 201, answer.content
    node = answer.json()
    assert node["tags"] == ["camera", "ssd"]
    assert (node["name"], node["slots"], node["slots_set"]) == ("pi-4", 2, True)
    assert (node["state"], node["added_by"]) == ("offline", "chief")
    # What nobody has measured yet is null, never a number.
    unknown = ("heartbeat_age_seconds", "load_1", "temperature", "throttled", "round_trip_ms",
               "clock_skew_seconds", "dispatch_ms", "memory_total")  # fmt: skip
    assert {node[name] for name in ("cpu_percent", *unknown) if name != "throttled"} == {None}
    assert node["throttled"] is None
    assert node["canary"] == {"at": None, "error": ""}
    assert node["performance"] == {"speed": None, "samples": 0, "evidence": []}
    assert node["breaker"]["state"] == "closed"
    assert call(staff, "get", f"{NODES}/pi-4").json()["name"] == "pi-4"
    assert [row["name"] for row in call(staff, "get", NODES).json()] == ["pi-4"]


def test_a_repeated_request_is_one_node(staff: APIClient) -> None:
    def post(key: str = "k", **more: Any) -> Any:
        body = {"address": "pi-4.local", "tags": ["ssd"], **more}
        return staff.post(NODES, body, format="json", HTTP_IDEMPOTENCY_KEY=key)

    first, again = post(), post()
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["name"] == again.json()["name"] == "pi-4.local"
    assert Node.objects.count() == 1
    assert post(slots=2).status_code == 409  # the key came with another body
    other = post("k2")
    assert other.status_code == 400 and "known already" in other.json()["address"][0]
    # What was refused is not remembered: the same request may be made again.
    assert post("k3", address="pi 5").status_code == 400
    assert post("k3", address="pi-5").status_code == 201
    assert post("x" * 201).status_code == 400
    assert call(staff, "delete", f"{NODES}/pi-4.local").status_code == 204
    gone = post()
    assert gone.status_code == 409 and "removed since" in gone.json()["detail"]
    assert post("k4").status_code == 201  # it comes back
    assert Node.objects.count() == 2


def test_a_node_tells_everything_that_was_heard(viewer: APIClient, now: datetime) -> None:
    evidence = [{"spec": 0, "runs": 3, "seconds": 0.1, "fleet_seconds": 0.2}]
    make_node(
        "pi-4", slots=4, last_seen_at=now - timedelta(seconds=3), auto_tags=["arch:aarch64"],
        memory_total=2**32, dispatch_ms=12.5, canary_at=now, speed=1.5, speed_samples=3,
        speed_evidence=evidence, breaker_opened_at=now, breaker_reason="3 jobs lost",
        breaker_openings=2, breaker_probe_at=now - timedelta(seconds=1),
        reading={"load_1": 0.5, "temperature": 71.2, "throttled": [],
                 "throttled_since_boot": ["under_voltage"], "scratch_read_only": False,
                 "round_trip_ms": 1.5, "clock_skew_seconds": -0.25},
    )  # fmt: skip
    node = call(viewer, "get", f"{NODES}/pi-4").json()
    assert 3 <= node["heartbeat_age_seconds"] < 10
    figures = ("load_1", "temperature", "round_trip_ms", "clock_skew_seconds", "dispatch_ms")
    assert [node[name] for name in figures] == [0.5, 71.2, 1.5, -0.25, 12.5]
    assert (node["throttled"], node["throttled_since_boot"]) == ([], ["under_voltage"])
    assert node["scratch_read_only"] is False
    assert node["performance"] == {"speed": 1.5, "samples": 3, "evidence": evidence}
    assert node["state"] == "quarantined"
    assert (node["breaker"]["state"], node["breaker"]["openings"]) == ("half-open", 2)
    assert node["auto_tags"] == ["arch:aarch64"]


def test_a_node_may_say_anything_and_is_shown_all_the_same(viewer: APIClient) -> None:
    reading = {"load_1": "x", "temperature": 10**300, "throttled": {"a": 1}, "round_trip_ms": True}
    make_node("pi-4", reading=reading, passport={HOSTILE: [HOSTILE]}, platform=HOSTILE)
    make_node("pi-5", reading=["what?"], passport=7)
    for path in (f"{NODES}/pi-4", f"{NODES}/pi-5", NODES, "/api/cluster/health"):
        answer = call(viewer, "get", path)
        assert answer.status_code == 200
    node = call(viewer, "get", f"{NODES}/pi-4").json()
    assert (node["load_1"], node["temperature"], node["throttled"]) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "address", "required"),
        ({"address": ""}, "address", "blank"),
        ({"address": "http://pi"}, "address", "host name or an IP address alone"),
        ({"address": "10.0.0.256"}, "address", "0 to 255"),
        ({"address": ["a"]}, "address", "string"),
        ({"address": "pi", "colour": "red"}, "colour", "Known fields: address"),
        ({"address": "pi", "name": "a b"}, "name", "letters, digits"),
        ({"address": "pi", "name": "taken"}, "name", "choose another"),
        ({"address": "127.0.0.2"}, "address", "known already, as taken"),
        ({"address": "pi", "slots": 0}, "slots", "from 1 to 1000"),
        ({"address": "pi", "slots": "many"}, "slots", "integer"),
        ({"address": "pi", "slots": 10**30}, "slots", "from 1 to 1000"),
        ({"address": "pi", "tags": "ssd"}, "tags", "list"),
        ({"address": "pi", "tags": ["A"]}, "tags", "lower case"),
        ({"address": "pi", "tags": ["os:plan9"]}, "tags", "automatically"),
        ([], "non_field_errors", "dictionary"),
    ],
)
def test_a_refusal_names_the_field_and_what_to_do(
    staff: APIClient, body: Any, field: str, words: str
) -> None:
    make_node("taken")
    answer = call(staff, "post", NODES, body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert words in str(answer.json()[field])
    assert Node.objects.count() == 1


def test_slots_tags_and_name_are_changed(staff: APIClient) -> None:
    make_node("pi-4", slots=4, cpus=4)
    path = f"{NODES}/pi-4"
    node = call(staff, "patch", path, {"slots": 2, "tags": ["ssd"]}).json()
    assert (node["slots"], node["slots_set"], node["tags"]) == (2, True, ["ssd"])
    node = call(staff, "patch", path, {"slots": None}).json()
    assert (node["slots"], node["slots_set"], node["tags"]) == (4, False, ["ssd"])
    assert call(staff, "patch", path, {}).json()["slots"] == 4
    answer = call(staff, "patch", path, {"slots": 8})
    assert answer.status_code == 400
    assert "start it with --slots 8" in answer.json()["slots"][0]
    for body in ({"address": "x"}, {"tags": ["py:2"]}, {"tags": None}, {"name": ""}):
        answer = call(staff, "patch", path, body)
        assert (answer.status_code, list(answer.json())) == (400, list(body))
    assert call(staff, "patch", path, {"name": "attic"}).json()["name"] == "attic"
    assert call(staff, "get", path).status_code == 404


def test_a_node_is_removed_and_its_history_kept(staff: APIClient, now: datetime) -> None:
    node = make_node("pi-4")
    make_running(now, node)
    path = f"{NODES}/pi-4"
    answer = call(staff, "delete", path)
    assert answer.status_code == 409
    assert "drain the node first" in answer.json()["detail"]
    assert call(staff, "delete", f"{path}?force=perhaps").json() == {
        "force": ["Give true or false."]
    }
    assert call(staff, "delete", f"{path}?force=true").status_code == 204
    assert call(staff, "get", path).status_code == 404
    assert call(staff, "delete", path).status_code == 404
    assert Node.objects.get().attempts.count() == 1


def test_a_node_of_the_settings_is_not_removed(staff: APIClient) -> None:
    make_node("here", address="127.0.0.1")
    answer = call(staff, "delete", f"{NODES}/here?force=true")
    assert answer.status_code == 409
    assert "drain it" in answer.json()["detail"]


def test_drain_resume_and_reset(staff: APIClient, now: datetime) -> None:
    make_node("pi-4", breaker_opened_at=now, breaker_reason="lost", last_seen_at=now)
    path = f"{NODES}/pi-4"
    assert call(staff, "post", f"{path}/reset").json()["state"] == "online"
    node = call(staff, "post", f"{path}/drain", {"reason": "dust"}).json()
    assert (node["state"], node["drain_reason"]) == ("drained", "dust")
    assert call(staff, "post", f"{path}/drain", {"why": "x"}).status_code == 400
    assert call(staff, "post", f"{path}/drain", {"reason": "x" * 201}).status_code == 400
    assert call(staff, "post", f"{path}/resume").json()["state"] == "online"
    for action in ("drain", "resume", "reset"):
        assert call(staff, "post", f"{NODES}/nobody/{action}").status_code == 404


WRITES = [
    ("post", NODES), ("patch", f"{NODES}/pi-4"), ("delete", f"{NODES}/pi-4"),
    ("post", f"{NODES}/pi-4/drain"), ("post", f"{NODES}/pi-4/resume"),
    ("post", f"{NODES}/pi-4/reset"), ("put", "/api/cluster/strategy"),
]  # fmt: skip
READS = [NODES, f"{NODES}/pi-4", "/api/cluster/strategy", "/api/cluster/health",
         "/api/cluster/overview"]  # fmt: skip
NO_METHOD = [
    ("put", NODES), ("delete", NODES), ("post", f"{NODES}/pi-4"), ("put", f"{NODES}/pi-4"),
    ("get", f"{NODES}/pi-4/drain"), ("get", f"{NODES}/pi-4/resume"),
    ("delete", f"{NODES}/pi-4/reset"), ("post", "/api/cluster/strategy"),
    ("patch", "/api/cluster/strategy"), ("post", "/api/cluster/health"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_only_staff_writes(viewer: APIClient, method: str, path: str) -> None:
    before = Node.objects.filter(pk=make_node("pi-4").pk).values().get()
    body = {"strategy": "round_robin"} if "strategy" in path else {}
    assert call(viewer, method, path, body).status_code == 403
    assert call(APIClient(), method, path, body).status_code == 401
    assert Node.objects.values().get() == before
    assert setting.read("strategy") == "least_connections"


@pytest.mark.parametrize("path", READS)
def test_everybody_signed_in_reads(viewer: APIClient, path: str) -> None:
    make_node("pi-4")
    assert call(viewer, "get", path).status_code == 200
    assert call(APIClient(), "get", path).status_code == 401


@pytest.mark.parametrize(("method", "path"), NO_METHOD)
def test_other_methods_are_refused(staff: APIClient, method: str, path: str) -> None:
    make_node("pi-4")
    assert call(staff, method, path, {}).status_code == 405


def test_the_strategy_is_read_and_changed(staff: APIClient, viewer: APIClient) -> None:
    path = "/api/cluster/strategy"
    before = call(viewer, "get", path).json()
    assert before["strategy"] == "least_connections"
    assert (before["changed_at"], before["changed_by"]) == (None, "")
    assert [choice["name"] for choice in before["choices"]] == list(STRATEGIES)
    assert all(choice["description"] for choice in before["choices"])
    after = call(staff, "put", path, {"strategy": "round_robin"}).json()
    assert (after["strategy"], after["changed_by"]) == ("round_robin", "chief")
    assert after["changed_at"]
    assert call(viewer, "get", path).json() == after
    for body in ({}, {"strategy": "best"}, {"strategy": ["round_robin"]}, {"strategy": None}):
        answer = call(staff, "put", path, body)
        assert (answer.status_code, list(answer.json())) == (400, ["strategy"])
    answer = call(staff, "put", path, {"strategy": "round_robin", "who": "me"})
    assert list(answer.json()) == ["who"]


@pytest.mark.parametrize("value", ["no_more", [], {}, 7])
def test_a_strategy_that_is_no_more_gives_way_to_the_default(now: datetime, value: Any) -> None:
    setting.choose("strategy", value, "chief", now)
    assert setting.read("strategy") == "least_connections"


def test_every_strategy_has_a_description() -> None:
    assert set(STRATEGIES) == set(setting.DESCRIPTIONS)


def health(client: APIClient) -> tuple[str, list[str]]:
    answer = call(client, "get", "/api/cluster/health").json()
    return answer["status"], answer["reasons"]


def test_health_says_how_it_stands_and_why(viewer: APIClient, now: datetime) -> None:
    assert health(viewer) == ("down", ["The dispatcher is not running.", "No node is known."])
    hold_lease(now + timedelta(minutes=1))
    node = make_node("pi-4", slots=2, last_seen_at=now)
    assert health(viewer) == ("healthy", [])
    second = make_node("pi-5", last_seen_at=now, draining=True)
    assert health(viewer) == ("healthy", [])  # a drain is somebody's wish
    Node.objects.filter(pk=second.pk).update(draining=False, canary_error="no answer")
    assert health(viewer) == (
        "degraded", ["pi-5 is suspect: its test job failed: no answer"],
    )  # fmt: skip
    Node.objects.filter(pk=second.pk).update(breaker_opened_at=now, breaker_reason="3 lost")
    assert health(viewer) == ("degraded", ["pi-5 is quarantined: 3 lost"])
    Node.objects.filter(pk=node.pk).update(online=False, trouble="does not answer")
    status, reasons = health(viewer)
    assert status == "down"
    assert reasons[:2] == ["No node takes work now.", "pi-4 is offline: does not answer"]
    answer = call(viewer, "get", "/api/cluster/health").json()
    assert answer["counts"] == {"total": 2, "offline": 1, "quarantined": 1}
    assert answer["dispatcher"] == "running"
    shown = {node["name"]: node for node in answer["nodes"]}
    assert shown["pi-5"]["breaker"]["state"] == "open"
    assert shown["pi-5"]["canary"]["error"] == "no answer"


def test_lists_make_a_fixed_number_of_statements(
    viewer: APIClient, now: datetime, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        make_node(f"pi-{number}")
    for path in (NODES, "/api/cluster/health", "/api/cluster/overview"):
        with django_assert_max_num_queries(6):
            call(viewer, "get", path)

from datetime import datetime, timedelta
from typing import Any

import pytest

from cluster import nodes
from cluster.models import Node
from tests.factories import make_node
from tests.pages.rows import make_running

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("pi-4", "pi-4"),
        ("a/../b\n", "a-..-b"),
        ("<b>", "b"),
        ("///", "node"),
        ("étagère", "étagère"),
    ],
)
def test_a_nodes_own_name_is_made_fit_for_a_url(now: datetime, said: str, kept: str) -> None:
    node = nodes.seen("127.0.0.9", said, 2, "Linux", "4.15.2", True, {}, now)
    assert node.name == kept


def test_two_nodes_of_one_name_are_told_apart(now: datetime) -> None:
    make_node("pi")
    assert nodes.seen("127.0.0.9", "pi", 2, "Linux", "4.15.2", True, {}, now).name == "pi-2"


def test_a_node_that_comes_back_keeps_its_name_slots_and_drain(now: datetime) -> None:
    node = seen(now)
    nodes.change(node, name="renamed", slots=2, tags=["ssd"])
    nodes.drain(Node.objects.all(), "dust")
    nodes.gone("127.0.0.9", "no pulse", now)
    node = seen(now)
    assert (node.name, node.slots, node.trouble, node.tags) == ("renamed", 2, "", ["ssd"])
    assert nodes.state(node, 1) == "draining"


def seen(now: datetime, cpus: int = 4, **passport: Any) -> Node:
    return nodes.seen("127.0.0.9", "pi", cpus, "Linux", "4.15.2", True, passport, now)


def test_slots_follow_the_agent_until_a_person_sets_them(now: datetime) -> None:
    node = seen(now, cpus=4)
    assert (node.slots, seen(now, cpus=8).slots) == (4, 8)
    nodes.change(node, slots=3)
    assert seen(now, cpus=8).slots == 3
    assert seen(now, cpus=2).slots == 2  # it has no more
    nodes.change(node, slots=nodes.AUTO)
    assert not node.slots_set
    assert seen(now, cpus=6).slots == 6


def test_a_node_that_is_seen_takes_its_tags_from_the_passport(now: datetime) -> None:
    node = seen(now, arch="aarch64", python="3.11.2")
    assert node.auto_tags == ["arch:aarch64", "os:linux", "py:3.11"]
    assert node.tags == []


def test_what_people_change_while_a_node_is_heard_stays(now: datetime) -> None:
    node = seen(now)
    nodes.drain(Node.objects.filter(pk=node.pk), "dust")
    node.draining = False
    seen(now)
    node.refresh_from_db()
    assert node.draining


def test_a_machine_is_added_and_named_by_its_agent(now: datetime) -> None:
    node = nodes.add("PI-9.local", "", None, ["ssd"], "chief", now)
    assert (node.address, node.name, node.added_by) == ("pi-9.local", "pi-9.local", "chief")
    nodes.seen("pi-9.local", "kitchen", 4, "Linux", "4.15.2", True, {}, now)
    node.refresh_from_db()
    assert (node.name, node.slots, node.tags) == ("kitchen", 4, ["ssd"])
    nodes.add("pi-8.local", "attic", 2, [], "chief", now)
    nodes.seen("pi-8.local", "raspberrypi", 4, "Linux", "4.15.2", True, {}, now)
    assert Node.objects.values_list("name", "slots").get(address="pi-8.local") == ("attic", 2)


def test_a_machine_is_added_once(now: datetime) -> None:
    nodes.add("pi-9.local", "kitchen", None, [], "chief", now)
    assert refusal(nodes.add, "PI-9.local.", "", None, [], "chief", now) == (
        "address", "pi-9.local is known already, as kitchen.",
    )  # fmt: skip
    field, words = refusal(nodes.add, "10.0.0.4", "Kitchen", None, [], "chief", now)
    assert field == "name" and "pi-9.local has this name" in words
    assert Node.objects.count() == 1


def refusal(act: Any, *args: Any, **named: Any) -> tuple[str, str]:
    with pytest.raises(nodes.Refused) as caught:
        act(*args, **named)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"address": "a b"}, "address"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 91}, "name"),
        ({"name": "-x"}, "name"),
        ({"name": "join"}, "name"),
        ({"slots": 0}, "slots"),
        ({"slots": 1001}, "slots"),
        ({"tags": ["os:x"]}, "tags"),
    ],
)
def test_nothing_is_added_where_a_value_is_wrong(
    now: datetime, values: dict[str, Any], field: str
) -> None:
    given = {"address": "pi", "name": "", "slots": None, "tags": [], **values}
    assert refusal(nodes.add, **given, who="chief", now=now)[0] == field
    assert not Node.objects.exists()


def test_a_removed_node_comes_back_only_when_a_person_says_so(now: datetime) -> None:
    node = nodes.add("127.0.0.9", "pi", None, [], "chief", now)
    seen(now)
    nodes.drain(Node.objects.all(), "dust")
    Node.objects.update(breaker_opened_at=now, breaker_reason="lost jobs", canary_error="bang")
    nodes.remove(node, now)
    seen(now)  # its last word was still on the way
    nodes.troubled("127.0.0.9", "was let go", now)
    node.refresh_from_db()
    assert (node.removed_at, node.online) == (now, False)
    assert nodes.listed_addresses() == []
    again = nodes.add("127.0.0.9", "", None, ["new"], "alice", now)
    again.refresh_from_db()
    assert again.pk == node.pk
    assert (again.name, again.added_by, again.removed_at) == ("pi", "alice", None)
    assert (again.draining, again.breaker_opened_at, again.canary_error) == (False, None, "")


def test_slots_are_held_to_what_the_agent_offers(now: datetime) -> None:
    node = seen(now, cpus=4)
    field, words = refusal(nodes.change, node, slots=8)
    assert field == "slots" and "offers 4" in words and "--slots 8" in words
    assert refusal(nodes.change, node, slots=0)[0] == "slots"
    assert not Node.objects.get().slots_set


def test_a_change_is_whole_or_not_at_all(now: datetime) -> None:
    node = seen(now)
    make_node("other")
    assert refusal(nodes.change, node, tags=["ssd"], name="other")[0] == "name"
    assert refusal(nodes.change, node, tags=["ssd"], slots=99)[0] == "slots"
    node.refresh_from_db()
    assert (node.name, node.tags) == ("pi", [])
    nodes.change(node)
    nodes.change(node, name="pi", tags=[])  # its own name is not taken


def test_a_node_with_open_attempts_is_removed_by_force_only(now: datetime) -> None:
    node = make_node("pi")
    make_running(now, node)
    field, words = refusal(nodes.remove, node, now)
    assert field == "" and "1 attempt is still open" in words
    nodes.remove(node, now, force=True)
    node.refresh_from_db()
    assert node.removed_at == now
    assert node.attempts.count() == 1  # history stays


def test_what_the_settings_list_is_not_removed(now: datetime, settings: Any) -> None:
    local, pi = make_node("here", address="127.0.0.1"), make_node("pi", address="Pi.local")
    assert "DISPY_NODES is empty" in refusal(nodes.remove, local, now)[1]
    settings.DISPY_NODES = ["pi.LOCAL"]
    assert "take it out of DISPY_NODES" in refusal(nodes.remove, pi, now, force=True)[1]
    nodes.remove(local, now)


def test_the_settings_bring_nodes_back_and_let_go_their_own(now: datetime) -> None:
    nodes.follow_settings(["10.0.0.1", "10.0.0.2"], now)
    nodes.add("10.0.0.3", "", None, [], "chief", now)
    nodes.follow_settings(["10.0.0.1"], now)
    assert nodes.listed_addresses() == ["10.0.0.1", "10.0.0.3"]
    nodes.follow_settings(["10.0.0.2"], now)
    assert nodes.listed_addresses() == ["10.0.0.2", "10.0.0.3"]


def test_a_drain_takes_a_better_reason(now: datetime) -> None:
    make_node("pi")
    everyone = Node.objects.all()
    assert nodes.drain(everyone, "dust") == 1
    assert nodes.drain(everyone) == nodes.drain(everyone, "dust") == 0
    assert nodes.drain(everyone, "a new disk") == 1
    assert Node.objects.get().drain_reason == "a new disk"
    assert (nodes.resume(everyone), nodes.resume(everyone)) == (1, 0)


def test_a_reset_closes_the_breaker(now: datetime) -> None:
    node = make_node(
        "pi", breaker_opened_at=now, breaker_probe_at=now, breaker_openings=3, breaker_reason="x"
    )
    nodes.reset(node, now)
    node.refresh_from_db()
    assert (node.breaker_opened_at, node.breaker_probe_at, node.breaker_openings) == (None, None, 0)
    assert (node.breaker_reason, node.breaker_reset_at) == ("", now)
    assert nodes.breaker(node, now) == "closed"


def test_a_state_is_one_word(now: datetime) -> None:
    old, later = now - timedelta(seconds=16), now + timedelta(seconds=10)
    cases: list[tuple[str, dict[str, Any], int]] = [
        ("offline", {"online": False, "breaker_opened_at": now, "draining": True}, 0),
        ("quarantined", {"breaker_opened_at": now, "draining": True}, 0),
        ("draining", {"draining": True, "last_seen_at": old}, 1),
        ("drained", {"draining": True}, 0),
        ("suspect", {"last_seen_at": old}, 0),
        ("suspect", {"last_seen_at": now, "canary_error": "bang"}, 0),
        ("online", {"last_seen_at": now - timedelta(seconds=15)}, 3),
        ("online", {"last_seen_at": None}, 0),
    ]
    for word, values, busy in cases:
        node = Node(**{"name": "pi", "online": True, **values})
        assert nodes.state(node, busy, now) == word
    assert nodes.state(Node(online=True, last_seen_at=old), 0) == "online"
    half = Node(breaker_opened_at=old, breaker_probe_at=now)
    assert [nodes.breaker(half, when) for when in (old, now)] == ["open", "half-open"]
    half.breaker_probe_at = later
    assert nodes.breaker(half, now) == "open"

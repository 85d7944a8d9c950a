"""Whatever a node says comes out short, and as JSON that every database takes."""

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from cluster.engine.hearsay import MOST_ALL, plain, read, slots
from cluster.models import Node
from tests.factories import make_node

NOW = 1_800_000_000.0
DEEP: Any = "bottom"
for _ in range(500):
    DEEP = {"down": [DEEP]}

HOSTILE: list[Any] = [
    None, 7, "no JSON", b"bytes", [], {}, DEEP, "[" * 15_000, '{"a": ' * 2_000, "9" * 10_000,
    {"a": DEEP}, {"a": {"b": {"c": 1}}, "d": [[1]]},
    {f"key {n}": "x" * 10_000 for n in range(5_000)},
    {str(n): {str(m): "x" * 1_000 for m in range(200)} for n in range(200)},
    {str(n): ["\u20ac" * 1_000] * 200 for n in range(200)},
    {"k" * 10_000: 1, 3: "three", None: 1, (1, 2): 1, b"b": 1, "": 1, "\0": 1, "\ud800": 1},
    {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "in": [math.nan, math.inf],
     "of": {"x": math.nan}},
    {"half": "a\ud800b\udfffc", "zero": "a\0b", "\ud83dname\0": ["\ud800", "\0"]},
    {"large": 10**5000, "small": -(2**63), "float": 1e308, "list": [10**400]},
    json.dumps({"a": math.nan, "b": "\ud800\0", "c": [math.inf], "\0": 1}),
    '{"a": 1e999, "b": ' + "9" * 4_000 + "}",
    {"clock": math.nan, "memory_total": 2**70, "round_trip_ms": -1, "clock_skew_seconds": "x"},
    {"set": {1, 2}, "object": object(), "tuple": ("a", 1), "bytes": b"x", "none": None},
]  # fmt: skip


def is_harmless(found: dict[str, Any]) -> bool:
    text = json.dumps(found, allow_nan=False)
    json.dumps(found, ensure_ascii=False).encode("utf-8")  # no half of a character
    return len(text) < MOST_ALL + 1_000 and "\\u0000" not in text


@pytest.mark.parametrize("values", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.django_db
def test_it_can_be_stored_and_read_back(values: Any) -> None:
    found = plain(values)
    assert is_harmless(found)
    said = read("a", SimpleNamespace(reading=values, cpu=values, memory=values, disk=values), NOW)
    assert is_harmless(said.extras)
    node = make_node(passport=found, reading=said.extras)
    Node.objects.update(
        cpu_percent=said.cpu_percent_used, memory_free=said.memory_free,
        memory_total=said.memory_total, disk_free=said.disk_free, last_seen_at=timezone.now(),
        swap_percent=said.swap_percent_used,
    )  # fmt: skip
    node.refresh_from_db()
    assert (node.passport, node.reading) == (found, said.extras)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@given(anything)
def test_it_is_harmless_whatever_it_is(values: Any) -> None:
    assert is_harmless(plain(values))
    assert is_harmless(plain({"a": values}))
    assert is_harmless(read("a", SimpleNamespace(reading={"clock": values}), NOW).extras)


def test_what_is_fit_to_be_kept_is_kept_a_level_deep() -> None:
    said = {
        "os": "Debian 12", "cores": 4, "load": 0.5, "virtual": False, "gpu": ["a", "b"],
        "packages": {"numpy": "2.1"},
    }  # fmt: skip
    assert plain(said) == plain(json.dumps(said)) == said
    assert plain({"a": [1, [2], {"b": 3}, math.nan, "c\0d"], "e": 2**70}) == {"a": [1, "cd"]}


def test_who_tells_too_much_is_cut_short() -> None:
    [text] = plain({"a": "x" * 1_000}).values()
    [inner] = plain({"a": ["x" * 1_000] * 200}).values()
    assert (len(text), len(inner), len(inner[0])) == (300, 60, 100)
    assert len(plain({str(n): n for n in range(1_000)})) == 60
    assert list(plain({"k" * 1_000: 1})) == ["k" * 60]


# A pulse


def pulse(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"cpu": 90.0, "memory": 1.0, "disk": 2.0, "swap": 100.0, **values})


@pytest.mark.parametrize(
    ("clock", "skew"),
    [(NOW, 0.0), (NOW + 3600.04, 3600.0), (NOW - 0.26, -0.3), (0, -NOW), (2e18, 1e10),
     (-2e18, -1e10)],
)  # fmt: skip
def test_a_nodes_clock_is_compared_with_ours(clock: float, skew: float) -> None:
    assert read("a", pulse(reading={"clock": clock}), NOW).extras == {"clock_skew_seconds": skew}


@pytest.mark.parametrize("clock", ["x", None, True, math.nan, math.inf, 10**400, [1], {}])
def test_a_clock_of_no_sense_is_left_out(clock: Any) -> None:
    assert read("a", pulse(reading={"clock": clock}), NOW).extras == {}


def test_what_we_measure_is_not_for_the_node_to_say() -> None:
    said = {"round_trip_ms": 0.1, "clock_skew_seconds": 0.0, "load_1": 1.5}
    assert read("a", pulse(reading=said), NOW).extras == {"load_1": 1.5}
    assert read("a", pulse(reading=said), NOW, 7.5).extras == {"load_1": 1.5, "round_trip_ms": 7.5}


def test_a_pulse_in_figures() -> None:
    said = read("a", pulse(reading={"memory_total": 2**33}), NOW)
    assert (said.address, said.cpu_percent_used, said.swap_percent_used) == ("a", 10.0, 0.0)
    assert (said.memory_free, said.disk_free, said.memory_total) == (1, 2, 2**33)


@pytest.mark.parametrize("value", [None, "1", True, -1, math.nan, math.inf, 2**63, 10**400, [1]])
def test_figures_of_no_sense_are_unknown(value: Any) -> None:
    info = pulse(cpu=value, memory=value, disk=value, swap=value, reading={"memory_total": value})
    said = read("a", info, NOW)
    assert {said.cpu_percent_used, said.swap_percent_used, said.memory_free} == {None}
    assert {said.memory_total, said.disk_free} == {None}
    assert said.extras == {}


@pytest.mark.parametrize(
    ("said", "taken"), [(4, 4), (0, 1), (-3, 1), (10**9, 1), ("8", 1), (None, 1), (True, 1)]
)
def test_slots_that_make_no_sense_are_one(said: object, taken: int) -> None:
    assert slots(said) == taken

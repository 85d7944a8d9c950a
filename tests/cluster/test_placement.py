from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.placement import Need, NodeView, choose, possible, why_not
from cluster.strategies import STRATEGIES

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def node(name: str = "a", **more: Any) -> NodeView:
    return NodeView(id=ord(name[0]), name=name, address=name, **{"slots": 1, **more})


@pytest.mark.parametrize(
    ("view", "need", "reason"),
    [
        (node(), Need(), None),
        (node(online=False), Need(), "offline"),
        (node(draining=True), Need(), "draining"),
        (node(busy=1), Need(), "its slot is taken"),
        (node(slots=2, busy=2), Need(), "every slot is taken"),
        (node(), Need(tags=frozenset({"gpu"})), "lacks the tag gpu"),
        (node(tags=frozenset({"gpu"})), Need(tags=frozenset({"gpu"})), None),
        (node(), Need(nodes=frozenset({"b"})), "not among the wanted nodes"),
        (node(), Need(exclude=frozenset({"a"})), "excluded by the job"),
        (node(memory_free=100 * 2**20), Need(memory_mb=256), "100 MB of memory free, 256 MB needed"),  # noqa: E501
        (node(memory_free=None), Need(memory_mb=256), None),
    ],
)  # fmt: skip
def test_why_not(view: NodeView, need: Need, reason: str | None) -> None:
    assert why_not(need, view) == reason


def place(strategy: str, nodes: list[NodeView], count: int) -> list[str]:
    """Names in the order in which `count` jobs are placed."""
    names = []
    for _ in range(count):
        choice = choose(Need(), nodes, STRATEGIES[strategy], strategy)
        assert choice
        choice.node.busy += 1
        choice.node.placed += 1
        names.append(choice.node.name)
    return names


def test_round_robin_gives_each_its_turn() -> None:
    nodes = [node("a", slots=9), node("b", slots=9), node("c", slots=9, last_claim_at=NOW)]
    assert place("round_robin", nodes, 6) == ["a", "b", "c", "a", "b", "c"]


def test_least_connections_levels_the_shares() -> None:
    nodes = [node("a", slots=4, busy=2), node("b", slots=2, busy=0)]
    assert place("least_connections", nodes, 3) == ["b", "a", "b"]


def test_least_recent_takes_the_one_that_waited_longest() -> None:
    nodes = [node("a", last_claim_at=NOW), node("b", last_claim_at=NOW - timedelta(hours=1))]
    assert place("least_recent", nodes, 2) == ["b", "a"]


def test_best_performance_takes_the_fastest_that_is_free() -> None:
    nodes = [node("a", slots=2), node("b", slots=2, speed=3.0)]
    assert place("best_performance", nodes, 4) == ["b", "b", "a", "a"]


def test_random_weighted_honours_the_weights() -> None:
    seen: Counter[str] = Counter()
    for _ in range(3000):
        seen.update(place("random_weighted", [node("a"), node("b", speed=3.0)], 1))
    assert 0.70 < seen["b"] / 3000 < 0.80


views = st.lists(
    st.builds(
        node,
        st.sampled_from("abcdef"),
        slots=st.integers(1, 4),
        busy=st.integers(0, 5),
        online=st.booleans(),
        draining=st.booleans(),
        tags=st.frozensets(st.sampled_from(["x", "y"])),
    ),
    unique_by=lambda view: view.name,
)
needs = st.builds(Need, tags=st.frozensets(st.sampled_from(["x", "y"])))


@given(views, needs, st.sampled_from(sorted(STRATEGIES)))
def test_no_strategy_takes_a_node_that_is_ruled_out(
    nodes: list[NodeView], need: Need, name: str
) -> None:
    choice = choose(need, nodes, STRATEGIES[name], name)
    if choice is None:
        assert all(why_not(need, view) for view in nodes)
    else:
        assert why_not(need, choice.node) is None
        assert choice.node.name in choice.receipt["candidates"]
        assert possible(need, nodes)

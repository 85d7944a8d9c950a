import heapq
import math
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.placement import (
    BEFORE_SLOTS,
    TESTS,
    Choice,
    Need,
    NodeView,
    Placer,
    first_reason,
    never,
    why_not,
)
from cluster.strategies import FORESEEING, GUESS_SECONDS, STRATEGIES

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
        (node(memory_free=900 * 2**20, memory_total=1000 * 2**20, memory_promised=800 * 2**20),
         Need(memory_mb=256), "200 MB of memory free, 256 MB needed"),
        (node(memory_total=100 * 2**20), Need(memory_mb=256),
         "has 100 MB of memory, 256 MB needed"),
        (node(slots=4, busy=2), Need(slots=3), "2 slots free, 3 needed"),
        (node(slots=2), Need(slots=3), "has 2 slots, 3 needed"),
        (node(breaker="3 jobs lost"), Need(), "quarantined: 3 jobs lost"),
    ],
)  # fmt: skip
def test_why_not(view: NodeView, need: Need, reason: str | None) -> None:
    assert why_not(need, view) == reason


Times = dict[str, float]


def choose(need: Need, nodes: list[NodeView], strategy: str) -> Choice | None:
    return Placer(nodes).place(need, strategy, lambda node: None)


def place(
    strategy: str, nodes: list[NodeView], count: int, times: Times | None = None
) -> list[str]:
    """Names in the order in which `count` jobs are placed; "" for one that waits."""
    placer, by_id = Placer(nodes), {view.id: view.name for view in nodes}
    names = []
    for _ in range(count):
        choice = placer.place(Need(), strategy, lambda node: (times or {}).get(by_id[node]))
        assert choice
        names.append(choice.node.name if choice.now else "")
    return names


def test_round_robin_gives_each_its_turn() -> None:
    nodes = [node("a", slots=9, turn=1), node("b", slots=9, turn=2), node("c", slots=9, turn=0)]
    assert place("round_robin", nodes, 7) == ["c", "a", "b", "c", "a", "b", "c"]


def test_least_connections_levels_the_shares() -> None:
    nodes = [node("a", slots=4, busy=2), node("b", slots=2, busy=0)]
    assert place("least_connections", nodes, 3) == ["b", "a", "b"]


def test_least_recent_takes_the_one_that_waited_longest() -> None:
    nodes = [
        node("a", slots=2, last_claim_at=NOW),
        node("b", slots=2, last_claim_at=NOW - timedelta(hours=1)),
        node("c", slots=2),
    ]
    assert place("least_recent", nodes, 4) == ["c", "b", "a", "c"]


def test_best_performance_takes_the_fastest_that_is_free() -> None:
    nodes = [node("a", slots=2), node("b", slots=2, speed=3.0)]
    assert place("best_performance", nodes, 4) == ["b", "b", "a", "a"]


def test_random_weighted_honours_the_weights() -> None:
    """Speed x free slots: 1 x 1 against 3 x 1 and 1 x 4, alone and within one pass."""
    alone: Counter[str] = Counter()
    for _ in range(4000):
        nodes = [node("a"), node("b", speed=3.0), node("c", slots=4)]
        alone.update(place("random_weighted", nodes, 1))
    for name, share in {"a": 1 / 8, "b": 3 / 8, "c": 4 / 8}.items():
        assert abs(alone[name] / 4000 - share) < 0.03
    second = Counter(
        place("random_weighted", [node("a", slots=2), node("b", slots=2)], 2)[1]
        for _ in range(4000)
    )
    assert abs(second["a"] / 4000 - 0.5) < 0.03


def test_earliest_finish_waits_for_the_faster_node_where_that_is_sooner() -> None:
    """a takes 1 s and is taken for another 0.5 s; b takes 4 s and is free."""
    nodes = [node("a", busy=1, ends=[0.5]), node("b")]
    times = {"a": 1.0, "b": 4.0}
    # done on a at 1.5, 2.5, 3.5; then 4.5 there against 4 on b
    assert place("earliest_finish", nodes, 4, times) == ["", "", "", "b"]


def test_earliest_finish_guesses_by_speed_where_nothing_was_measured() -> None:
    nodes = [node("a"), node("b", speed=2.0)]
    assert place("earliest_finish", nodes, 1) == ["b"]


def test_earliest_finish_does_not_take_a_node_of_unknown_work_for_free() -> None:
    nodes = [node("a", busy=1), node("b")]
    assert place("earliest_finish", nodes, 1, {"a": 2.0, "b": 2.0}) == ["b"]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_retry_goes_elsewhere_where_it_can(strategy: str) -> None:
    placer = Placer([node("a", slots=9), node("b", slots=1)])
    names = []
    for _ in range(3):
        choice = placer.place(Need(), strategy, lambda _: 1.0, avoid=ord("a"))
        assert choice
        names.append(choice.node.name)
    assert names[:2] == (["b", "b"] if strategy == "earliest_finish" else ["b", "a"])


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
needs = st.builds(Need, tags=st.frozensets(st.sampled_from(["x", "y"])), slots=st.integers(1, 2))


jobs = st.lists(st.tuples(needs, st.sampled_from(sorted(STRATEGIES))), max_size=12)


@settings(deadline=None)
@given(views, jobs)
def test_no_pass_takes_a_node_that_is_ruled_out_or_more_than_its_slots(
    nodes: list[NodeView], wanted: list[tuple[Need, str]]
) -> None:
    placer, taken = Placer(nodes), {view.name: view.busy for view in nodes}
    for need, strategy in wanted:
        fits = {view.name for view in nodes if why_not(need, view) is None}
        choice = placer.place(need, strategy, lambda node: float(node % 3))
        if choice is None:
            assert not fits
        elif choice.now:
            assert choice.node.name in fits
            assert choice.node.name in choice.receipt["candidates"]
            taken[choice.node.name] += need.slots
            assert taken[choice.node.name] == choice.node.busy <= choice.node.slots
        else:
            assert strategy == "earliest_finish"


@settings(deadline=None)
@given(views, needs, st.sampled_from(sorted(STRATEGIES)))
def test_the_chosen_has_the_lowest_score(nodes: list[NodeView], need: Need, name: str) -> None:
    if name in ("random_weighted", "earliest_finish"):
        return
    scores = {v.name: STRATEGIES[name](v, None) for v in nodes if why_not(need, v) is None}
    choice = choose(need, nodes, name)
    assert (choice is None) == (not scores)
    if choice:
        assert scores[choice.node.name] == min(scores.values())
        assert any(never(need, view) is None for view in nodes)


def room_in(view: NodeView, need: Need) -> float:
    """Seconds until it has the slots and the memory, by what is known of what runs there."""
    left = view.memory_left
    missing = need.slots - view.free
    if missing <= 0 and left is not None and left < (need.memory_mb or 0) * 2**20:
        missing = 1
    if missing <= 0:
        return 0.0
    ends = [0.0, *sorted(view.ends)][: missing + 1]
    return max(ends) if view.ends else math.inf


def plainly(nodes: list[NodeView], need: Need, strategy: str, seconds: Any, avoid: Any) -> Any:
    """What Placer.place is to do, without its heaps: look at every node, take the best."""
    tests = BEFORE_SLOTS if strategy in FORESEEING else TESTS
    fits = [node for node in nodes if first_reason(tests, need, node) is None]
    for view in fits:
        view.ends += [GUESS_SECONDS / view.speed] * (view.busy - len(view.ends))
        heapq.heapify(view.ends)
    scores = {node.name: STRATEGIES[strategy](node, seconds(node.id)) for node in fits}
    if strategy in FORESEEING:
        for view in fits:
            lasts = scores[view.name] - view.free_in()
            scores[view.name] = lasts + room_in(view, need)
        fits = [node for node in fits if scores[node.name] < math.inf]
    if not fits:
        return None
    best = min(fits, key=lambda node: (node.id == avoid, scores[node.name], node.name))
    expected, now = seconds(best.id), why_not(need, best) is None
    (best.take if now else best.book)(need, expected or GUESS_SECONDS / best.speed)
    return best.name, now


many = st.lists(
    st.builds(
        node,
        st.sampled_from("abcdefghijkl"),
        slots=st.integers(1, 3),
        busy=st.integers(0, 4),
        online=st.sampled_from([True, True, True, False]),
        tags=st.frozensets(st.sampled_from(["x", "y"])),
        memory_total=st.sampled_from([None, 2000 * 2**20]),
        memory_promised=st.sampled_from([0, 1000 * 2**20]),
        speed=st.sampled_from([0.5, 1.0, 1.7]),
        turn=st.integers(0, 3),
        last_claim_at=st.sampled_from([None, NOW, NOW - timedelta(hours=1)]),
        ends=st.lists(st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.7]), max_size=2).map(sorted),
    ),
    unique_by=lambda view: view.name,
)
asked = st.lists(
    st.tuples(
        st.builds(
            Need,
            tags=st.frozensets(st.sampled_from(["x", "y"]), max_size=1),
            slots=st.integers(1, 2),
            memory_mb=st.sampled_from([None, None, 600]),
        ),
        st.integers(0, 3),  # spec
        st.sampled_from([None, ord("a"), ord("b")]),  # node to avoid
    ),
    max_size=40,
)


@pytest.mark.parametrize("strategy", sorted(set(STRATEGIES) - {"random_weighted"}))
@settings(max_examples=200, deadline=None)
@given(many, asked, st.sampled_from(sorted(STRATEGIES)), st.integers(0, 10**6))
def test_the_choices_are_those_of_looking_at_every_node_each_time(
    strategy: str, nodes: list[NodeView], wanted: Any, other: str, seed: int
) -> None:
    rng = random.Random(seed)
    times = [{ord(name): rng.choice([None, 1.0, 2.0, 5.5, 9.0]) for name in "abcdefghijkl"}
             for _ in range(4)]  # fmt: skip
    copies = [replace(view, ends=list(view.ends)) for view in nodes]
    placer = Placer(nodes)
    for number, (need, spec, avoid) in enumerate(wanted):
        name = strategy if other == "random_weighted" or number % 5 else other
        seconds = times[spec].__getitem__
        mine = placer.place(need, name, seconds, spec, avoid)
        assert (mine and (mine.node.name, mine.now)) == plainly(copies, need, name, seconds, avoid)


def test_a_job_of_two_slots_goes_where_two_are_free_rather_than_to_wait_for_a_better_one() -> None:
    nodes = [NodeView(1, "a", "a", 4, busy=3, ends=[9.0] * 3), NodeView(2, "b", "b", 2, speed=0.5)]
    choice = Placer(nodes).place(Need(slots=2), "earliest_finish", {1: 1.0, 2: 2.0}.__getitem__)
    assert choice and (choice.node.name, choice.now) == ("b", True)
    nodes[1].busy, nodes[1].ends = 2, [20.0, 20.0]
    choice = Placer(nodes).place(Need(slots=2), "earliest_finish", {1: 1.0, 2: 2.0}.__getitem__)
    assert choice and (choice.node.name, choice.now) == ("a", False)


def test_a_job_goes_where_its_memory_is_free() -> None:
    full = NodeView(1, "a", "a", 4, busy=1, ends=[9.0], memory_free=10 * 2**20)
    roomy = NodeView(2, "b", "b", 4, memory_free=900 * 2**20)
    others = NodeView(3, "c", "c", 4, memory_free=10 * 2**20)  # used by what is not ours
    need, seconds = Need(memory_mb=600), {1: 1.0, 2: 2.0, 3: 1.0}.__getitem__
    choice = Placer([full, roomy, others]).place(need, "earliest_finish", seconds)
    assert choice and (choice.node.name, choice.now) == ("b", True)
    assert Placer([others]).place(need, "earliest_finish", seconds) is None


def test_a_look_ahead_asks_each_node_once_and_then_only_the_one_it_gave_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twenty kinds of job share the nodes: one placement does not mean twenty new scores."""
    nodes = [
        NodeView(n, f"n{n:03}", "", slots=4, busy=4, ends=[1.0, 2.0, 3.0, 4.0], speed=1 + n % 7)
        for n in range(100)
    ]
    asked, free_in = list[str](), NodeView.free_in

    def noted(view: NodeView) -> float:
        asked.append(view.name)
        return free_in(view)

    monkeypatch.setattr(NodeView, "free_in", noted)
    placer, times = Placer(nodes), [{n: 1.0 + k + n % 7 for n in range(100)} for k in range(20)]
    for job in range(500):
        kind = job % 20
        assert placer.place(Need(), "earliest_finish", times[kind].__getitem__, kind)
    assert len(asked) == 100 + 500

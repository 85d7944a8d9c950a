"""The replay's placer chooses, pass by pass, what a new Placer of the dispatcher would."""

import random
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.placement import MEGABYTE, Need, NodeView, Placer
from cluster.strategies import STRATEGIES
from monitoring.standing import LATE, StandingPlacer, StandingView

NEEDS = [Need(), Need(tags=frozenset({"gpu"})), Need(slots=2), Need(memory_mb=600)]
DRAWN = {"random_weighted"}


def views(rng: random.Random, count: int) -> list[StandingView]:
    return [
        StandingView(
            id=number + 1, name=f"n{number:02}", address="", slots=rng.randint(1, 3),
            tags=frozenset({"gpu"} if rng.random() < 0.5 else set()),
            memory_total=rng.choice([None, 1024 * MEGABYTE]),
            speed=rng.choice([0.5, 1.0, 2.0]),
        )
        for number in range(count)
    ]  # fmt: skip


def afresh(standing: StandingPlacer) -> Placer:
    """What the claim would make of the same nodes at this moment: fleet.views, foresee_ends."""
    now, count = standing.now, len(standing.views)
    last: list[datetime | None] = [view.last_claim_at for view in standing.views]
    newest = max((moment for moment in last if moment), default=None)
    used = [newest is not None and moment == newest for moment in last]
    ends = [p for p in range(count) if used[p] and not used[p - count + 1]]
    first = ends[0] + 1 if ends else 0
    made = []
    for place, view in enumerate(standing.views):
        copy = NodeView(
            id=view.id, name=view.name, address="", slots=view.slots, busy=view.busy,
            tags=view.tags, memory_total=view.memory_total, memory_promised=view.memory_promised,
            last_claim_at=view.last_claim_at, speed=view.speed, turn=(place - first) % count,
        )  # fmt: skip
        copy.ends = sorted(max(end - now, LATE * view.each) for end in view.ends)
        made.append(copy)
    return Placer(made)


@pytest.mark.parametrize("strategy", [*sorted(set(STRATEGIES) - DRAWN), ""])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**9))
def test_the_choices_are_those_of_a_placer_made_for_each_pass(strategy: str, seed: int) -> None:
    """`strategy`: empty for a mixture. Some of what starts is a bundle, some of it ends late."""
    rng, names = random.Random(seed), sorted(set(STRATEGIES) - DRAWN)
    nodes = views(rng, rng.randint(1, 12))
    paces = {(spec, node.id): rng.uniform(1, 9) for spec in range(3) for node in nodes}
    standing, running = StandingPlacer(nodes), list[tuple[float, int, Need, float]]()
    for _ in range(25):
        standing.now += rng.uniform(0.1, 3)
        for one in [one for one in running if one[0] <= standing.now]:
            running.remove(one)
            standing.give_back(one[1], one[2], one[3])
        fresh = afresh(standing)
        for _ in range(rng.randint(0, 8)):
            need, spec, name = rng.choice(NEEDS), rng.randrange(3), strategy or rng.choice(names)
            seconds = lambda node, spec=spec: paces[spec, node]  # noqa: E731
            mine = standing.place(need, name, seconds, spec)
            theirs = fresh.place(need, name, seconds, spec)
            assert (mine and (mine.node.name, mine.now)) == (
                theirs and (theirs.node.name, theirs.now)
            )
            if mine and mine.now:
                each, place = paces[spec, mine.node.id], mine.node.id - 1
                size = rng.choice([1, 1, 3])
                end = standing.now + each * size
                if size > 1:
                    standing.extend(nodes[place], need, each, end)
                late = standing.now + each * size * rng.choice([0.7, 1.0, 1.4])
                running.append((late, place, need, end))
        standing.end_pass()
        assert all(not view.placed for view in nodes)


def test_what_starts_on_an_idle_node_that_was_booked_is_known_after_the_pass() -> None:
    """What is kept of it for the next pass is no end at all, and then one."""
    node = StandingView(id=1, name="n1", address="", slots=2)
    placer = StandingPlacer([node])
    placer.book(node, 1, 2.0)
    starts = placer.place(Need(), "earliest_finish", lambda node: 2.0)
    assert starts and starts.now
    placer.end_pass()
    assert (node.busy, node.ends) == (1, [2.0])
    placer.now = 2.0
    placer.give_back(0, Need(), 2.0)
    assert (node.busy, node.ends, placer.free_slots) == (0, [], 2)


def test_draws_fall_in_proportion_to_speed_times_free_slots() -> None:
    random.seed(3)
    nodes = [StandingView(id=n, name=f"n{n}", address="", slots=1, speed=n) for n in (1, 2, 3)]
    placer, counts = StandingPlacer(nodes), {1: 0, 2: 0, 3: 0}
    for number in range(6000):
        placer.now = float(number)
        choice = placer.place(Need(), "random_weighted", lambda node: 0.5)
        assert choice
        counts[choice.node.id] += 1
        placer.end_pass()
        placer.give_back(choice.node.id - 1, Need(), number + 0.5)
    assert [round(counts[n] / 1000) for n in (1, 2, 3)] == [1, 2, 3]

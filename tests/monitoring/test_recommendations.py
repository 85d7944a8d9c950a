"""Advice is given where it is sure, refused with a reason where it is not."""

import random
from dataclasses import replace
from typing import Any

import pytest

from cluster.placement import Need
from monitoring.advice_facts import scenes
from monitoring.recommendations import (
    LEAST_JOBS,
    Drained,
    Facts,
    Recommendation,
    Refusal,
    Said,
    Used,
    Waiting,
    recommend,
)
from monitoring.replay import Machine, Overheads, Scene, Work
from monitoring.resampling import compare, resample

SPEEDS = (3.0, 1.0, 0.5)


def day(count: int, spread: float = 0.1, gap: float = 0.0) -> list[Work]:
    rng = random.Random(4)
    return [Work(number * gap, 0, 0, 1, rng.lognormvariate(0, spread)) for number in range(count)]


def fleet(strategy: str, speeds: tuple[float, ...] = SPEEDS) -> Scene:
    machines = [Machine(n, f"n{n}", 2, speed) for n, speed in enumerate(speeds)]
    pace = lambda spec, node: 3.0 / speeds[node % len(speeds)]  # noqa: E731
    return Scene(machines, [Need()], pace, strategy, Overheads())


def facts(jobs: list[Work], scene: Scene, resamples: int = 25, **more: Any) -> Facts:
    compared = compare(jobs, scene, scenes(scene), resamples)
    return Facts(
        jobs=len(jobs), nodes=len(scene.machines), strategy=scene.strategy,
        strategies=[one for one in compared if one.name not in ("more", "less")],
        sizes=[one for one in compared if one.name in ("", "more", "less")],
        model="n1", weakest="n2", **more,
    )  # fmt: skip


def of(said: list[Said], kind: str) -> Said:
    [found] = [one for one in said if one.kind == kind]
    return found


def test_a_better_strategy_is_advised_with_a_range_that_excludes_no_gain() -> None:
    found = of(recommend(facts(day(60), fleet("least_connections"))), "strategy")
    assert isinstance(found, Recommendation)
    assert found.id == "strategy:earliest_finish"
    assert found.change == {"strategy": "earliest_finish"}
    assert found.gain and 0 < found.gain.low <= found.gain.high < 1
    assert found.sample_size == 60
    assert len(found.evidence.rows) == 6


def test_what_is_in_use_already_is_not_advised() -> None:
    found = of(recommend(facts(day(60), fleet("earliest_finish"))), "strategy")
    assert found == Refusal("strategy", "none_better", {"strategy": "earliest_finish", "jobs": 60})


def test_nodes_of_a_kind_leave_nothing_to_gain_by_strategy() -> None:
    found = of(recommend(facts(day(60), fleet("least_connections", (1.0, 1.0)))), "strategy")
    assert isinstance(found, Refusal)


@pytest.mark.parametrize("kind", ["strategy", "add_workers", "remove_worker"])
def test_too_few_jobs_tell_nothing(kind: str) -> None:
    few = of(recommend(facts(day(LEAST_JOBS - 1), fleet("least_connections"))), kind)
    assert isinstance(few, Refusal) and few.reason == "few_jobs"
    assert few.facts == {"jobs": LEAST_JOBS - 1, "needed": LEAST_JOBS}


def test_too_few_resamples_tell_nothing() -> None:
    few = of(recommend(facts(day(60), fleet("least_connections"), resamples=5)), "strategy")
    assert isinstance(few, Refusal) and few.reason == "few_resamples"


def test_one_node_is_no_choice() -> None:
    found = of(recommend(facts(day(60), fleet("least_connections", (1.0,)))), "strategy")
    assert isinstance(found, Refusal) and found.reason == "one_node"


def test_a_crowded_cluster_needs_a_node_and_an_idle_one_can_spare_one() -> None:
    crowded = recommend(facts(day(80), fleet("earliest_finish")))
    more = of(crowded, "add_workers")
    assert isinstance(more, Recommendation) and more.change is None
    assert isinstance(of(crowded, "remove_worker"), Refusal)
    equal = fleet("least_connections", (1.0, 1.0, 1.0))
    idle = recommend(facts(day(80, gap=30.0), equal))
    less = of(idle, "remove_worker")
    assert isinstance(less, Recommendation) and less.change == {"drain": "n2"}
    assert isinstance(of(idle, "add_workers"), Refusal)


def bare(**more: Any) -> Facts:
    return Facts(jobs=0, nodes=2, strategy="round_robin", strategies=[], sizes=[], **more)


def test_old_jobs_are_to_be_cleaned_up_and_that_cannot_be_undone() -> None:
    found = of(recommend(bare(old_jobs=9000, old_bytes=10)), "clean_up")
    assert isinstance(found, Recommendation) and not found.undoable
    assert isinstance(of(recommend(bare(old_jobs=3)), "clean_up"), Refusal)


def test_a_drained_node_is_called_back_when_many_wait() -> None:
    drained = [Drained("pi-4", 4, queued=50, reason="new fan")]
    found = of(recommend(bare(drained=drained)), "resume")
    assert isinstance(found, Recommendation) and found.change == {"resume": "pi-4"}
    free = recommend(bare(drained=drained, free_slots=40))
    assert not [one for one in free if one.kind == "resume"]


def test_a_narrow_tag_with_idle_nodes_beside_it_is_told() -> None:
    wait = Waiting(7, "tags: gpu", 60, 90.0, ["pi-1"], 2, [("pi-2", 4, "lacks the tag gpu")])
    found = of(recommend(bare(waiting=[wait])), "rebalance")
    assert isinstance(found, Recommendation) and found.change is None
    busy = of(recommend(bare(waiting=[replace(wait, others=[])])), "rebalance")
    assert isinstance(busy, Refusal)


def used(**more: Any) -> Used:
    rng = random.Random(2)
    plain = Used(
        3, "convert", 40, 0, None, 1, None, [rng.uniform(90, 110) for _ in range(40)],
        [rng.uniform(0.8, 1.0) for _ in range(40)], [rng.uniform(9, 11) for _ in range(40)],
    )  # fmt: skip
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("more", "what", "least", "most"),
    [
        ({"memory_mb": 1024}, "memory_mb", 110, 160),
        ({"slots": 4}, "slots", 1, 1),
        ({"timeout_seconds": 3600.0}, "timeout_seconds", 50, 70),
        ({"timeout_seconds": 11.0, "timed_out": 3}, "timeout_seconds", 20, 24),
    ],
)
def test_what_is_asked_is_held_against_what_is_used(
    more: dict[str, Any], what: str, least: float, most: float
) -> None:
    found = of(recommend(bare(used=[used(**more)])), "right_size")
    assert isinstance(found, Recommendation)
    assert found.facts["what"] == what
    assert least <= found.facts["wanted"] <= most
    assert found.sample_size == 40


def test_what_fits_or_ran_too_seldom_is_left_alone() -> None:
    fits = of(recommend(bare(used=[used(memory_mb=150, timeout_seconds=60.0)])), "right_size")
    assert isinstance(fits, Refusal) and fits.reason == "fits"
    few = of(recommend(bare(used=[used(memory_mb=1024, runs=7)])), "right_size")
    assert isinstance(few, Refusal) and few.facts == {"runs": 7, "needed": 20}


def test_a_resampled_day_has_as_many_jobs_in_order_and_is_the_same_for_the_same_seed() -> None:
    jobs = day(100, gap=2.0)
    again = [resample(jobs, random.Random(1)) for _ in range(2)]
    assert again[0] == again[1] != jobs
    assert len(again[0]) == 100
    assert all(a.at <= b.at for a, b in zip(again[0], again[0][1:], strict=False))
    assert {job.share for job in again[0]} <= {job.share for job in jobs}

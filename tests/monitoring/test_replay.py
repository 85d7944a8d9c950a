"""The simulator, on days small enough to reckon by hand."""

import random
import statistics
from dataclasses import replace

import pytest

from cluster.placement import Need
from cluster.strategies import STRATEGIES
from monitoring.fleets import MadeUp, made_up, typical, weakest, with_one_more, without
from monitoring.replay import Machine, Overheads, Scene, Work, replay

NONE = Overheads(0.0, 0.0, 0.0, 0.0)


def machine(id: int, slots: int = 1, speed: float = 1.0, tags: str = "") -> Machine:
    return Machine(id, f"n{id}", slots, speed, frozenset(tags.split()))


def scene(
    *machines: Machine, strategy: str = "least_connections", seconds: float = 2.0,
    overheads: Overheads = NONE, needs: tuple[Need, ...] = (Need(),),
) -> Scene:  # fmt: skip
    speeds = {one.id: one.speed for one in machines}
    return Scene(machines, needs, lambda spec, node: seconds / speeds[node], strategy, overheads)


def burst(count: int, **more: object) -> list[Work]:
    return [Work(0.0, 0, 0, 1, 1.0)._replace(**more) for _ in range(count)]  # type: ignore[arg-type]


def test_jobs_one_after_another_on_one_slot() -> None:
    told = replay(burst(3), scene(machine(1)))
    assert (told.jobs, told.makespan, told.open_seconds) == (3, 6.0, 6.0)
    assert (told.mean_wait, told.mean_turnaround, told.p95_wait) == (2.0, 4.0, 4.0)
    assert told.utilisation == 1.0
    assert told.load["n1"].jobs == 3


def test_what_is_not_work_is_counted_between_bundles() -> None:
    told = replay(burst(3), scene(machine(1), overheads=Overheads(0.5, 0.1, 0.0, 0.25)))
    assert told.makespan == pytest.approx(3 * (2 + 0.5 + 0.25))


def test_a_short_job_is_followed_by_one_sent_ahead() -> None:
    told = replay(
        burst(2), scene(machine(1), seconds=0.5, overheads=Overheads(0.5, 0.1, 0.0, 0.25))
    )
    assert told.makespan == pytest.approx(0.25 + 0.5 + 0.5 + 0.1 + 0.5)


def test_small_jobs_ride_together_and_those_that_must_not_travel_alone() -> None:
    small = scene(machine(1), seconds=0.001)
    assert replay(burst(1000), small).bundles < 100
    assert replay(burst(1000, alone=True), small).bundles == 1000


def test_idle_time_is_not_time_with_open_work() -> None:
    late = [*burst(1), *burst(1, at=100.0)]
    told = replay(late, scene(machine(1)))
    assert (told.makespan, told.open_seconds) == (102.0, 4.0)


def test_the_more_urgent_goes_first_and_equals_by_arrival() -> None:
    jobs = [*burst(1), *burst(1, at=0.5, share=3.0), *burst(1, at=1.0, priority=5)]
    told = replay(jobs, scene(machine(1)))
    # the first ends at 2, the urgent at 4, the long one at 10
    assert told.mean_turnaround == pytest.approx((2 + 3 + 9.5) / 3)


def test_a_job_that_no_node_can_take_is_told_and_blocks_nobody() -> None:
    needs = (Need(), Need(tags=frozenset({"gpu"})))
    jobs = [*burst(1, need=1, priority=9), *burst(2)]
    told = replay(jobs, scene(machine(1), needs=needs))
    assert (told.never, told.jobs) == (1, 2)
    told = replay(jobs, scene(machine(1), machine(2, tags="gpu"), needs=needs))
    assert (told.never, told.jobs) == (0, 3)


def test_memory_that_is_promised_is_not_promised_twice() -> None:
    small = replace(machine(1, slots=2), memory_total=1000 * 2**20)
    told = replay(burst(2), scene(small, needs=(Need(memory_mb=600),)))
    assert told.makespan == 4.0
    assert replay(burst(2), scene(small, needs=(Need(memory_mb=400),))).makespan == 2.0


def test_two_slots_are_taken_at_once() -> None:
    told = replay(burst(2), scene(machine(1, slots=2), needs=(Need(slots=2),)))
    assert told.makespan == 4.0
    assert told.utilisation == 1.0


def test_a_foreseeing_strategy_does_not_start_the_last_job_on_the_slow_node() -> None:
    nodes = machine(1, speed=4.0), machine(2, speed=1.0)
    greedy = replay(burst(7), scene(*nodes))
    wise = replay(burst(7), scene(*nodes, strategy="earliest_finish"))
    assert wise.makespan < greedy.makespan
    assert wise.jobs == greedy.jobs == 7


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_job_of_a_made_up_day_runs_once_and_the_same_day_comes_out_the_same(
    strategy: str,
) -> None:
    made = MadeUp(nodes=24, jobs=3000, seconds=3.0, load=1.1, burst=0.1)
    told = [replay(made_up(made, strategy)[1], made_up(made, strategy)[0]) for _ in range(2)]
    assert told[0] == told[1]
    assert told[0].jobs + told[0].never == 3000
    assert sum(load.jobs for load in told[0].load.values()) == told[0].jobs
    assert 0.2 < told[0].utilisation <= 1.0


def test_a_replay_leaves_the_random_numbers_of_others_alone() -> None:
    random.seed(5)
    wanted = random.random()
    random.seed(5)
    replay(burst(5), scene(machine(1), machine(2), strategy="random_weighted"))
    assert random.random() == wanted


def test_one_node_more_is_like_the_typical_one() -> None:
    nodes = machine(1, speed=0.5), machine(2, speed=1.0), machine(3, speed=3.0)
    day = scene(*nodes)
    assert typical(nodes).name == "n2" and weakest(nodes).name == "n1"
    more = with_one_more(with_one_more(day))
    assert [one.paced for one in more.machines] == [1, 2, 3, 2, 2]
    assert len({one.id for one in more.machines}) == 5
    assert replay(burst(40), more).makespan < replay(burst(40), day).makespan
    assert [one.name for one in without(day, "n1").machines] == ["n2", "n3"]


def test_a_queue_with_known_answer() -> None:
    """M/M/1 at a load of one half: the mean wait is load / (1 - load) service times."""
    rng, at, jobs = random.Random(11), 0.0, list[Work]()
    for _ in range(60_000):
        at += rng.expovariate(0.5)
        jobs.append(Work(at, 0, 0, 1, rng.expovariate(1.0)))
    told = replay(jobs, scene(machine(1), seconds=1.0 + 1e-9))
    assert told.mean_wait == pytest.approx(1.0, rel=0.08)
    assert told.utilisation == pytest.approx(0.5, rel=0.03)
    assert statistics.fmean(job.share for job in jobs) == pytest.approx(1.0, rel=0.02)

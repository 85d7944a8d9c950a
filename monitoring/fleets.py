"""Fleets and days that might be: one node more, one less, all made up. Pure."""

import bisect
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cluster.placement import Need
from monitoring.replay import Machine, Pace, Scene, Work

SPECS = 24
KINDS = (("arch:aarch64", 2, 4), ("arch:aarch64", 4, 8), ("arch:x86_64", 8, 32))  # tag, slots, GB


def typical(machines: Sequence[Machine]) -> Machine:
    """The one in the middle by what it can do."""
    return sorted(machines, key=strength)[len(machines) // 2]


def weakest(machines: Sequence[Machine]) -> Machine:
    return min(machines, key=strength)


def strength(machine: Machine) -> tuple[float, str]:
    return machine.speed * machine.slots, machine.name


def with_one_more(scene: Scene) -> Scene:
    """Another node like the typical one."""
    model = typical(scene.machines)
    number = 1 + max(machine.id for machine in scene.machines)
    another = replace(model, id=number, name=f"{model.name}+1", like=model.paced)
    return replace(scene, machines=[*scene.machines, another])


def without(scene: Scene, name: str) -> Scene:
    return replace(scene, machines=[m for m in scene.machines if m.name != name])


@dataclass(frozen=True)
class MadeUp:
    """What a made-up fleet is like."""

    nodes: int = 100
    jobs: int = 100_000
    seconds: float = 10.0  # of a job, in the middle, on a node of speed 1
    load: float = 0.8  # work that arrives / work that the slots can do
    unequal: float = 0.35  # spread of the logarithm of the nodes' speeds; 0: all alike
    burst: float = 0.0  # share of the jobs that are there at the start
    seed: int = 1


def machines_of(made: MadeUp, rng: random.Random) -> list[Machine]:
    found = []
    for number in range(made.nodes):
        tag, slots, gigabytes = KINDS[number % len(KINDS)]
        speed = rng.lognormvariate(0.0, made.unequal)
        tags = frozenset({tag, "gpu"} if number % 20 == 7 else {tag})
        found.append(Machine(number, f"node-{number:05}", slots, speed, tags, gigabytes * 2**30))
    return found


def made_up(made: MadeUp, strategy: str) -> tuple[Scene, Iterator[Work]]:
    """The scene, and its jobs one by one: a Poisson stream, the same for the same seed."""
    rng = random.Random(made.seed)
    machines = machines_of(made, rng)
    means = [made.seconds * rng.lognormvariate(0.0, 0.8) for _ in range(SPECS)]
    speeds = {machine.id: machine.speed for machine in machines}
    needs = [Need(), Need(memory_mb=1024), Need(tags=frozenset({"arch:aarch64"}))]
    if any("gpu" in machine.tags for machine in machines):
        needs.append(Need(tags=frozenset({"gpu"})))
    pace: Pace = lambda spec, node: means[spec] / speeds[node]  # noqa: E731
    return Scene(machines, needs, pace, strategy), stream(made, rng, machines, means, len(needs))


def stream(
    made: MadeUp, rng: random.Random, machines: Sequence[Machine], means: Sequence[float],
    needs: int,
) -> Iterator[Work]:  # fmt: skip
    shares = [0.83, 0.10, 0.06, 0.01][:needs]
    need_of = [rng.choices(range(needs), shares)[0] for _ in means]
    if needs == 4:
        need_of[-1] = 3
    weights = [0.2 if need == 3 else 1.0 for need in need_of]
    totals = list(itertools.accumulate(weights))
    mean = sum(m * w for m, w in zip(means, weights, strict=True)) / totals[-1]
    rate = made.load * sum(machine.slots * machine.speed for machine in machines) / mean
    at, first = 0.0, int(made.jobs * made.burst)
    for number in range(made.jobs):
        if number >= first:
            at += rng.expovariate(rate)
        spec = bisect.bisect(totals, rng.random() * totals[-1])
        share = rng.lognormvariate(-0.02, 0.2)  # of mean 1
        priority = 10 if rng.random() < 0.05 else 0
        yield Work(at, need_of[spec], priority, spec, share)

"""How sure a difference is: the same replays on resampled histories. Pure.

The bootstrap (Efron, 1979): stretches of the history in another order (a moving block bootstrap:
Kuensch, 1989), and each job's run time drawn anew from those of its spec.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from monitoring.replay import Outcome, Scene, Work, replay

SEED = 1979
RESAMPLES = 40
LOW, HIGH = 0.05, 0.95  # of the resampled gains: a range of 90 %
MEASURES = ("open_seconds", "mean_turnaround", "p95_wait")


@dataclass(frozen=True)
class Range:
    """From the history itself, and where nine of ten resampled ones fall."""

    value: float
    low: float
    high: float


@dataclass
class Compared:
    """One scene on the history, and its gain over the present one: 0.1 is a tenth less."""

    name: str
    outcome: Outcome
    ranges: dict[str, Range] = field(default_factory=dict)  # of the measures
    gains: dict[str, Range] = field(default_factory=dict)
    resamples: int = 0


def resample(jobs: Sequence[Work], rng: random.Random) -> list[Work]:
    """As many jobs, of like arrivals and like run times."""
    count = len(jobs)
    length = max(1, round(math.sqrt(count)))
    shares: dict[int, list[float]] = defaultdict(list)
    for job in jobs:
        shares[job.spec].append(job.share)
    found: list[Work] = []
    at = jobs[0].at if jobs else 0.0
    while len(found) < count:
        start = rng.randrange(max(1, count - length + 1))
        for place in range(start, min(start + length, count)):
            job = jobs[place]
            if found:  # the gap before it comes with it
                at += job.at - jobs[place - 1].at if place else 0.0
            found.append(job._replace(at=at, share=rng.choice(shares[job.spec])))
            if len(found) == count:
                break
    return found


def compare(
    jobs: Sequence[Work], present: Scene, others: Mapping[str, Scene],
    resamples: int = RESAMPLES, go_on: Callable[[], bool] = lambda: True,
) -> list[Compared]:  # fmt: skip
    """The present scene first, then the others, all on the same resampled histories.

    `go_on`: asked before each round, so that a limit of time gives fewer rounds, not none.
    """
    scenes = {"": present, **others}
    found = [Compared(name, replay(jobs, scene)) for name, scene in scenes.items()]
    rounds: list[list[Outcome]] = []
    rng = random.Random(SEED)
    for number in range(resamples):
        if not go_on():
            break
        again = resample(jobs, rng)
        rounds.append([replay(again, scene, seed=number) for scene in scenes.values()])
    for place, compared in enumerate(found):
        compared.resamples = len(rounds)
        for measure in MEASURES:
            values = [getattr(outcomes[place], measure) for outcomes in rounds]
            compared.ranges[measure] = spread(getattr(compared.outcome, measure), values)
            before, after = getattr(found[0].outcome, measure), getattr(compared.outcome, measure)
            gains = [
                gain(getattr(outcomes[0], measure), value)
                for outcomes, value in zip(rounds, values, strict=True)
            ]
            compared.gains[measure] = spread(gain(before, after), gains)
    return found


def gain(before: float, after: float) -> float:
    return (before - after) / before if before > 0 else 0.0


def spread(value: float, values: Sequence[float]) -> Range:
    if not values:
        return Range(value, -math.inf, math.inf)
    ordered = sorted(values)
    last = len(ordered) - 1
    return Range(value, ordered[math.floor(LOW * last)], ordered[math.ceil(HIGH * last)])

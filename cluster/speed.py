"""How fast each node is, measured against the fleet on the same work. Pure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

HEAVIEST = 50  # a spec's weight grows no further with its runs
LIGHTEST = 0.01  # of the test job's: it decides only where there is no common work
SHOWN = 5


@dataclass(frozen=True)
class Measured:
    """Runs of one spec on one node."""

    count: int
    log_mean: float  # of seconds


@dataclass(frozen=True)
class Speed:
    """speed: 2.0 is twice the fleet's median. evidence: the specs that weigh most."""

    speed: float
    samples: int
    evidence: list[dict[str, float | int | str]] = field(default_factory=list)


def speeds(
    work: Mapping[int, Mapping[int, Measured]], canary: Mapping[int, Measured]
) -> dict[int, Speed]:
    """Node -> speed; nodes that share no work with another are left out.

    `work`: spec -> node -> runs; `canary`: the same for the test job that every node gets. A
    node's log-speed is the mean of log(fleet's median) - log(its own) over specs, by runs.
    """
    ratios: dict[int, list[tuple[float, float, int, int, float]]] = defaultdict(list)
    for spec, by_node in [*work.items(), (0, canary)]:
        if len(by_node) < 2:
            continue
        median = statistics.median(measured.log_mean for measured in by_node.values())
        for node, measured in by_node.items():
            weight = min(measured.count, HEAVIEST) * (1.0 if spec else LIGHTEST)
            ratios[node].append(
                (weight, median - measured.log_mean, spec, measured.count, measured.log_mean)
            )
    return {node: speed_of(found) for node, found in ratios.items()}


def speed_of(found: Iterable[tuple[float, float, int, int, float]]) -> Speed:
    heaviest_first = sorted(found, reverse=True)
    total = sum(weight for weight, *_ in heaviest_first)
    log_speed = sum(weight * ratio for weight, ratio, *_ in heaviest_first) / total
    evidence: list[dict[str, float | int | str]] = [
        {
            "spec": spec,  # 0: the test job
            "runs": runs,
            "seconds": round(math.exp(log_mean), 6),
            "fleet_seconds": round(math.exp(log_mean + ratio), 6),
        }
        for _, ratio, spec, runs, log_mean in heaviest_first[:SHOWN]
    ]
    return Speed(math.exp(log_speed), sum(runs for *_, runs, _ in heaviest_first), evidence)

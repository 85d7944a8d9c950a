"""How long each spec takes on each node: measured, kept in memory, saved now and then."""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cluster.speed import Measured
from jobs.models import RunTime, Spec

MOST = 20_000  # (spec, node) pairs in memory; the longest unused is dropped
SAVED_AT_ONCE = 500
WEIGHT = 0.1  # of the newest run, once there are ten


@dataclass
class Stat:
    """Exponentially weighted mean and variance of log(seconds) (West, 1979)."""

    count: int = 0
    log_mean: float = 0.0
    log_variance: float = 0.0
    peak: float = 0.0  # seconds: half of a long run, remembered for a while

    def note(self, seconds: float) -> None:
        value = math.log(max(seconds, 1e-6))
        self.count += 1
        weight = max(1 / self.count, WEIGHT)
        step = value - self.log_mean
        self.log_mean += weight * step
        self.log_variance = (1 - weight) * (self.log_variance + weight * step * step)
        self.peak = max(seconds * 0.5, self.peak * 0.8)

    @property
    def seconds(self) -> float:
        """The mean of a lognormal of these parameters."""
        return math.exp(self.log_mean + min(self.log_variance, 4.0) / 2)

    def span(self) -> tuple[float, float]:
        """Seconds, one standard deviation to either side."""
        deviation = math.sqrt(self.log_variance)
        return math.exp(self.log_mean - deviation), math.exp(self.log_mean + deviation)


class RunTimes:
    def __init__(self) -> None:
        self.stats: OrderedDict[tuple[int, int], Stat] = OrderedDict()
        self.nodes_of: dict[int, set[int]] = defaultdict(set)  # spec -> nodes with a Stat
        self.unsaved: set[tuple[int, int]] = set()

    def note(self, spec: int, node: int, run_seconds: float) -> None:
        self.put(spec, node, self.stats.get((spec, node)) or Stat())
        self.stats[spec, node].note(run_seconds)
        self.unsaved.add((spec, node))

    def put(self, spec: int, node: int, stat: Stat) -> None:
        self.stats[spec, node] = stat
        self.stats.move_to_end((spec, node))
        self.nodes_of[spec].add(node)
        while len(self.stats) > MOST:
            (old, where), _ = self.stats.popitem(last=False)
            self.nodes_of[old].discard(where)
            if not self.nodes_of[old]:
                del self.nodes_of[old]
            self.unsaved.discard((old, where))

    def pace(self, spec: int, node: int) -> float | None:
        """Seconds, for the size of a bundle: up at once, down slowly, so that one long job stops
        large bundles."""
        stat = self.stats.get((spec, node))
        return None if stat is None else max(stat.seconds, stat.peak)

    def quickest(self, spec: int) -> float | None:
        """The same, on the node where it goes fastest."""
        paces = [self.pace(spec, node) for node in self.nodes_of.get(spec, ())]
        return min((pace for pace in paces if pace is not None), default=None)

    def expected(self, spec: int, node: int, speeds: Mapping[int, float]) -> float | None:
        """Seconds; from the other nodes' runs and speeds where this one never ran it."""
        return self.expecting(spec, speeds)(node)

    def expecting(self, spec: int, speeds: Mapping[int, float]) -> Callable[[int], float | None]:
        """The same for one node after another: the others' runs are added up once."""
        stats, nodes = self.stats, self.nodes_of.get(spec, ())
        mean: float | None = None  # work of a job: seconds at speed 1

        def expected(node: int) -> float | None:
            nonlocal mean
            if stat := stats.get((spec, node)):
                return stat.seconds
            if not nodes:
                return None
            if mean is None:
                work = [stats[spec, n].seconds * speeds.get(n, 1.0) for n in nodes]
                mean = sum(work) / len(work)
            return mean / speeds.get(node, 1.0)

        return expected

    def shared(self) -> dict[int, dict[int, Measured]]:
        """Spec -> node -> runs, for specs that ran on more than one node."""
        return {
            spec: {n: measured(self.stats[spec, n]) for n in nodes}
            for spec, nodes in self.nodes_of.items()
            if len(nodes) > 1
        }

    def save(self, now: datetime) -> int:
        """Write some of what changed; a spec that ran only once tells too little to keep."""
        chosen: list[tuple[tuple[int, int], Stat]] = []
        while self.unsaved and len(chosen) < SAVED_AT_ONCE:
            key = self.unsaved.pop()
            if (stat := self.stats.get(key)) and stat.count > 1:
                chosen.append((key, stat))
        specs = Spec.objects.filter(pk__in={spec for (spec, _), _ in chosen})
        known = set(specs.values_list("pk", flat=True))  # the others were cleaned up meanwhile
        RunTime.objects.bulk_create(
            [
                RunTime(
                    spec_id=spec, node_id=node, count=stat.count, log_mean=stat.log_mean,
                    log_variance=stat.log_variance, updated_at=now,
                )
                for (spec, node), stat in sorted(chosen, key=lambda entry: entry[0])
                if spec in known
            ],
            update_conflicts=True,
            unique_fields=["spec", "node"],
            update_fields=["count", "log_mean", "log_variance", "updated_at"],
        )  # fmt: skip
        return len(chosen)


def measured(stat: Stat) -> Measured:
    return Measured(stat.count, stat.log_mean)


def load() -> RunTimes:
    """What earlier dispatchers measured, the newest part of it."""
    times = RunTimes()
    for row in reversed(RunTime.objects.order_by("-updated_at", "-id")[: MOST // 2]):
        stat = stat_of(row)
        times.put(row.spec_id, row.node_id, stat)
    return times


def stat_of(row: RunTime) -> Stat:
    return Stat(row.count, row.log_mean, row.log_variance)


def of_specs(specs: Iterable[int]) -> dict[int, dict[int, Stat]]:
    """Spec -> node -> Stat, read from the rows: for pages."""
    found: dict[int, dict[int, Stat]] = defaultdict(dict)
    for row in RunTime.objects.filter(spec__in=list(specs)):
        found[row.spec_id][row.node_id] = stat_of(row)
    return found

"""Is a node slower than its own past, on the same specs? What it took so far is kept as Pace."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.models import RunTime
from jobs.rows import moment, select
from monitoring.looks import ENOUGH_RUNS
from monitoring.models import Pace

RECENT = timedelta(minutes=10)  # run times that changed within it are the present
EVERY = timedelta(minutes=10)  # a pace follows the present in steps
STEP = 0.02  # of the way: what lasts for a day is the new normal
MOST = 2000  # pairs of spec and node looked at
HEAVIEST = 50.0

ROWS = """SELECT run.spec_id, run.node_id, run.count, run.log_mean, pace.log_mean
    FROM jobs_runtime AS run JOIN monitoring_pace AS pace
    ON pace.spec_id = run.spec_id AND pace.node_id = run.node_id
    WHERE run.updated_at > %s AND run.count >= %s ORDER BY run.updated_at DESC LIMIT %s"""


@dataclass(frozen=True)
class Slowdown:
    """factor: 2.0 is twice as long as so far, with what befell the whole fleet taken out."""

    factor: float
    runs: int
    spec: int  # that weighs most


def slowdowns(now: datetime) -> dict[int, Slowdown]:
    """Node -> how it is now against its own past; without those that have done nothing lately."""
    found = select(ROWS, [moment(now - RECENT), ENOUGH_RUNS, MOST])
    changes: dict[int, dict[int, tuple[float, int]]] = defaultdict(dict)
    for spec, node, count, present, past in found:
        changes[spec][node] = present - past, count
    return of_nodes(changes)


def of_nodes(changes: Mapping[int, Mapping[int, tuple[float, int]]]) -> dict[int, Slowdown]:
    """spec -> node -> (change of the log, runs). Where a spec takes longer everywhere, the spec
    has changed, not the nodes: the median of the others is taken out."""
    by_node: dict[int, list[tuple[float, float, int, int]]] = defaultdict(list)
    for spec, nodes in changes.items():
        for node, (change, runs) in nodes.items():
            others = [other for name, (other, _runs) in nodes.items() if name != node]
            rest = statistics.median(others) if others else 0.0
            by_node[node].append((min(runs, HEAVIEST), change - rest, runs, spec))
    return {node: of_node(parts) for node, parts in by_node.items()}


def of_node(parts: Iterable[tuple[float, float, int, int]]) -> Slowdown:
    heaviest_first = sorted(parts, reverse=True)
    weight = sum(part[0] for part in heaviest_first)
    log = sum(part[0] * part[1] for part in heaviest_first) / weight
    runs = sum(part[2] for part in heaviest_first)
    return Slowdown(math.exp(max(-20.0, min(20.0, log))), runs, heaviest_first[0][3])


def keep(now: datetime) -> int:
    """Let the paces follow, each once in ten minutes. Returns how many moved."""
    runs = RunTime.objects.filter(updated_at__gt=now - RECENT, count__gte=ENOUGH_RUNS)
    present: dict[tuple[int, int], float] = {
        (spec, node): mean
        for spec, node, mean in runs.order_by("-updated_at").values_list(
            "spec", "node", "log_mean"
        )[:MOST]
    }
    if not present:
        return 0
    specs = {spec for spec, _node in present}
    old = {(p.spec_id, p.node_id): p for p in Pace.objects.filter(spec__in=specs)}
    moved: list[Any] = []
    for key, mean in present.items():
        pace = old.get(key)
        if pace and pace.moved_at > now - EVERY:
            continue
        past = mean if pace is None else pace.log_mean + STEP * (mean - pace.log_mean)
        moved.append(Pace(spec_id=key[0], node_id=key[1], log_mean=past, moved_at=now))
    if moved:
        Pace.objects.bulk_create(
            moved, update_conflicts=True, unique_fields=["spec", "node"],
            update_fields=["log_mean", "moved_at"],
        )  # fmt: skip
    return len(moved)

"""What /metrics tells Prometheus: made from one snapshot, in a registry of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from jobs.models import FINAL_STATES, Outcome
from monitoring.snapshot import ClusterSnapshot, NodeState
from monitoring.totals import RUNS, WAITS


class Cluster(Collector):
    def __init__(self, snapshot: ClusterSnapshot, version: str) -> None:
        self.snapshot, self.version = snapshot, version

    def collect(self) -> Iterator[Metric]:
        yield from of_jobs(self.snapshot)
        yield from of_processes(self.snapshot)
        yield from of_nodes(self.snapshot)
        family = GaugeMetricFamily(
            "dispycluster_build_info", "1, with what is installed.", labels=["version"]
        )
        family.add_metric([self.version], 1)
        yield family


def registry(snapshot: ClusterSnapshot, version: str) -> CollectorRegistry:
    found = CollectorRegistry()
    found.register(Cluster(snapshot, version))
    return found


def gauge(name: str, words: str, value: float | None) -> Iterator[Metric]:
    """Nothing where it is not known."""
    if value is not None:
        yield GaugeMetricFamily(f"dispycluster_{name}", words, value=value)


def of_jobs(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    family = GaugeMetricFamily("dispycluster_jobs", "Jobs kept, by state.", labels=["state"])
    for state, count in snapshot.by_state.items():
        family.add_metric([state], count)
    yield family
    yield from gauge("jobs_ready", "Queued jobs that could start now.", snapshot.ready)
    yield from gauge(
        "jobs_oldest_wait_seconds", "How long the first of the ready jobs has waited; 0: none.",
        snapshot.oldest_wait_seconds or 0,
    )  # fmt: skip
    stuck = snapshot.stuck["jobs"] if snapshot.stuck else 0
    yield from gauge("jobs_stuck", "Ready jobs that no known node can ever take.", stuck)
    totals = snapshot.totals
    if not totals:
        return  # no monitor has counted yet
    ended = CounterMetricFamily(
        "dispycluster_jobs_finished",
        "Jobs that ended with an attempt, by their final state; one cancelled while it was "
        "queued had none.",
        labels=["outcome"],
    )
    for state in FINAL_STATES:
        ended.add_metric([state.value], totals.get(f"jobs_{state.value}_total", 0))
    yield ended
    attempts = CounterMetricFamily(
        "dispycluster_attempts_finished", "Attempts that ended, by outcome.", labels=["outcome"]
    )
    for outcome in Outcome.values:
        attempts.add_metric([outcome], totals.get(f"attempts_{outcome}_total", 0))
    yield attempts
    yield histogram(
        "dispycluster_job_queue_seconds",
        "From when a job could start until an attempt was given to a node.",
        WAITS, "wait", "waits_total", "wait_seconds_total", totals,
    )  # fmt: skip
    yield histogram(
        "dispycluster_job_run_seconds", "How long attempts ran.",
        RUNS, "run", "runs_total", "run_seconds_total", totals,
    )  # fmt: skip


def histogram(
    name: str, words: str, bounds: Sequence[float], short: str, count: str, total: str,
    totals: Mapping[str, float],
) -> Metric:  # fmt: skip
    buckets: list[Any] = [
        [str(bound), totals.get(f"{short}_le_{bound:g}_total", 0)] for bound in bounds
    ]
    buckets.append(["+Inf", totals.get(count, 0)])
    family = HistogramMetricFamily(name, words)
    family.add_metric([], buckets=buckets, sum_value=totals.get(total, 0))
    return family


def of_processes(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "dispycluster_process_up", "1 while its heartbeat is fresh.", labels=["process"]
    )
    age = GaugeMetricFamily(
        "dispycluster_process_heartbeat_age_seconds", "Since its last heartbeat.",
        labels=["process"],
    )  # fmt: skip
    for name, alive, at in (
        ("dispatcher", snapshot.dispatcher_up, snapshot.dispatcher_at),
        ("monitor", snapshot.monitor_up, snapshot.monitor_at),
    ):
        up.add_metric([name], int(alive))
        if at:
            age.add_metric([name], max(0.0, (snapshot.at - at).total_seconds()))
    yield up
    yield age
    yield from gauge("database_bytes", "Size of the database.", snapshot.database_bytes)
    yield from gauge("home_free_bytes", "Free where the data is kept.", snapshot.home_free)


# One gauge for each node: suffix of the name, words, attribute of the snapshot's node.
NODE_GAUGES = [
    ("cpu_percent", "CPU in use.", "cpu_percent"),
    ("memory_free_bytes", "Memory that a new process could take.", "memory_free"),
    ("memory_total_bytes", "Memory there is.", "memory_total"),
    ("disk_free_bytes", "Free where jobs have their scratch folders.", "disk_free"),
    ("swap_percent", "Swap in use.", "swap_percent"),
    ("load1", "Processes that run or want to, mean of a minute.", "load_1"),
    ("temperature_celsius", "Of the hottest thermal zone.", "temperature"),
    ("round_trip_ms", "From a ping to its answer.", "round_trip_ms"),
    ("dispatch_ms", "A test job, sent to answered, less its own work.", "dispatch_ms"),
    ("clock_skew_seconds", "Its clock against ours; positive: ahead.", "clock_skew_seconds"),
    ("speed_ratio", "Against the fleet's median on the same work.", "speed"),
]


def of_nodes(snapshot: ClusterSnapshot) -> Iterator[Metric]:
    nodes = snapshot.nodes
    yield by_node("node_up", "1 while the dispatcher hears it.", nodes, lambda n: int(n.online))
    yield by_node("node_draining", "1 while it takes nothing new.", nodes,
                  lambda n: int(n.draining))  # fmt: skip
    yield by_node("circuit_open", "1 while its breaker is open: it gets no jobs.", nodes,
                  lambda n: int(bool(n.breaker_reason)))  # fmt: skip
    yield by_node("node_throttled", "1 while heat or a weak supply holds it back.", nodes,
                  throttled)  # fmt: skip
    slots = GaugeMetricFamily(
        "dispycluster_node_slots", "Slots, total and busy.", labels=["node", "kind"]
    )
    for node in nodes:
        slots.add_metric([node.name, "total"], node.slots)
        slots.add_metric([node.name, "busy"], node.busy)
    yield slots
    for name, words, attribute in NODE_GAUGES:
        yield by_node(f"node_{name}", words, nodes, reading(attribute))
    ended = CounterMetricFamily(
        "dispycluster_node_attempts_finished", "Attempts that ended there, by outcome.",
        labels=["node", "outcome"],
    )  # fmt: skip
    for node in nodes:
        totals = snapshot.node_totals.get(node.id, {})
        for outcome in Outcome.values if snapshot.totals else ():
            ended.add_metric([node.name, outcome], totals.get(f"attempts_{outcome}_total", 0))
    yield ended


def throttled(node: NodeState) -> int | None:
    return int(bool(node.throttled)) if node.online and node.throttled is not None else None


def reading(attribute: str) -> Any:
    return lambda node: getattr(node, attribute) if node.online else None


def by_node(name: str, words: str, nodes: Sequence[NodeState], value: Any) -> Metric:
    """Nothing for a node of which it is not known."""
    family = GaugeMetricFamily(f"dispycluster_{name}", words, labels=["node"])
    for node in nodes:
        found = value(node)
        if found is not None:
            family.add_metric([node.name], found)
    return family

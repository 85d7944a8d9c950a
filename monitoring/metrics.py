"""Every number that we show of the cluster and of a node: what it is, and how it is made.

Each is computed from a sample, and what is per minute or a share from two of them: now from the
present and one from earlier, in a series from one point and the one before it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext_noop as _

from jobs.rows import moment, select, when
from monitoring.looks import FRESH
from monitoring.samples import FINE, Point, Values, cluster_values, node_values
from monitoring.snapshot import ClusterSnapshot
from monitoring.totals import WAITS

MINUTES, HOUR = 300, 3600  # windows
BACKS = (60, MINUTES, 900, HOUR)  # seconds, to a node's samples


@dataclass(frozen=True)
class Span:
    """Two samples and the seconds between them; the first may be unknown."""

    values: Values
    before: Values | None = None
    seconds: float = 0.0

    def grown(self, *names: str) -> float | None:
        """By how much these totals grew together."""
        if self.before is None or self.seconds <= 0:
            return None
        more = (self.values.get(name, 0) - self.before.get(name, 0) for name in names)
        return max(0.0, sum(more))


Make = Callable[[Span], float | None]


@dataclass(frozen=True)
class Metric:
    """window: seconds that it looks back now, in a series the step; 0: it is of a moment."""

    name: str
    unit: str
    label: str
    definition: str
    make: Make
    window: int = 0


def gauge(name: str) -> Make:
    return lambda span: span.values.get(name)


def per_minute(*names: str) -> Make:
    def make(span: Span) -> float | None:
        grown = span.grown(*names)
        return None if grown is None else 60 * grown / span.seconds

    return make


def share(good: Sequence[str], bad: Sequence[str]) -> Make:
    """In per cent; unknown where there was nothing."""

    def make(span: Span) -> float | None:
        got, missed = span.grown(*good), span.grown(*bad)
        if got is None or missed is None or not got + missed:
            return None
        return 100 * got / (got + missed)

    return make


def mean_of(total: str, count: str) -> Make:
    def make(span: Span) -> float | None:
        grown, counted = span.grown(total), span.grown(count)
        return grown / counted if grown is not None and counted else None

    return make


def percentile(part: float) -> Make:
    """Of the waits, from the histogram: within a bucket they are taken as evenly spread."""

    def make(span: Span) -> float | None:
        count = span.grown("waits_total")
        if not count:
            return None
        low, below = 0.0, 0.0
        for bound in WAITS:
            upto = span.grown(f"wait_le_{bound:g}_total") or 0.0
            if upto >= part * count:
                return low + (bound - low) * (part * count - below) / (upto - below)
            low, below = bound, upto
        return WAITS[-1]  # at least

    return make


def used(busy: str, slots: str) -> Make:
    def make(span: Span) -> float | None:
        taken, all_of = span.values.get(busy), span.values.get(slots)
        return min(100.0, 100 * taken / all_of) if taken is not None and all_of else None

    return make


GOOD, BAD = ["jobs_succeeded_total"], ["jobs_failed_total"]
TROUBLE = ["attempts_failed_total", "attempts_timed_out_total", "attempts_lost_total"]
TRIED = ["attempts_succeeded_total"]

CLUSTER = [
    Metric("queue_depth", "jobs", _("Queue"),
        _("Jobs that are queued, those for later and those held included."), gauge("queued")),
    Metric("ready", "jobs", _("Ready"),
        _("Queued jobs that could start now: counted one by one up to 10,000, beyond that all "
             "that are queued but for those scheduled for later."), gauge("ready")),
    Metric("running", "jobs", _("Running"),
        _("Jobs with an open attempt: sent to a node or running there."), gauge("running")),
    Metric("oldest_wait", "s", _("Oldest wait"),
        _("How long the first of the ready jobs has been able to start; 0 where none waits."),
        gauge("oldest_wait_seconds")),
    Metric("wait_mean", "s", _("Mean wait"),
        _("From when a job could start until it was given to a node, on average over the "
             "attempts opened in the window."), mean_of("wait_seconds_total", "waits_total"),
        MINUTES),
    Metric("wait_p95", "s", _("Wait, 95th percentile"),
        _("The wait that 95 of 100 attempts opened in the window did not exceed, estimated from "
             "a histogram."), percentile(0.95), MINUTES),
    Metric("submitted", "jobs/min", _("Submitted"),
        _("Jobs accepted per minute, by the job numbers given out: on PostgreSQL a submission "
             "that was rolled back counts, too."), per_minute("submitted_total"), MINUTES),
    Metric("throughput", "jobs/min", _("Throughput"),
        _("Jobs that succeeded or failed, per minute."), per_minute(*GOOD, *BAD), MINUTES),
    Metric("success_share", "%", _("Success"),
        _("Of the jobs that succeeded or failed, those that succeeded."), share(GOOD, BAD),
        HOUR),
    Metric("failed_attempts", "1/min", _("Failed attempts"),
        _("Attempts that failed by the job's own doing, per minute; a retry may follow."),
        per_minute("attempts_failed_total"), MINUTES),
    Metric("timed_out_attempts", "1/min", _("Timed-out attempts"),
        _("Attempts stopped at their time limit, per minute."),
        per_minute("attempts_timed_out_total"), MINUTES),
    Metric("lost_attempts", "1/min", _("Lost attempts"),
        _("Attempts for which no answer came: the node's doing, per minute."),
        per_minute("attempts_lost_total"), MINUTES),
    Metric("run_mean", "s", _("Mean run time"),
        _("Seconds an attempt ran, on average over the attempts that ended in the window."),
        mean_of("run_seconds_total", "runs_total"), MINUTES),
    Metric("nodes_online", "nodes", _("Nodes online"),
        _("Nodes that the dispatcher hears."), gauge("nodes_online")),
    Metric("nodes", "nodes", _("Nodes"),
        _("Nodes that are listed, online or not."), gauge("nodes")),
    Metric("slots", "slots", _("Slots"),
        _("Slots of the nodes that take work: online, not draining, breaker closed."),
        gauge("slots")),
    Metric("slots_busy", "slots", _("Slots taken"),
        _("Slots that open attempts take, on all nodes."), gauge("busy")),
    Metric("utilisation", "%", _("Utilisation"),
        _("Slots taken, of the slots of nodes that take work."), used("busy", "slots")),
    Metric("cpu", "%", _("CPU"),
        _("CPU in use, mean of the online nodes."), gauge("cpu_percent")),
    Metric("memory", "%", _("Memory"),
        _("Memory in use, mean of the online nodes."), gauge("memory_percent")),
    Metric("network_latency", "ms", _("Network latency"),
        _("From a ping to its answer, median of the online nodes."), gauge("round_trip_ms")),
    Metric("dispatch_latency", "ms", _("Dispatch latency"),
        _("A test job on an idle node: from when it was sent to its answer, less its own work; "
             "median of the online nodes."), gauge("dispatch_ms")),
    Metric("database_size", "bytes", _("Database"),
        _("Size of the database."), gauge("database_bytes")),
    Metric("disk_free", "bytes", _("Disk free"),
        _("Bytes free where the control machine keeps its data."), gauge("home_free")),
]  # fmt: skip

NODE = [
    Metric("cpu", "%", _("CPU"), _("CPU in use."), gauge("cpu_percent")),
    Metric("load", "processes", _("Load"),
        _("Processes that run or want to, mean of a minute."), gauge("load_1")),
    Metric("memory", "%", _("Memory"), _("Memory in use."), gauge("memory_percent")),
    Metric("memory_free", "bytes", _("Memory free"),
        _("Memory that a new process could take."), gauge("memory_free")),
    Metric("swap", "%", _("Swap"), _("Swap in use."), gauge("swap_percent")),
    Metric("disk_free", "bytes", _("Disk free"),
        _("Bytes free where its jobs have their scratch folders."), gauge("disk_free")),
    Metric("temperature", "°C", _("Temperature"),
        _("Of its hottest thermal zone."), gauge("temperature")),
    Metric("throttled", "0 or 1", _("Throttled"),
        _("1 while heat or a weak supply holds it back; in a series the share of time."),
        gauge("throttled")),
    Metric("slots", "slots", _("Slots"), _("Attempts it may run at once."), gauge("slots")),
    Metric("slots_busy", "slots", _("Slots taken"),
        _("Slots that open attempts take."), gauge("busy")),
    Metric("utilisation", "%", _("Utilisation"),
        _("Slots taken, of its slots."), used("busy", "slots")),
    Metric("network_latency", "ms", _("Network latency"),
        _("From a ping to its answer."), gauge("round_trip_ms")),
    Metric("dispatch_latency", "ms", _("Dispatch latency"),
        _("A test job while it was idle: from when it was sent to its answer, less its own "
             "work."), gauge("dispatch_ms")),
    Metric("clock_skew", "s", _("Clock skew"),
        _("Its clock against the control machine's; positive: ahead."),
        gauge("clock_skew_seconds")),
    Metric("speed", "×", _("Speed"),
        _("Its run times against the fleet's median on the same work; 2: twice as fast."),
        gauge("speed")),
    Metric("throughput", "1/min", _("Throughput"),
        _("Attempts that succeeded there, per minute."), per_minute(*TRIED), HOUR),
    Metric("success_share", "%", _("Success"),
        _("Of its attempts that succeeded, failed, timed out or were lost, those that "
             "succeeded."), share(TRIED, TROUBLE), HOUR),
    Metric("lost_attempts", "1/min", _("Lost attempts"),
        _("Attempts there for which no answer came, per minute."),
        per_minute("attempts_lost_total"), HOUR),
    Metric("run_mean", "s", _("Mean run time"),
        _("Seconds an attempt ran there, on average over those that ended in the window."),
        mean_of("run_seconds_total", "runs_total"), HOUR),
]  # fmt: skip
OF_CLUSTER = {metric.name: metric for metric in CLUSTER}
OF_NODE = {metric.name: metric for metric in NODE}


# Now


@dataclass(frozen=True)
class Now:
    at: datetime
    cluster: dict[str, float | None]
    nodes: dict[str, dict[str, float | None]]  # by name; an offline one has no numbers
    failures: Mapping[str, int]  # last hour's failed jobs, by kind


Earlier = Mapping[int, tuple[datetime, Values]]  # seconds back -> moment, values


def now_values(snapshot: ClusterSnapshot) -> Now:
    """Where nobody was looking an hour ago, a window starts when somebody did."""
    at = snapshot.totals_at
    fresh = at is not None and snapshot.at - at < FRESH
    cluster = values_of(CLUSTER, cluster_values(snapshot, snapshot.totals), snapshot.past,
                        at if fresh else None)  # fmt: skip
    earlier = node_samples(snapshot.at)
    nodes = {}
    for node in snapshot.nodes:
        present = node_values(node, snapshot.node_totals.get(node.id, {})) if node.online else {}
        past = earlier.get(node.id, {}) if fresh else {}
        nodes[node.name] = values_of(NODE, present, past, at)
    return Now(snapshot.at, cluster, nodes, snapshot.failures)


def values_of(
    metrics: Iterable[Metric], values: Values, earlier: Earlier, at: datetime | None
) -> dict[str, float | None]:
    return {
        metric.name: tidy(metric.make(span_to(values, earlier, metric.window, at)))
        for metric in metrics
    }


def span_to(values: Values, earlier: Earlier, window: int, at: datetime | None) -> Span:
    seconds = max((back for back in earlier if back <= window), default=None)
    if seconds is None or at is None:
        return Span(values)
    since, before = earlier[seconds]
    return Span(values, before, (at - since).total_seconds())


THEN = f"""SELECT node_id, {{}}, at, "values" FROM monitoring_sample WHERE seconds = {FINE}
    AND node_id IS NOT NULL AND at > %s AND at <= %s"""  # noqa: S608


def node_samples(now: datetime) -> dict[int, dict[int, tuple[datetime, dict[str, Any]]]]:
    """Each node's samples from an hour ago and less: node -> seconds back -> moment, values.

    Written out: of an OR of moments, SQLite makes a look at every sample.
    """
    values = list[Any]()
    for back in BACKS:
        end = now - timedelta(seconds=back)
        values += [moment(end - timedelta(seconds=2 * FINE)), moment(end)]
    rows = select(" UNION ALL ".join(THEN.format(back) for back in BACKS), values)
    found: dict[int, dict[int, tuple[datetime, dict[str, Any]]]] = {}
    for node, back, at, text in sorted(rows, key=lambda row: row[2]):
        found.setdefault(node, {})[back] = when(at), json.loads(text)
    return found


def tidy(value: float | None) -> float | None:
    if value is None or isinstance(value, int):
        return value
    return int(value) if value == int(value) else float(f"{value:.6g}")


# Series


def columns(metrics: Iterable[Metric], points: Sequence[Point]) -> dict[str, list[float | None]]:
    """Each metric's values at points[1:]; None where nobody looked."""
    spans = [span_between(before, point) for before, point in zip(points, points[1:], strict=False)]
    return {metric.name: [tidy(metric.make(span)) for span in spans] for metric in metrics}


def span_between(before: Point, point: Point) -> Span:
    if before.totals_at is None or point.totals_at is None:
        return Span(point.values)
    return Span(point.values, before.values, (point.totals_at - before.totals_at).total_seconds())

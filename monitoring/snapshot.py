"""The cluster at one moment: read once, in a fixed number of statements, as plain frozen values.

Everything that watches looks at this: samples, alert rules, metrics, advice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings

from cluster import condition, nodes
from cluster.models import Node
from cluster.placement import NodeView
from jobs import claim, counts
from jobs.models import Job, Lease
from monitoring import asking, failing, pace
from monitoring.failing import Failing
from monitoring.pace import Slowdown


@dataclass(frozen=True)
class NodeState:
    """A node as last heard of; None: not known. What an offline node said last is kept."""

    id: int
    name: str
    address: str
    tags: frozenset[str]
    state: str  # online, suspect, draining, drained, quarantined, offline
    online: bool
    draining: bool
    breaker: str  # closed, open, half-open
    breaker_reason: str  # empty: closed
    trouble: str
    canary_error: str
    added_at: datetime
    last_seen_at: datetime | None
    slots: int
    busy: int
    cpu_percent: float | None  # in use
    load_1: float | None
    memory_free: int | None  # bytes
    memory_total: int | None
    disk_free: int | None
    disk_total: int | None
    swap_percent: float | None  # in use
    temperature: float | None  # degrees Celsius
    throttled: tuple[str, ...] | None
    scratch_read_only: bool | None
    round_trip_ms: float | None
    dispatch_ms: float | None  # test job: sent to answered, less its work
    clock_skew_seconds: float | None
    speed: float | None  # against the fleet; 2.0: twice as fast
    speed_samples: int
    lost: int  # attempts, in the last ten minutes
    slowdown: float | None  # against its own past; 2.0: takes twice as long
    slowdown_runs: int
    slowdown_spec: int | None

    @property
    def takes_work(self) -> bool:
        return self.online and not self.draining and not self.breaker_reason

    @property
    def free(self) -> int:
        return max(0, self.slots - self.busy) if self.takes_work else 0

    @property
    def memory_percent(self) -> float | None:
        """In use."""
        if self.memory_free is None or not self.memory_total:
            return None
        return min(100.0, max(0.0, 100 - 100 * self.memory_free / self.memory_total))


@dataclass(frozen=True)
class ClusterSnapshot:
    """The windows of `ended` and `submitted` are in minutes."""

    at: datetime
    nodes: Sequence[NodeState] = ()

    dispatcher_at: datetime | None = None  # its last heartbeat; None: there was none
    dispatcher_since: datetime | None = None
    dispatcher_up: bool = False
    dispatcher_note: str = ""  # what keeps it from starting jobs
    monitor_at: datetime | None = None
    monitor_since: datetime | None = None
    monitor_up: bool = False

    by_state: Mapping[str, int] = field(default_factory=dict)
    ready: int = 0  # jobs that could start now
    ready_before: int | None = None  # ten minutes ago
    oldest_wait_seconds: float | None = None  # of those; None: nobody waits
    slots: int = 0  # of nodes that take work
    free_slots: int = 0
    submitted: Mapping[int, int | None] = field(default_factory=dict)  # 1, 5, 15
    ended: Mapping[int, Mapping[str, int]] = field(default_factory=dict)  # 1, 5, 15, 60
    ended_day_before: tuple[int, int] = (0, 0)  # succeeded, failed: the 24 h before the last hour
    failures: Mapping[str, int] = field(default_factory=dict)  # last hour's, by kind
    stuck: Mapping[str, Any] | None = None  # jobs that no known node can ever take

    database_bytes: int | None = None
    database_growth: float | None = None  # bytes a day
    home_free: int | None = None  # bytes, where the database grows
    undelivered: int = 0  # notices given up in the last hour
    failing: Sequence[Failing] = ()  # schedules; read for the alerts alone
    totals_at: datetime | None = None
    totals: Mapping[str, float] = field(default_factory=dict)  # since the first start: totals.py
    node_totals: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    last_job: int = 0  # the largest number given out
    past: Mapping[int, tuple[datetime, Mapping[str, Any]]] = field(default_factory=dict)
    # Samples of the cluster: seconds back -> moment, values.

    @property
    def ended_hour(self) -> tuple[int, int]:
        """Succeeded, failed."""
        hour = self.ended.get(60, {})
        return hour.get("succeeded", 0), hour.get("failed", 0)

    @property
    def busy(self) -> int:
        return sum(node.busy for node in self.nodes)

    @property
    def online(self) -> int:
        return sum(node.online for node in self.nodes)


def read(now: datetime) -> ClusterSnapshot:
    leases = {row.name: row for row in Lease.objects.filter(name__in=("dispatcher", "monitor"))}
    dispatcher, monitor = leases.get("dispatcher"), leases.get("monitor")
    by_state = counts.by_state(Job.objects.all())
    queue = asking.queue(now, by_state)
    past = asking.past(now)
    taken = claim.busy()
    known = node_states(taken, now)
    takers = [node for node in known if node.takes_work]
    totals = asking.totals()
    database = asking.database_bytes()
    return ClusterSnapshot(
        at=now,
        nodes=known,
        dispatcher_at=dispatcher.renewed_at if dispatcher else None,
        dispatcher_since=dispatcher.taken_at if dispatcher else None,
        dispatcher_up=bool(dispatcher and dispatcher.expires_at > now),
        dispatcher_note=dispatcher.note if dispatcher else "",
        monitor_at=monitor.renewed_at if monitor else None,
        monitor_since=monitor.taken_at if monitor else None,
        monitor_up=bool(monitor and monitor.expires_at > now),
        by_state=by_state,
        ready=queue.ready,
        ready_before=past.whole("ready", 600),
        oldest_wait_seconds=queue.oldest_wait_seconds,
        slots=sum(node.slots for node in takers),
        free_slots=sum(node.free for node in takers),
        submitted={minutes: past.grown("submitted_total", 60 * minutes, queue.last_job)
                   for minutes in asking.SUBMITTED_MINUTES},
        ended=asking.ended(now),
        ended_day_before=asking.ended_day_before(now, past),
        failures=asking.failures(now),
        stuck=asking.stuck(views_of(known), now),
        database_bytes=database,
        database_growth=past.growth("database_bytes", database, now),
        home_free=asking.free_bytes(settings.HOME),
        undelivered=asking.undelivered(now),
        totals_at=totals.at,
        totals=totals.cluster,
        node_totals=totals.nodes,
        last_job=queue.last_job,
        past=past.found,
    )  # fmt: skip


def judged(seen: ClusterSnapshot) -> ClusterSnapshot:
    """With what only the alert rules look at."""
    return replace(seen, failing=failing.failing(seen.at))


def node_states(taken: Mapping[int, int], now: datetime) -> tuple[NodeState, ...]:
    rows = Node.objects.filter(removed_at=None).defer("passport", "speed_evidence").order_by("name")
    lost, slow = asking.lost_on(now), pace.slowdowns(now)
    return tuple(
        node_state(row, taken.get(row.pk, 0), lost.get(row.pk, 0), slow.get(row.pk), now)
        for row in rows
    )


def node_state(row: Node, busy: int, lost: int, slow: Slowdown | None, now: datetime) -> NodeState:
    said = row.reading
    throttled = condition.throttled(said)
    disk_total = condition.number(said, "disk_total")
    return NodeState(
        id=row.pk,
        name=row.name,
        address=row.address,
        tags=frozenset(row.tags) | frozenset(row.auto_tags),
        state=nodes.state(row, busy, now),
        online=row.online,
        draining=row.draining,
        breaker=nodes.breaker(row, now),
        breaker_reason=(row.breaker_reason or "–") if row.breaker_opened_at else "",
        trouble=row.trouble,
        canary_error=row.canary_error,
        added_at=row.added_at,
        last_seen_at=row.last_seen_at,
        slots=row.slots,
        busy=busy,
        cpu_percent=row.cpu_percent,
        load_1=condition.number(said, "load_1"),
        memory_free=row.memory_free,
        memory_total=row.memory_total,
        disk_free=row.disk_free,
        disk_total=None if disk_total is None else int(disk_total),
        swap_percent=row.swap_percent,
        temperature=condition.number(said, "temperature"),
        throttled=None if throttled is None else tuple(throttled),
        scratch_read_only=condition.flag(said, "scratch_read_only"),
        round_trip_ms=condition.number(said, "round_trip_ms"),
        dispatch_ms=row.dispatch_ms,
        clock_skew_seconds=condition.number(said, "clock_skew_seconds"),
        speed=row.speed,
        speed_samples=row.speed_samples,
        lost=lost,
        slowdown=slow.factor if slow else None,
        slowdown_runs=slow.runs if slow else 0,
        slowdown_spec=slow.spec if slow else None,
    )


def views_of(nodes: Sequence[NodeState]) -> list[NodeView]:
    """As placement takes them, to ask what never fits; without turns and memory promised."""
    return [
        NodeView(
            id=node.id, name=node.name, address=node.address, slots=node.slots, busy=node.busy,
            online=node.online, draining=node.draining, breaker=node.breaker_reason,
            tags=node.tags, memory_free=node.memory_free, memory_total=node.memory_total,
            speed=node.speed or 1.0,
        )
        for node in nodes
    ]  # fmt: skip

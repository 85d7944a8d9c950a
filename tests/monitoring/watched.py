"""Snapshots by hand: a cluster where all is well, but for what a test changes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from monitoring.failing import Failing
from tests.factories import NOW


@dataclass(frozen=True)
class FakeNode:
    name: str = "pi-1"
    online: bool = True
    draining: bool = False
    trouble: str = ""
    added_at: datetime = NOW - timedelta(days=3)
    last_seen_at: datetime | None = NOW
    breaker_reason: str = ""
    memory_free: int | None = 3 * 10**9
    memory_total: int | None = 4 * 10**9
    disk_free: int | None = 20 * 10**9
    temperature: float | None = 55.0
    throttled: tuple[str, ...] | None = ()
    scratch_read_only: bool | None = False
    clock_skew_seconds: float | None = 0.02
    lost: int = 0
    slowdown: float | None = 1.0
    slowdown_runs: int = 100
    slowdown_spec: int | None = 1


@dataclass(frozen=True)
class FakeSnapshot:
    at: datetime = NOW
    nodes: tuple[FakeNode, ...] = ()
    dispatcher_at: datetime | None = NOW
    dispatcher_since: datetime | None = NOW - timedelta(days=1)
    dispatcher_note: str = ""
    ready: int = 0
    ready_before: int | None = 0
    oldest_wait_seconds: float | None = None
    slots: int = 4
    free_slots: int = 4
    ended_hour: tuple[int, int] = (100, 0)
    ended_day_before: tuple[int, int] = (1000, 10)
    stuck: dict[str, Any] | None = None
    database_bytes: int | None = 10**8
    database_growth: float | None = 10**6
    home_free: int | None = 50 * 10**9
    undelivered: int = 0
    failing: tuple[Failing, ...] = ()


def well(count: int = 3, at: datetime = NOW, **changes: Any) -> FakeSnapshot:
    """All is well, at that moment, with nodes pi-1 …"""
    nodes = tuple(FakeNode(f"pi-{number + 1}", last_seen_at=at) for number in range(count))
    values = {"nodes": nodes, "dispatcher_at": at, **changes}
    return FakeSnapshot(at=at, **values)


def with_node(snapshot: FakeSnapshot, name: str, **changes: Any) -> FakeSnapshot:
    nodes = tuple(replace(n, **changes) if n.name == name else n for n in snapshot.nodes)
    return replace(snapshot, nodes=nodes)


def lose(snapshot: FakeSnapshot, since: datetime, *names: str) -> FakeSnapshot:
    """These nodes have not been heard since then."""
    for name in names:
        snapshot = with_node(snapshot, name, online=False, last_seen_at=since, trouble="silent")
    return snapshot

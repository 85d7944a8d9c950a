"""What the alert rules look at in a snapshot: one reading for each thing watched. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cluster.words import stored

GIGABYTE = 10**9
FRESH = timedelta(seconds=60)  # an older reading, or older totals, say nothing about now
DISPATCHER_SILENT = 20.0  # seconds: from then on nobody knows how the nodes are
SETTLING = timedelta(seconds=25)  # a dispatcher that has just started has not heard all nodes
NEVER_HEARD = timedelta(minutes=5)  # a node that was added may take its time
ENOUGH_JOBS = 20  # ended, for a share to mean something
ENOUGH_RUNS = 20  # of one spec on one node
FALL = 10.0  # points below the day before, at least


class NodeLike(Protocol):
    """What the rules read of a node. None: not known."""

    @property
    def name(self) -> str: ...
    @property
    def online(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def trouble(self) -> str: ...
    @property
    def added_at(self) -> datetime: ...
    @property
    def last_seen_at(self) -> datetime | None: ...
    @property
    def breaker_reason(self) -> str: ...  # empty: closed
    @property
    def memory_free(self) -> int | None: ...
    @property
    def memory_total(self) -> int | None: ...
    @property
    def disk_free(self) -> int | None: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def throttled(self) -> Sequence[str] | None: ...
    @property
    def scratch_read_only(self) -> bool | None: ...
    @property
    def clock_skew_seconds(self) -> float | None: ...
    @property
    def lost(self) -> int: ...  # attempts lost there in the last ten minutes
    @property
    def slowdown(self) -> float | None: ...  # 2.0: twice its own past, the fleet's taken out
    @property
    def slowdown_runs(self) -> int: ...
    @property
    def slowdown_spec(self) -> int | None: ...  # the spec that weighs most in it


class FailingLike(Protocol):
    """A schedule whose newest times failed."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def in_a_row(self) -> int: ...  # 0: not known
    @property
    def last(self) -> str: ...  # refused, missed, failed
    @property
    def since(self) -> datetime: ...
    @property
    def at(self) -> datetime: ...  # the newest of them
    @property
    def reason(self) -> str: ...
    @property
    def job(self) -> int | None: ...  # the newest that failed
    @property
    def sweep(self) -> int | None: ...
    @property
    def paused(self) -> bool: ...
    @property
    def more(self) -> bool: ...  # in_a_row is the least that it may be


class SnapshotLike(Protocol):
    """What the rules read of the cluster."""

    @property
    def at(self) -> datetime: ...
    @property
    def nodes(self) -> Sequence[Any]: ...  # NodeLike
    @property
    def dispatcher_at(self) -> datetime | None: ...  # its last heartbeat; None: there was none
    @property
    def dispatcher_since(self) -> datetime | None: ...
    @property
    def dispatcher_note(self) -> str: ...  # what keeps it from starting jobs
    @property
    def ready(self) -> int: ...  # jobs that could start now
    @property
    def ready_before(self) -> int | None: ...  # ten minutes ago
    @property
    def oldest_wait_seconds(self) -> float | None: ...
    @property
    def slots(self) -> int: ...  # of nodes that take work
    @property
    def free_slots(self) -> int: ...
    @property
    def ended_hour(self) -> tuple[int, int]: ...  # succeeded, failed
    @property
    def ended_day_before(self) -> tuple[int, int]: ...
    @property
    def stuck(self) -> Mapping[str, Any] | None: ...  # jobs, job, why; None: no such job
    @property
    def database_bytes(self) -> int | None: ...
    @property
    def database_growth(self) -> float | None: ...  # bytes a day
    @property
    def home_free(self) -> int | None: ...  # bytes, where the database grows
    @property
    def undelivered(self) -> int: ...  # notices given up in the last hour
    @property
    def failing(self) -> Sequence[FailingLike]: ...


@dataclass(frozen=True)
class Reading:
    """One thing looked at. holds: decided already; None: by the value, unknown without one."""

    subject: str
    value: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    holds: bool | None = None
    since: datetime | None = None  # when it became so, where that is known


def dispatcher_heard(s: SnapshotLike) -> bool:
    """Is what it says of nodes and queue from now?"""
    return s.dispatcher_at is not None and (s.at - s.dispatcher_at).total_seconds() < (
        DISPATCHER_SILENT
    )


def nodes_known(s: SnapshotLike) -> bool:
    since = s.dispatcher_since
    return dispatcher_heard(s) and since is not None and s.at - since >= SETTLING


def dispatcher_silent(s: SnapshotLike) -> Iterator[Reading]:
    if s.dispatcher_at is None:
        yield Reading("", holds=True, facts={"never": True})
    else:
        silent = max(0.0, (s.at - s.dispatcher_at).total_seconds())
        yield Reading("", silent, since=s.dispatcher_at)


def dispatcher_halted(s: SnapshotLike) -> Iterator[Reading]:
    note = s.dispatcher_note
    yield Reading(
        "", holds=bool(note) if dispatcher_heard(s) else None,
        facts={"note": stored(note), "free_bytes": s.home_free},
    )  # fmt: skip


def node_down(s: SnapshotLike) -> Iterator[Reading]:
    """A node that drains may be switched off: somebody's wish."""
    known = nodes_known(s)
    for node in s.nodes:
        if not known:
            yield Reading(node.name)
        elif node.online or node.draining:
            yield Reading(node.name, holds=False)
        elif node.last_seen_at is None:
            long = s.at - node.added_at >= NEVER_HEARD
            facts = {"never": True, "trouble": stored(node.trouble)}
            yield Reading(node.name, holds=long, since=node.added_at, facts=facts)
        else:
            facts = {"trouble": stored(node.trouble)}
            yield Reading(node.name, None, facts, True, min(s.at, node.last_seen_at))


def per_node(
    ask: Callable[[Any], tuple[float | bool | None, Mapping[str, Any]]],
) -> Callable[[SnapshotLike], Iterator[Reading]]:
    """A look at each node; unknown where its reading is old or the dispatcher is not heard."""

    def look(s: SnapshotLike) -> Iterator[Reading]:
        known = nodes_known(s)
        for node in s.nodes:
            fresh = node.online and node.last_seen_at and s.at - node.last_seen_at < FRESH
            value, facts = ask(node) if known and fresh else (None, {})
            if isinstance(value, bool):
                yield Reading(node.name, holds=value, facts=facts)
            else:
                yield Reading(node.name, value, facts)

    return look


def breaker(node: NodeLike) -> tuple[bool, dict[str, Any]]:
    return bool(node.breaker_reason), {"reason": stored(node.breaker_reason)}


def disk(node: NodeLike) -> tuple[float | bool | None, dict[str, Any]]:
    if node.scratch_read_only:
        return True, {"read_only": True}
    return None if node.disk_free is None else node.disk_free / GIGABYTE, {}


def memory(node: NodeLike) -> tuple[float | None, dict[str, Any]]:
    if node.memory_free is None or not node.memory_total:
        return None, {}
    facts = {"free_bytes": node.memory_free, "total_bytes": node.memory_total}
    return 100 * node.memory_free / node.memory_total, facts


def heat(node: NodeLike) -> tuple[float | None, dict[str, Any]]:
    return node.temperature, {}


def throttled(node: NodeLike) -> tuple[bool | None, dict[str, Any]]:
    """Of machines that tell; of the others nothing is ever found."""
    words = list(node.throttled or ())
    return bool(words), {"words": words}


def slow(node: NodeLike) -> tuple[float | None, dict[str, Any]]:
    if node.slowdown is None or node.slowdown_runs < ENOUGH_RUNS:
        return None, {}
    return node.slowdown, {"runs": node.slowdown_runs, "spec": node.slowdown_spec}


def skew(node: NodeLike) -> tuple[float | None, dict[str, Any]]:
    found = node.clock_skew_seconds
    return (None, {}) if found is None else (abs(found), {"ahead": found > 0})


def lost_attempts(s: SnapshotLike) -> Iterator[Reading]:
    """Of nodes that are down, too: their losses are the down node's consequence."""
    for node in s.nodes:
        yield Reading(node.name, float(node.lost) if dispatcher_heard(s) else None)


def overload(s: SnapshotLike) -> Iterator[Reading]:
    """By the oldest wait; while the queue shrinks it is only a matter of time."""
    wait = s.oldest_wait_seconds or 0.0
    before = s.ready_before
    facts = {"ready": s.ready, "before": before, "slots": s.slots}
    grows = before is not None and s.ready >= before
    if not dispatcher_heard(s) or (s.ready and before is None):
        yield Reading("", facts=facts)
    else:
        yield Reading("", wait, facts, None if s.ready and grows else False)


def no_free_slot(s: SnapshotLike) -> Iterator[Reading]:
    full = bool(s.ready and s.slots and not s.free_slots)
    facts = {"ready": s.ready, "slots": s.slots}
    yield Reading("", float(s.ready), facts, None if full else False)


def success(s: SnapshotLike) -> Iterator[Reading]:
    """Against a threshold, and against the day before: work that always fails is not falling."""
    good, bad = s.ended_hour
    if good + bad < ENOUGH_JOBS or 100 * bad < FALL * (good + bad):
        yield Reading("", holds=False)
        return
    share = 100 * good / (good + bad)
    facts: dict[str, float] = {"failed": bad, "ended": good + bad}
    past_good, past_bad = s.ended_day_before
    if past_good + past_bad >= ENOUGH_JOBS:
        past = 100 * past_good / (past_good + past_bad)
        facts["past"] = round(past, 1)
        if share > past - FALL:
            yield Reading("", share, facts, holds=False)
            return
    yield Reading("", share, facts)


def stuck(s: SnapshotLike) -> Iterator[Reading]:
    found = s.stuck
    if not dispatcher_heard(s):
        yield Reading("")
    elif found:
        yield Reading("", float(found["jobs"]), {k: v for k, v in found.items() if k != "jobs"})
    else:
        yield Reading("", holds=False)


def home_disk(s: SnapshotLike) -> Iterator[Reading]:
    yield Reading("", None if s.home_free is None else s.home_free / GIGABYTE)


def database(s: SnapshotLike) -> Iterator[Reading]:
    """Days until the disk is full at today's rate."""
    size, growth, free = s.database_bytes, s.database_growth, s.home_free
    facts = {"bytes": size, "growth": growth, "free_bytes": free}
    if size is None or growth is None or free is None:
        yield Reading("", facts=facts)
    elif growth < 1:
        yield Reading("", facts=facts, holds=False)
    else:
        yield Reading("", free / growth, facts)


def undelivered(s: SnapshotLike) -> Iterator[Reading]:
    yield Reading("", float(s.undelivered))


def schedules(s: SnapshotLike) -> Iterator[Reading]:
    """By how many times in a row failed; one that could not even start is enough."""
    for one in s.failing:
        subject = f"schedule {one.id}"
        if not one.in_a_row:
            yield Reading(subject)
            continue
        facts = {
            "schedule": one.id, "name": one.name, "last": one.last, "job": one.job,
            "sweep": one.sweep, "why": stored(one.reason), "paused": one.paused, "more": one.more,
            "at": one.at.isoformat(timespec="seconds"),
        }  # fmt: skip
        refused = True if one.last == "refused" else None
        yield Reading(subject, float(one.in_a_row), facts, refused, one.since)


def elsewhere(s: SnapshotLike) -> Iterator[Reading]:
    """Not found here: causes.py makes nodes_down of node_down, the web finds monitor_silent."""
    return iter(())

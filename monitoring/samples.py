"""What the cluster and each node were like: every ten seconds, then by the minute and the quarter.

The coarser rows are made as time passes, so that a long chart reads few of them. Fine ones go
after a day, those of a minute after a week, and the oldest where all together take too much room.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Min

from jobs.rows import insert_rows, moment, select, table, when
from monitoring import totals
from monitoring.models import Sample
from monitoring.snapshot import ClusterSnapshot, NodeState

FINE, MINUTE, QUARTER = 10, 60, 900  # seconds that a row stands for
AGES = {FINE: timedelta(days=1), MINUTE: timedelta(days=7)}  # a quarter's goes by size alone
COARSER = {FINE: MINUTE, MINUTE: QUARTER}
SLICE = timedelta(hours=1)  # made coarser at once, after a pause
CHUNK = 20_000  # rows deleted at once
ROW_BYTES = 160  # of a row and its index entries, besides its values
MOST_POINTS = 2000
Values = Mapping[str, Any]


# Keep


def keep(snapshot: ClusterSnapshot, now: datetime) -> int:
    """One row for the cluster and one for each online node, in one commit. How many rows."""
    with transaction.atomic():
        sums = totals.follow(now)
        by_node = sums["nodes"]
        rows: list[tuple[int | None, Values]] = [(None, cluster_values(snapshot, sums["cluster"]))]
        rows += [
            (node.id, node_values(node, by_node.get(str(node.id), {})))
            for node in snapshot.nodes
            if node.online
        ]
        write(((node, now, FINE, values) for node, values in rows))
        for fine in COARSER:
            coarsen(fine, now)
    return len(rows)


def cluster_values(snapshot: ClusterSnapshot, sums: Values) -> dict[str, Any]:
    """Numbers by name; those that only grow end in _total. What is not known is left out."""
    up = [node for node in snapshot.nodes if node.online]
    return known({
        "queued": snapshot.by_state.get("queued"),
        "running": snapshot.by_state.get("running"),
        "ready": snapshot.ready,
        "oldest_wait_seconds": snapshot.oldest_wait_seconds or 0,
        "nodes": len(snapshot.nodes),
        "nodes_online": len(up),
        "slots": snapshot.slots,
        "free_slots": snapshot.free_slots,
        "busy": snapshot.busy,
        "cpu_percent": mean(node.cpu_percent for node in up),
        "memory_percent": mean(node.memory_percent for node in up),
        "round_trip_ms": middle(node.round_trip_ms for node in up),
        "dispatch_ms": middle(node.dispatch_ms for node in up),
        "database_bytes": snapshot.database_bytes,
        "home_free": snapshot.home_free,
        "submitted_total": snapshot.last_job,
        **sums,
    })  # fmt: skip


def node_values(node: NodeState, sums: Values) -> dict[str, Any]:
    return known({
        "slots": node.slots,
        "busy": node.busy,
        "cpu_percent": node.cpu_percent,
        "load_1": node.load_1,
        "memory_percent": node.memory_percent,
        "memory_free": node.memory_free,
        "disk_free": node.disk_free,
        "swap_percent": node.swap_percent,
        "temperature": node.temperature,
        "throttled": None if node.throttled is None else int(bool(node.throttled)),
        "round_trip_ms": node.round_trip_ms,
        "dispatch_ms": node.dispatch_ms,
        "clock_skew_seconds": node.clock_skew_seconds,
        "speed": node.speed,
        **sums,
    })  # fmt: skip


def known(values: Values) -> dict[str, Any]:
    return {name: brief(value) for name, value in values.items() if value is not None}


def brief(value: float) -> float:
    """Six digits of what is measured; what is counted stays whole."""
    if isinstance(value, int) or not math.isfinite(value):
        return value
    return float(f"{value:.6g}")


def mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def middle(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def write(rows: Iterable[tuple[int | None, datetime, int, Values]]) -> None:
    texts = ((node, at, seconds, json.dumps(values)) for node, at, seconds, values in rows)
    insert_rows(Sample, ["node", "at", "seconds", "values"], texts)


# Thin


def coarsen(fine: int, now: datetime) -> int:
    """Make the rows of the next coarser kind whose time is over. Returns how many."""
    coarse = COARSER[fine]
    done = Sample.objects.filter(seconds=coarse).aggregate(at=Max("at"))["at"]
    end = boundary(now, coarse)
    if done and done >= end:
        return 0
    rest = Sample.objects.filter(seconds=fine, at__lte=end)
    if done:
        rest = rest.filter(at__gt=done)
    first = rest.aggregate(at=Min("at"))["at"]
    if first is None:
        return 0
    end = min(end, boundary(first, coarse) + SLICE)
    groups: dict[tuple[int | None, datetime], list[Values]] = defaultdict(list)
    rows = rest.filter(at__lte=end).order_by("at")
    for node, at, values in rows.values_list("node", "at", "values"):
        groups[node, ending(at, coarse)].append(values)
    write((node, at, coarse, merged(values)) for (node, at), values in groups.items())
    return len(groups)


def boundary(at: datetime, seconds: int) -> datetime:
    """The last round moment that is not after it."""
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def ending(at: datetime, seconds: int) -> datetime:
    """The end of the stretch that it falls into: stretches hold their end, not their start."""
    return datetime.fromtimestamp(math.ceil(at.timestamp() / seconds) * seconds, UTC)


def merged(parts: Sequence[Values]) -> dict[str, Any]:
    """Means; of what only grows the last."""
    found: dict[str, Any] = {}
    for name in {name for part in parts for name in part}:
        values = [part[name] for part in parts if name in part]
        found[name] = values[-1] if name.endswith("_total") else brief(fmean(values))
    return found


@dataclass
class Thinned:
    rows: int = 0  # deleted
    bytes: int = 0  # what is left, about


def thin(now: datetime, limit: float | None = None) -> Thinned:
    """Delete what is past its age, then the oldest beyond `limit` bytes; in small transactions."""
    gone = 0
    for seconds, age in AGES.items():
        gone += delete(seconds, now - age)
    rows, each = Sample.objects.count(), row_bytes()
    most = int((settings.SAMPLES_BYTES if limit is None else limit) / each)
    if rows > most:
        gone += (beyond := delete_oldest(rows - most))
        rows -= beyond
    return Thinned(gone, rows * each)


def delete(seconds: int, until: datetime, most: int = 10**9) -> int:
    """Rows of one kind up to that moment, the oldest first."""
    gone = 0
    while gone < most:
        chunk = min(CHUNK, most - gone)
        sql = (
            f"DELETE FROM {table(Sample)} WHERE id IN (SELECT id FROM {table(Sample)}"  # noqa: S608
            f" WHERE seconds = %s AND at <= %s ORDER BY at LIMIT {chunk})"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [seconds, moment(until)])
            count = cursor.rowcount
        gone += count
        if count < chunk:
            break
    return gone


def delete_oldest(count: int) -> int:
    """So many, of whatever kind: of the kind that goes back furthest, until the next one begins."""
    gone = 0
    while gone < count:
        firsts = dict(Sample.objects.order_by().values_list("seconds").annotate(Min("at")))
        if not firsts:
            break
        oldest = min(firsts, key=lambda seconds: (firsts[seconds], seconds))
        others = [at for seconds, at in firsts.items() if seconds != oldest]
        until = min(others, default=max(firsts.values()) + timedelta(days=36500))
        gone += delete(oldest, until, count - gone)
    return gone


def row_bytes() -> int:
    """What a row takes, from the newest hundred."""
    sql = (
        'SELECT avg(length("values")) FROM (SELECT CAST("values" AS text) AS "values"'
        " FROM monitoring_sample ORDER BY id DESC LIMIT 100) AS newest"
    )
    return ROW_BYTES + int(select(sql)[0][0] or 0)


# Read


@dataclass(frozen=True)
class Point:
    """What a stretch that ended then was like; no values: nobody looked."""

    at: datetime
    values: Values
    totals_at: datetime | None  # when its last sample was read


@dataclass(frozen=True)
class Series:
    step: int  # seconds
    resolution: int
    points: list[Point]  # the first is from before the start, to tell what grew


def steps_for(start: datetime, end: datetime, points: int = 240) -> int:
    """A round step for about so many points."""
    wanted = (end - start).total_seconds() / points
    rounds = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    return next((step for step in rounds if step >= wanted), math.ceil(wanted / 86400) * 86400)


def resolution_for(start: datetime, step: int, now: datetime) -> int:
    """The coarsest rows that are fine enough, of those that there still are."""
    fit = next((seconds for seconds in (QUARTER, MINUTE) if step >= seconds), FINE)
    if fit == FINE and start < now - AGES[FINE]:
        fit = MINUTE
    if fit == MINUTE and start < now - AGES[MINUTE]:
        fit = QUARTER
    return fit


def between(
    node: int | None, seconds: int, since: datetime, end: datetime
) -> list[tuple[datetime, Values]]:
    """By time. Past the ORM, which takes longer to make its values than all else does."""
    where, values = ("node_id = %s", [node]) if node is not None else ("node_id IS NULL", [])
    sql = (
        f'SELECT at, "values" FROM {table(Sample)} WHERE {where}'  # noqa: S608
        " AND seconds = %s AND at > %s AND at <= %s ORDER BY at"
    )
    found = select(sql, [*values, seconds, moment(since), moment(end)])
    return [(when(at), json.loads(text)) for at, text in found]


def series(
    node: int | None, start: datetime, end: datetime, step: int | None, now: datetime
) -> Series:
    """A point for each step from `start` to `end`, MOST_POINTS at most.

    In three statements at most: the end, of which there is no coarse row yet, from finer ones.
    """
    length = (end - start).total_seconds()
    step = max(step or steps_for(start, end), math.ceil(length / MOST_POINTS), FINE)
    resolution = resolution_for(start, step, now)
    step = math.ceil(step / resolution) * resolution
    before = start - timedelta(seconds=step)
    rows: list[tuple[datetime, Values]] = []
    since = before
    for seconds in (QUARTER, MINUTE, FINE):
        if seconds > resolution:
            continue
        rows += between(node, seconds, since, end)
        since = max(since, boundary(rows[-1][0], seconds)) if rows else since
    groups: dict[int, list[tuple[datetime, Values]]] = defaultdict(list)
    for at, values in rows:  # a step holds its end, not its start
        groups[-((start - at) // timedelta(seconds=step))].append((at, values))
    count = math.ceil(length / step) if length > 0 else 0
    points = []
    for place in range(count + 1):
        at, part = start + timedelta(seconds=step * place), groups.get(place, [])
        values = merged([values for _at, values in part]) if part else {}
        points.append(Point(at, values, part[-1][0] if part else None))
    return Series(step, resolution, points)

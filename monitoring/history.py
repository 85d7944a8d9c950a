"""The last days' work, read from the rows as the replay takes it."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cluster import setting
from cluster.models import Node
from cluster.placement import Need, need_of
from jobs import models
from jobs.models import OnLost, RunTime, State
from jobs.rows import moment, select, when
from jobs.runtimes import MOST as MOST_TIMES
from jobs.runtimes import RunTimes, stat_of
from monitoring.replay import Machine, Outcome, Overheads, Scene, Work, replay

MOST = 20_000  # attempts
LEAST_FOR_OVERHEADS = 20  # bundles
IDLE_SECONDS = 0.25  # between an end and the next claim there: longer, and nothing waited

RAN = """
SELECT a.id, j.id, j.need_id, j.priority, j.spec_id, j.strategy, j.on_lost, j.created_at,
 CASE WHEN a.number = j.tried THEN j.run_at WHEN a.number = 1 THEN j.created_at
      ELSE a.claimed_at END,
 a.node_id, a.bundle, a.slots, a.claimed_at, a.finished_at, a.run_seconds, a.cpu_seconds,
 a.max_rss_kb, a.outcome
FROM (SELECT id, need_id, priority, spec_id, strategy, on_lost, created_at, run_at, tried,
             finished_at
      FROM jobs_job WHERE state = %s AND finished_at >= %s AND finished_at <= %s
      ORDER BY finished_at DESC LIMIT %s) j
JOIN jobs_attempt a ON a.job_id = j.id
WHERE a.run_seconds IS NOT NULL AND a.finished_at IS NOT NULL
"""


class Ran(NamedTuple):
    """An attempt that ran. Seconds since the window's start, where it is a moment."""

    attempt: int
    job: int
    need: int
    priority: int
    spec: int
    strategy: str
    on_lost: str
    arrived: float
    node: int
    bundle: int
    slots: int
    claimed: float
    finished: float
    run_seconds: float
    cpu_seconds: float | None
    max_rss_kb: int | None
    outcome: str


@dataclass
class History:
    """What ran in a window of time, all of it; where there was too much, the newest part."""

    since: datetime
    until: datetime
    days: float  # asked for
    cut: bool = False  # the window is shorter than what was asked for
    ran: list[Ran] = field(default_factory=list)  # by arrival
    needs: dict[int, Need] = field(default_factory=dict)
    times: RunTimes = field(default_factory=RunTimes)
    machines: list[Machine] = field(default_factory=list)
    away: list[str] = field(default_factory=list)  # nodes left out: drained or quarantined
    strategy: str = ""
    overheads: Overheads = field(default_factory=Overheads)

    def makespan(self) -> float:
        """As measured: from the first arrival to the last end."""
        if not self.ran:
            return 0.0
        return max(row.finished for row in self.ran) - self.ran[0].arrived


def read(now: datetime, days: float = 7.0, most: int = MOST) -> History:
    """In a fixed number of statements, each of at most `most` jobs."""
    since = now - timedelta(days=days)
    rows, cut_at = list[Any](), since
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        found, oldest = ended(state, since, now, most)
        rows += found
        cut_at = max(cut_at, oldest or since)
    rows = [row for row in rows if row[13] >= cut_at]
    if len(rows) > most:
        rows.sort(key=lambda row: row[13])
        del rows[: len(rows) - most]
        cut_at = rows[0][13]
    history = History(cut_at, now, days, cut_at > since)
    first_claim = min((row[12] for row in rows), default=cut_at)
    floor = (first_claim - cut_at).total_seconds() if history.cut else None
    history.ran = sorted(
        (ran_of(row, cut_at, floor) for row in rows), key=lambda ran: (ran.arrived, ran.attempt)
    )
    history.needs = {
        row.pk: need_of(row.body)
        for row in models.Need.objects.filter(pk__in={ran.need for ran in history.ran})
    }
    history.strategy = setting.read("strategy")
    read_machines(history)
    history.times = read_times(history.ran)
    history.overheads = overheads_of(history.ran, {m.id: m.slots for m in history.machines})
    return history


def ended(
    state: str, since: datetime, now: datetime, most: int
) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """Attempts of the newest jobs that ended so; the oldest end, where there were more."""
    rows = [aware(row) for row in select(RAN, [state, moment(since), moment(now), most])]
    if len({row[1] for row in rows}) < most:
        return rows, None
    return rows, min(row[13] for row in rows)


def aware(row: Sequence[Any]) -> tuple[Any, ...]:
    values = list(row)
    for place in (7, 8, 12, 13):
        values[place] = when(values[place])
    return tuple(values)


def ran_of(row: tuple[Any, ...], start: datetime, floor: float | None) -> Ran:
    """Where the window cuts, what had waited before arrives with its first claim."""
    claimed = (row[12] - start).total_seconds()
    arrived = min(claimed, (max(row[7], row[8]) - start).total_seconds())
    if floor is not None:
        arrived = max(arrived, floor)
    return Ran(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], arrived, row[9], row[10], row[11],
        claimed, (row[13] - start).total_seconds(), max(1e-6, row[14]), row[15], row[16], row[17],
    )  # fmt: skip


def read_machines(history: History) -> None:
    """The nodes that take work; a node that is merely away at the moment is counted as there."""
    used = {row.node for row in history.ran}
    for node in Node.objects.filter(removed_at=None).order_by("name"):
        if node.draining or node.breaker_opened_at:
            history.away.append(node.name)
        elif node.online or node.pk in used:
            tags = frozenset(node.tags) | frozenset(node.auto_tags)
            history.machines.append(
                Machine(node.pk, node.name, node.slots, node.speed or 1.0, tags, node.memory_total)
            )


def read_times(ran: Iterable[Ran]) -> RunTimes:
    """As the dispatcher knows them; and from these runs, where it has not kept them."""
    times = RunTimes()
    known = set()
    for kept in RunTime.objects.order_by("-updated_at", "-id")[: MOST_TIMES // 2]:
        times.put(kept.spec_id, kept.node_id, stat_of(kept))
        known.add((kept.spec_id, kept.node_id))
    for row in ran:
        if (row.spec, row.node) not in known:
            times.note(row.spec, row.node, row.run_seconds)
    return times


def overheads_of(ran: Sequence[Ran], slots: dict[int, int]) -> Overheads:
    """Measured by the dispatcher's clock alone: what a bundle took beyond its members' work."""
    by_bundle: dict[int, list[Ran]] = defaultdict(list)
    for row in ran:
        by_bundle[row.bundle].append(row)
    by_node: dict[int, list[Sent]] = defaultdict(list)
    for members in by_bundle.values():
        claimed = min(row.claimed for row in members)
        finished = max(row.finished for row in members)
        work = sum(row.run_seconds for row in members)
        sent = Sent(claimed, finished, work, members[0].slots, len(members))
        by_node[members[0].node].append(sent)
    own, ahead, turns = list[Beyond](), list[Beyond](), list[float]()
    for node, found in by_node.items():
        look_at(sorted(found), slots.get(node, 1), own, ahead, turns)
    known = Overheads()
    bundle = middle([seconds for seconds, count in own if count == 1], known.bundle)
    each = [max(0.0, seconds - bundle) / (count - 1) for seconds, count in own if count > 1]
    member = middle(each, known.member)
    after = [max(0.0, seconds - member * (count - 1)) for seconds, count in ahead]
    return Overheads(bundle, middle(after, known.ahead), member, middle(turns, known.turn))


def middle(values: Sequence[float], otherwise: float) -> float:
    """The median, if it is one of enough."""
    return statistics.median(values) if len(values) >= LEAST_FOR_OVERHEADS else otherwise


class Sent(NamedTuple):
    """A bundle."""

    claimed: float
    finished: float
    work: float  # its members' seconds
    slots: int
    members: int


Beyond = tuple[float, int]  # seconds that a bundle took beyond its work, its members


def look_at(
    found: list[Sent], slots: int, own: list[Beyond], ahead: list[Beyond], turns: list[float]
) -> None:
    """One node's bundles, in the order of their claims."""
    at_work: list[Sent] = []
    last_end = -math.inf
    for sent in found:
        ended = (one.finished for one in at_work if one.finished <= sent.claimed)
        last_end = max([last_end, *ended])
        at_work = [one for one in at_work if one.finished > sent.claimed]
        over = sum(one.slots for one in at_work) + sent.slots - slots
        if over > 0:  # sent ahead: it waited there until so many had ended
            begins = sorted(one.finished for one in at_work)[min(over, len(at_work)) - 1]
            ahead.append((max(0.0, sent.finished - begins - sent.work), sent.members))
        else:
            own.append((max(0.0, sent.finished - sent.claimed - sent.work), sent.members))
            if sent.claimed - last_end < IDLE_SECONDS:
                turns.append(sent.claimed - last_end)
        at_work.append(sent)


def scene_of(history: History) -> Scene:
    """The cluster as it is, under its present strategy."""
    order = {pk: place for place, pk in enumerate(sorted(history.needs))}
    speeds = {machine.id: machine.speed for machine in history.machines}

    def pace(spec: int, node: int) -> float | None:
        return history.times.expected(spec, node, speeds)

    needs = [history.needs[pk] for pk in order]
    return Scene(history.machines, needs, pace, history.strategy, history.overheads)


def work_of(history: History) -> list[Work]:
    """The attempts as jobs of the replay, by arrival."""
    order = {pk: place for place, pk in enumerate(sorted(history.needs))}
    speeds = {node.pk: node.speed or 1.0 for node in Node.objects.only("speed")}
    expected: dict[tuple[int, int], float] = {}
    found = []
    for row in history.ran:
        key = row.spec, row.node
        if key not in expected:
            expected[key] = history.times.expected(*key, speeds) or row.run_seconds
        found.append(
            Work(
                row.arrived, order[row.need], row.priority, row.spec,
                row.run_seconds / expected[key], row.strategy, row.on_lost == OnLost.FAIL,
            )
        )  # fmt: skip
    return found


def replay_of(history: History) -> Outcome:
    """The history itself, replayed: to be held against what was measured."""
    return replay(work_of(history), scene_of(history))

"""The claim: take ready jobs under lock, place them, open attempts, commit. Sending comes after."""

import heapq
import itertools
import json
import secrets
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Max, Min

from cluster import fleet, placement, setting
from cluster.models import Node
from cluster.placement import Choice, NodeView, Placer
from cluster.strategies import FORESEEING, FORESEEN
from jobs import bundles, events, lease
from jobs.ahead import Ahead
from jobs.models import Attempt, Job, Need, OnLost
from jobs.rows import insert_rows, marks, select, update_rows
from jobs.runtimes import RunTimes

PEEK = 16  # jobs looked at first, or some for each free slot
MOST = 4000  # jobs looked at in one pass
HEAVIEST = 4_000_000  # characters of arguments in one bundle: a frame ends at 16 MB
READY = "state = 'queued' AND NOT held AND waits = 0 AND run_at <= %s"  # as JobQuerySet.ready
ATTEMPT_OPENED = [
    "job", "number", "node", "bundle", "slots", "placement", "claimed_at", "error", "error_type",
    "traceback", "stdout_bytes", "stderr_bytes",
]  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """A job that may start, as the claim reads it."""

    id: int
    spec: int
    need: int
    priority: int
    run_at: Any  # as the database has it: for the order alone
    tried: int
    node: int | None  # where it ran last
    on_lost: str
    strategy: str
    args: str

    @property
    def rank(self) -> tuple[int, Any, int]:
        return -self.priority, self.run_at, self.id

    @property
    def likeness(self) -> tuple[Any, ...]:
        """Jobs that are equal in this may ride together."""
        return self.spec, self.priority, self.on_lost, self.strategy


@dataclass
class Bundle:
    """Attempts that travel to one node as one dispy job."""

    id: int
    choice: Choice
    slots: int
    jobs: list[Ready]
    after: int | None = None  # sent ahead: gets the slot of this bundle
    attempts: dict[int, int] = field(default_factory=dict)  # job -> attempt

    @property
    def node(self) -> int:
        return self.choice.node.id


def claim(
    epoch: int, now: datetime, times: RunTimes, refused: set[int],
    elsewhere: Mapping[int, int], unsent: set[int], ahead: Ahead,
) -> list[Bundle]:  # fmt: skip
    """Open one attempt for each ready job that a node can take now.

    `refused`: nodes that just turned a bundle away and rest for a moment. `elsewhere`: slots
    taken, by node, of which no attempt knows. `unsent`: gets the bundles' ids before the commit,
    since a connection that breaks in it leaves open whether they exist. `ahead`: what is on its
    way; where no slot is free, the next bundles are sent after those that end soon.
    """
    if not any_ready(now):
        return []
    with transaction.atomic():
        lease.fence("dispatcher", epoch)
        taken = busy()
        taken.update(elsewhere)
        ahead.correct(taken)
        views = [view for view in fleet.views(taken) if view.id not in refused]
        following = make_room(views, ahead)
        free = count_free(views)
        if not free:
            return []
        needs = {row.pk: placement.need_of(row.body) for row in Need.objects.all()}
        able = [pk for pk, need in needs.items() if can_be_met(need, views)]
        peek = min(MOST, max(PEEK, 4 * free))
        jobs = ready_jobs(now, able, peek)
        if not jobs:
            return []
        strategy, remaining = setting.read("strategy"), len(jobs)
        foreseen = foresees(jobs, strategy)
        quickest = cache(times.quickest)  # of a spec, on any node
        sizes = [bundles.most(quickest(job.spec)) for job in jobs[:free]]
        wanted = max(sum(sizes), FORESEEN if foreseen else 0)
        if len(jobs) == peek < wanted:
            jobs = ready_jobs(now, able, min(MOST, wanted))
        if len(jobs) >= peek and max(sizes) > 1:
            slots = sum(view.slots for view in views if view.online)
            remaining = count_ready(now, able, 2 * slots * max(sizes))
        if following:
            jobs = [job for job in jobs if may_wait(job, needs[job.need])]
            if not is_worth_a_bundle(jobs, times):
                return []  # more may come until a slot is free
        if foreseen:
            foresee_ends(views, times, now)
        if any(needs[job.need].memory_mb for job in jobs):
            promise_memory(views, needs)
        remaining = max(remaining, len(jobs))
        packed = list(pack(jobs, needs, views, strategy, times, remaining, ahead.rested(now)))
        for bundle in packed if following else ():
            bundle.after = following[bundle.node].pop(0)
        open_attempts(packed, now)
        unsent.update(bundle.id for bundle in packed)
    return packed


def make_room(views: Sequence[NodeView], ahead: Ahead) -> dict[int, list[int]]:
    """Where no slot is free, those whose bundles end soon count as free: node -> these bundles."""
    if count_free(views):
        return {}
    following = ahead.to_follow()
    for view in views:
        view.busy -= len(following.get(view.id, ()))
    return following


def count_free(views: Sequence[NodeView]) -> int:
    return sum(view.free for view in views if view.takes_work)


def may_wait(job: Ready, need: placement.Need) -> bool:
    """Whether it may be sent ahead: if it is lost while it waits, it runs again elsewhere."""
    return job.on_lost != OnLost.FAIL and need.slots == 1


def is_worth_a_bundle(jobs: Sequence[Ready], times: RunTimes) -> bool:
    work = 0.0
    for job in jobs:
        work += max(times.quickest(job.spec) or 0.0, bundles.LEAST_SECONDS)
        if work >= bundles.WORTH_SECONDS:
            return True
    return False


def any_ready(now: datetime) -> bool:
    """Asked first, and outside of a transaction: its lock would be a write, every second."""
    moment = connection.ops.adapt_datetimefield_value(now)
    return bool(select(f"SELECT 1 FROM jobs_job WHERE {READY} LIMIT 1", [moment]))  # noqa: S608


def busy() -> Counter[int]:
    """Slots taken, by node."""
    taken: Counter[int] = Counter()
    for node, _, slots in select(
        "SELECT DISTINCT node_id, bundle, slots FROM jobs_attempt WHERE finished_at IS NULL"
    ):
        taken[node] += slots
    return taken


def foresees(jobs: list[Ready], strategy: str) -> bool:
    return bool(FORESEEING.intersection({strategy, *(job.strategy for job in jobs)}))


def promise_memory(views: list[NodeView], needs: Mapping[int, placement.Need]) -> None:
    """Tell the views how much memory the jobs that run there asked for."""
    by_id = {view.id: view for view in views}
    rows = Attempt.objects.filter(finished_at=None).order_by()
    for node, _, need in rows.values_list("node", "bundle", "job__need").distinct():
        if node in by_id and need in needs and (asked := needs[need].memory_mb):
            by_id[node].memory_promised += asked * placement.MEGABYTE


def foresee_ends(views: list[NodeView], times: RunTimes, now: datetime) -> None:
    """Tell the views when their taken slots will be free, as far as run times are known."""
    by_id = {view.id: view for view in views}
    speeds = {view.id: view.speed for view in views}
    expecting = cache(lambda spec: times.expecting(spec, speeds))
    for node, slots, spec, count, since in running_bundles(list(by_id)):
        each = by_id[node].lasts(expecting(spec)(node))
        left = count * each - (now - since).total_seconds()
        for _ in range(slots):  # overdue: soon, but not now
            heapq.heappush(by_id[node].ends, max(left, each / 10))


def running_bundles(nodes: Collection[int]) -> Iterator[tuple[int, int, int, int, datetime]]:
    """(node, slots, spec, open members, since when the present one runs) on these nodes."""
    rows = Attempt.objects.filter(finished_at=None, node__in=nodes).order_by()
    bundles = rows.values_list("node", "bundle", "slots", "job__spec").annotate(
        Count("id"), Max("started_at"), Min("claimed_at")
    )
    for node, _bundle, slots, spec, count, started_at, claimed_at in bundles:
        yield node, slots, spec, count, started_at or claimed_at


def can_be_met(need: placement.Need, views: Sequence[NodeView]) -> bool:
    """Now, by some node."""
    return any(placement.why_not(need, view) is None for view in views)


def ready_jobs(now: datetime, needs: Collection[int], most: int) -> list[Ready]:
    """The most urgent ready jobs with these needs."""
    found = [read_ready(now, need, most) for need in needs]
    merged = heapq.merge(*found, key=lambda job: job.rank)
    return list(itertools.islice(merged, most))


def count_ready(now: datetime, needs: Collection[int], most: int) -> int:
    """How many there are, if not more than `most`."""
    return Job.objects.ready(now).filter(need__in=needs).order_by()[:most].count()


def read_ready(now: datetime, need: int, most: int) -> list[Ready]:
    """In the order of the index job_ready, which SQLite would not always take of itself."""
    locks = connection.features.has_select_for_update
    index, lock = ("", "FOR UPDATE SKIP LOCKED") if locks else ("INDEXED BY job_ready", "")
    sql = (
        "SELECT id, spec_id, need_id, priority, run_at, tried, node_id, on_lost, strategy, args"  # noqa: S608
        f" FROM jobs_job {index} WHERE need_id = %s AND {READY}"
        f" ORDER BY priority DESC, run_at, id LIMIT %s {lock}"
    )
    moment = connection.ops.adapt_datetimefield_value(now)
    return [Ready(*row) for row in select(sql, [need, moment, most])]


def pack(
    jobs: list[Ready], needs: dict[int, placement.Need], views: list[NodeView],
    strategy: str, times: RunTimes, remaining: int, first: bool,
) -> Iterator[Bundle]:  # fmt: skip
    """Give the most urgent job to its best node, let its likes ride along, and so on.

    `remaining`: ready jobs, also those not among `jobs`. `first`: nothing came back for a while.
    """
    slots = sum(view.slots for view in views if view.online)
    free = sum(view.free for view in views if view.online)
    speeds = {view.id: view.speed for view in views}
    placer, expecting = Placer(views), cache(lambda spec: times.expecting(spec, speeds))
    taken: set[int] = set()
    full: set[tuple[int, str]] = set()  # (need, strategy) that no node can take any more
    for position, job in enumerate(jobs):
        name = job.strategy or strategy
        if job.id in taken or (job.need, name) in full:
            continue
        need = needs[job.need]
        last = job.node if job.tried else None  # another node this time, where there is a choice
        choice = placer.place(need, name, expecting(job.spec), job.spec, last)
        if choice is None:
            full.add((job.need, name))
            continue
        if not choice.now:
            continue  # it waits for a node that will have done it sooner than any free one
        mean = times.pace(job.spec, choice.node.id)
        size = 1 if job.on_lost == OnLost.FAIL else bundles.size(mean, remaining, slots, first)
        members = riders(jobs, position, taken, size)
        taken.update(member.id for member in members)
        remaining -= len(members)
        yield Bundle(secrets.randbits(62), choice, need.slots, members)
        free -= need.slots
        if free <= 0:
            return


def riders(jobs: list[Ready], position: int, taken: set[int], size: int) -> list[Ready]:
    """The job at `position` and up to size - 1 of its likes behind it."""
    first = jobs[position]
    members, weight = [first], len(first.args)
    for job in jobs[position + 1 :] if size > 1 else ():
        weight += len(job.args)
        if len(members) == size or weight > HEAVIEST:
            break
        if job.id not in taken and job.likeness == first.likeness:
            members.append(job)
    return members


def open_attempts(packed: list[Bundle], now: datetime) -> None:
    if not packed:
        return
    insert_rows(Attempt, ATTEMPT_OPENED, (row for b in packed for row in attempt_rows(b, now)))
    numbers = [bundle.id for bundle in packed]
    opened = f"a.finished_at IS NULL AND a.bundle IN ({marks(numbers)})"
    attempt_of = dict(select(f"SELECT job_id, id FROM jobs_attempt a WHERE {opened}", numbers))  # noqa: S608
    for bundle in packed:
        bundle.attempts = {job.id: attempt_of[job.id] for job in bundle.jobs}
    # What its last attempt failed by is past; a job's first attempt has nothing to forget.
    forget = ", failure = NULL" if any(job.tried for b in packed for job in b.jobs) else ""
    sql = (
        "UPDATE jobs_job SET state = 'running', tried = a.number, node_id = a.node_id,"  # noqa: S608
        f" started_at = NULL{forget} FROM jobs_attempt a"
        f" WHERE jobs_job.id = a.job_id AND {opened}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, numbers)
    update_rows(Node, ["last_claim_at"], {(now, bundle.node) for bundle in packed})
    events.note_opened(numbers, now)


def attempt_rows(bundle: Bundle, now: datetime) -> Iterator[tuple[Any, ...]]:
    receipt = json.dumps({**bundle.choice.receipt, "bundle_size": len(bundle.jobs)})
    for job in bundle.jobs:
        yield (job.id, job.tried + 1, bundle.node, bundle.id, bundle.slots, receipt, now, "", "",
               "", 0, 0)  # fmt: skip

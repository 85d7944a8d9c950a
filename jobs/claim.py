"""The claim: take ready jobs under lock, place them, open attempts, commit. Sending comes after."""

import heapq
import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, F

from cluster import fleet, placement
from cluster.models import Node
from cluster.placement import Choice, NodeView
from cluster.strategies import STRATEGIES
from jobs import bundles, events, lease
from jobs.models import Attempt, Job, Need, OnLost, State
from jobs.rows import insert_rows, update_rows

MOST = 1000  # jobs looked at in one pass
HEAVIEST = 4_000_000  # characters of arguments in one bundle: a frame ends at 16 MB
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
    run_at: datetime
    tried: int
    node: int | None  # where it ran last
    on_lost: str
    strategy: str
    args: str

    @property
    def rank(self) -> tuple[int, datetime, int]:
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
    jobs: list[Ready]
    attempts: dict[int, int] = field(default_factory=dict)  # job -> attempt

    @property
    def node(self) -> int:
        return self.choice.node.id


def claim(
    epoch: int, now: datetime, strategy: str, times: bundles.RunTimes,
    refused: set[int], most: int = MOST,
) -> list[Bundle]:  # fmt: skip
    """Open one attempt for each ready job that a node can take now.

    `refused`: nodes that just turned a bundle away and rest for a moment.
    """
    with transaction.atomic():
        lease.fence("dispatcher", epoch)
        views = [view for view in fleet.views(busy()) if view.id not in refused]
        if not any(view.online and view.free for view in views):
            return []
        jobs, needs = ready_jobs(now, views, most)
        packed = list(pack(jobs, needs, views, strategy, times))
        open_attempts(packed, now)
    return packed


def busy() -> dict[int, int]:
    """Slots taken, by node: each open bundle takes one."""
    rows = Attempt.objects.filter(finished_at=None).order_by()
    return dict(rows.values_list("node").annotate(Count("bundle", distinct=True)))


def ready_jobs(
    now: datetime, views: Sequence[NodeView], most: int
) -> tuple[list[Ready], dict[int, placement.Need]]:
    """The most urgent ready jobs, leaving aside needs that no node can meet now."""
    needs = {row.pk: placement.need_of(row.body) for row in Need.objects.all()}
    found = [
        read_ready(now, pk, most)
        for pk, need in needs.items()
        if any(placement.why_not(need, view) is None for view in views)
    ]
    merged = heapq.merge(*found, key=lambda job: job.rank)
    return [job for job, _ in zip(merged, range(most), strict=False)], needs


def read_ready(now: datetime, need: int, most: int) -> list[Ready]:
    rows = Job.objects.ready(now).filter(need=need).select_for_update(skip_locked=True)
    columns = (
        "id",
        "spec",
        "need",
        "priority",
        "run_at",
        "tried",
        "node",
        "on_lost",
        "strategy",
        "args",
    )
    return [Ready(*row) for row in rows.values_list(*columns)[:most]]


def pack(
    jobs: list[Ready], needs: dict[int, placement.Need], views: list[NodeView],
    strategy: str, times: bundles.RunTimes,
) -> Iterator[Bundle]:  # fmt: skip
    """Give the most urgent job to its best node, let its likes ride along, and so on."""
    slots = sum(view.slots for view in views if view.online)
    waiting = Counter((job.spec, job.priority) for job in jobs)
    taken: set[int] = set()
    full: set[tuple[int, str]] = set()  # (need, strategy) that no node can take any more
    for position, job in enumerate(jobs):
        name = job.strategy or strategy
        if job.id in taken or (job.need, name) in full:
            continue
        choice = choose(job, needs[job.need], views, name)
        if choice is None:
            full.add((job.need, name))
            continue
        group = (job.spec, job.priority)
        mean = times.get(job.spec, choice.node.id)
        size = 1 if job.on_lost == OnLost.FAIL else bundles.size(mean, waiting[group], slots)
        members = riders(jobs, position, taken, size)
        taken.update(member.id for member in members)
        waiting[group] -= len(members)
        choice.node.busy += 1
        choice.node.placed += 1
        yield Bundle(secrets.randbits(62), choice, members)


def choose(job: Ready, need: placement.Need, views: list[NodeView], name: str) -> Choice | None:
    """The best node; one that is not the last attempt's where there is a choice."""
    if job.tried and job.node:
        others = [view for view in views if view.id != job.node]
        if choice := placement.choose(need, others, STRATEGIES[name], name):
            return choice
    return placement.choose(need, views, STRATEGIES[name], name)


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
    ids = Attempt.objects.filter(bundle__in=[b.id for b in packed], finished_at=None)
    attempt_of = dict(ids.values_list("job", "id"))
    for bundle in packed:
        bundle.attempts = {job.id: attempt_of[job.id] for job in bundle.jobs}
        Job.objects.filter(pk__in=bundle.attempts).update(
            state=State.RUNNING, tried=F("tried") + 1, node=bundle.node, started_at=None
        )
    update_rows(Node, ["last_claim_at"], {(now, bundle.node) for bundle in packed})
    events.note_rows(
        (job.id, now, "running", job.tried + 1, events.DISPATCHER, f"sent to {b.choice.node.name}")
        for b in packed
        for job in b.jobs
    )


def attempt_rows(bundle: Bundle, now: datetime) -> Iterator[tuple[Any, ...]]:
    receipt = json.dumps({**bundle.choice.receipt, "bundle_size": len(bundle.jobs)})
    for job in bundle.jobs:
        yield job.id, job.tried + 1, bundle.node, bundle.id, 1, receipt, now, "", "", "", 0, 0

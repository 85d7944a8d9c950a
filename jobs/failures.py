"""Failures put together by what they have in common: how often, where, of which work."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cluster.models import Node
from jobs import failure_tally, fingerprint
from jobs.models import Attempt, Job, JobQuerySet, Outcome, Spec, State

DIGEST = re.compile(f"[0-9a-f]{{{fingerprint.LENGTH}}}")
DAYS = (1, 7, 30)  # that can be looked back on
MOST_GROUPS = 50
MOSTLY = 0.9  # of the failures on one node …
ENOUGH = 10  # … of that many, at least: "almost all"
NAMED: dict[str, tuple[Any, str]] = {"node": (Node, "name"), "spec": (Spec, "title")}


@dataclass
class Share:
    """So many of a group's failures were on this node, or of this spec."""

    pk: int
    name: str
    count: int


@dataclass
class Group:
    """Attempts that failed in the same way."""

    fingerprint: str
    count: int  # attempts
    jobs: int
    first_at: datetime
    example: Attempt  # the newest; its job, spec and node are read
    failed: int = 0  # of these jobs, those that stand as failed because of it
    yours: int = 0  # of them, those that the asking user may requeue
    nodes: list[Share] = field(default_factory=list)  # most failures first
    specs: list[Share] = field(default_factory=list)

    @cached_property
    def title(self) -> str:
        told = self.example
        outcome = str(told.outcome)
        return fingerprint.cause(outcome, told.error_type, told.error, told.traceback).title

    @property
    def last_at(self) -> datetime:
        return self.example.finished_at or self.first_at

    @property
    def lost(self) -> bool:
        return self.example.outcome == Outcome.LOST


def since(days: int, now: datetime) -> datetime:
    """From when on failures count: the full hour a day ago; of several days, the midnight (UTC)."""
    start = (now - timedelta(days=days)).timestamp()
    step = 3600 if days == 1 else 86400
    return datetime.fromtimestamp(start // step * step, UTC)


def groups(
    start: datetime, owner: int | None = None, most: int = MOST_GROUPS, only: str = ""
) -> list[Group]:
    """The groups of failures since then, the most frequent first: seven statements at most.

    start: as `since` has it. owner: the user whose jobs count as `yours`; None:
    everybody's do.
    """
    told = failure_tally.most_frequent(start, most, only)
    newest = Attempt.objects.select_related("job__spec", "node").defer("placement", "job__result")
    examples = newest.in_bulk([each.newest for each in told])
    # One that was deleted in between is not shown.
    found = {
        each.fingerprint: Group(each.fingerprint, each.attempts, each.jobs, each.first_at, example)
        for each in told
        if (example := examples.get(each.newest))
    }
    if found:
        for digest, counts in failure_tally.still_failed(start, list(found), owner).items():
            found[digest].failed, found[digest].yours = counts
        specs, nodes = shares("spec", start, found), shares("node", start, found)
        for digest, group in found.items():
            group.specs, group.nodes = specs.get(digest, []), nodes.get(digest, [])
    return list(found.values())


def shares(name: str, start: datetime, digests: Collection[str]) -> dict[str, list[Share]]:
    """Fingerprint -> nodes or specs with their attempts, most first."""
    rows = failure_tally.shares(name, start, list(digests))
    model, words = NAMED[name]
    known = model._default_manager.filter(pk__in={pk for _digest, pk, _count in rows})
    names = dict(known.values_list("pk", words))
    found = defaultdict(list)
    for digest, pk, count in rows:
        found[digest].append(Share(pk, names.get(pk, "–"), count))
    for each in found.values():
        each.sort(key=lambda share: (-share.count, share.name))
    return found


def with_failure(jobs: JobQuerySet, digests: Collection[str]) -> JobQuerySet:
    """Those whose last attempt ended in this way, unless they were requeued since."""
    return jobs.filter(failure__in=digests)


def failed_jobs(digest: str, start: datetime) -> JobQuerySet:
    """What a group's requeue concerns: the jobs that it left failed since then."""
    failed = Job.objects.filter(state=State.FAILED, finished_at__gte=start)
    return with_failure(failed, [digest])


def nodes_in_all() -> int:
    return Node.objects.filter(removed_at=None).count()


def whose_fault(group: Group, in_all: int) -> str:
    """What the nodes of a group say about its cause, in words."""
    if not group.nodes:
        return ""
    most, count = group.nodes[0], group.count
    if group.lost:
        words = ngettext(
            "The node or the way to it, not the job: %(nodes)s of %(all)s node.",
            "The nodes or the way to them, not the jobs: %(nodes)s of %(all)s nodes.",
            in_all,
        )
        return words % {"nodes": len(group.nodes), "all": max(in_all, len(group.nodes))}
    if in_all < 2 and len(group.nodes) == 1:
        return _("There is only one node: nothing tells the machine from the code.")
    if count == 1:
        return _("Once, on %(node)s: too little to tell the machine from the code.") % {
            "node": most.name
        }
    if len(group.nodes) == 1:
        return _("Only on %(node)s: look at that machine first.") % {"node": most.name}
    if count >= ENOUGH and most.count >= MOSTLY * count:
        words = _("Almost all on %(node)s (%(part)s of %(count)s): look at that machine first.")
        return words % {"node": most.name, "part": most.count, "count": count}
    words = _("On %(nodes)s of %(all)s nodes: look at the code, or at what they all depend on.")
    return words % {"nodes": len(group.nodes), "all": max(in_all, len(group.nodes))}

"""Failures put together by what they have in common: how often, where, of which work."""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Value, When
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cluster.models import Node
from jobs import fingerprint
from jobs.models import Attempt, Job, JobQuerySet, Outcome, Spec, State

DIGEST = re.compile(f"[0-9a-f]{{{fingerprint.LENGTH}}}")
DAYS = (1, 7, 30)  # that can be looked back on
MOST_GROUPS = 50
MOSTLY = 0.9  # of the failures on one node …
ENOUGH = 10  # … of that many, at least: "almost all"


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
    first_at: datetime
    last_at: datetime
    example: Attempt  # the newest; its job, spec and node are read
    jobs: int = 0
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
    def lost(self) -> bool:
        return self.example.outcome == Outcome.LOST


def since(days: int, now: datetime) -> datetime:
    return now - timedelta(days=days)


def groups(
    start: datetime, owner: int | None = None, most: int = MOST_GROUPS, only: str = ""
) -> list[Group]:
    """The groups of failures since then, the most frequent first: seven statements at most.

    owner: the user whose jobs count as `yours`; None: everybody's do.
    """
    failed = Attempt.objects.filter(fingerprint__isnull=False, finished_at__gte=start).order_by()
    if only:
        failed = failed.filter(fingerprint=only)
    counted = failed.values("fingerprint").annotate(
        count=Count("*"), first_at=Min("finished_at"), last_at=Max("finished_at")
    )
    rows: list[Any] = list(counted.order_by("-count", "-last_at")[:most])
    examples = newest({row["fingerprint"]: row["last_at"] for row in rows})
    # One that was deleted in between is not shown.
    found = {
        row["fingerprint"]: Group(**row, example=examples[row["fingerprint"]])
        for row in rows
        if row["fingerprint"] in examples
    }
    failed = failed.filter(fingerprint__in=list(found))
    if found:
        add_specs(found, failed, owner)
        add_nodes(found, failed)
    return list(found.values())


def newest(last: dict[str, datetime]) -> dict[str, Attempt]:
    """One attempt of each group: that which ended at the moment given."""
    if not last:
        return {}
    which = Q()
    for digest, moment in last.items():
        which |= Q(fingerprint=digest, finished_at=moment)
    attempts = Attempt.objects.filter(which).select_related("job__spec", "node").order_by("pk")
    return {
        str(attempt.fingerprint): attempt for attempt in attempts.defer("placement", "job__result")
    }


def add_specs(found: dict[str, Group], failed: QuerySet[Attempt], owner: int | None) -> None:
    """What was running, how many jobs it concerned, and how many of them it left failed."""
    stands = Q(job__state=State.FAILED, number=F("job__tried"))
    theirs = stands if owner is None else stands & Q(job__owner=owner)
    rows: Any = failed.values_list("fingerprint", "job__spec").annotate(
        attempts=Count("*"),
        jobs=Count("job", distinct=True),
        stand=Count(Case(When(stands, Value(1)))),
        yours=Count(Case(When(theirs, Value(1)))),
    )
    shares = defaultdict(list)
    for digest, spec, count, jobs, stand, yours in rows:
        group = found[digest]
        group.jobs, group.failed = group.jobs + jobs, group.failed + stand
        group.yours += yours
        shares[digest].append((count, spec))
    names = names_of(Spec, "title", shares.values())
    for digest, group in found.items():
        group.specs = in_order(shares[digest], names)


def add_nodes(found: dict[str, Group], failed: QuerySet[Attempt]) -> None:
    shares = defaultdict(list)
    rows: Any = failed.values_list("fingerprint", "node").annotate(attempts=Count("*"))
    for digest, node, count in rows:
        shares[digest].append((count, node))
    names = names_of(Node, "name", shares.values())
    for digest, group in found.items():
        group.nodes = in_order(shares[digest], names)


def names_of(model: Any, name: str, shares: Collection[list[tuple[int, int]]]) -> dict[int, str]:
    wanted = {pk for each in shares for _count, pk in each}
    return dict(model._default_manager.filter(pk__in=wanted).values_list("pk", name))


def in_order(shares: list[tuple[int, int]], names: dict[int, str]) -> list[Share]:
    found = [Share(pk, names.get(pk, "–"), count) for count, pk in shares]
    return sorted(found, key=lambda share: (-share.count, share.name))


def with_failure(jobs: JobQuerySet, digests: Collection[str]) -> JobQuerySet:
    """Those whose last attempt ended in this way: each job has one last attempt.

    As a set of their own: joined, SQLite would look at the attempts of all jobs that ended.
    """
    last = Attempt.objects.filter(fingerprint__in=digests, number=F("job__tried"))
    return jobs.filter(pk__in=last.order_by().values("job"))


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

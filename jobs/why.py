"""Why a job stands where it stands: its place, each node against each test, what would help."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from cluster import fleet, placement
from cluster.placement import TESTS, Need, NodeView
from cluster.wording import said, told_receipt
from jobs import claim, lease, reasons, runtimes
from jobs.models import Job, State
from jobs.models import Need as NeedRow
from jobs.runtimes import Stat

FAR = 1000  # in the queue: beyond, we do not count

# What would start it on a node that fails one test only; the cheapest to do comes first.
CHANGES = {
    "tags": lambda need, node: (
        _("Give %(node)s the tag %(tags)s.")
        % {"node": node.name, "tags": ", ".join(sorted(need.tags - node.tags))}
    ),
    "draining": lambda need, node: _("Resume %(node)s: it is draining.") % {"node": node.name},
    "breaker": lambda need, node: (
        _("Reset the breaker of %(node)s, or wait until its test job succeeds.")
        % {"node": node.name}
    ),
    "online": lambda need, node: (
        _("Bring %(node)s back: its agent does not answer.") % {"node": node.name}
    ),
    "memory": lambda need, node: (
        _("Free memory on %(node)s, or ask for less than %(mb)s MB.")
        % {"node": node.name, "mb": need.memory_mb}
    ),
    "wanted": lambda need, node: _("Let it run on %(node)s, too.") % {"node": node.name},
    "excluded": lambda need, node: _("Do not exclude %(node)s.") % {"node": node.name},
    "size": lambda need, node: _("Ask for no more than %(node)s has.") % {"node": node.name},
}


def explain(job: Job, now: datetime, views: Sequence[NodeView]) -> dict[str, Any]:
    """As GET /api/jobs/{id}/why tells it. Needs job.need, job.spec and job.node at hand.

    `views`: what `standing` returns for this job.
    """
    queued = job.state == State.QUEUED
    need = placement.need_of(job.need.body)
    nodes = [against(need, view) for view in views]
    ahead = place_in_queue(job, now) if queued and is_ready(job, now) else None
    return {
        "state": job.state,
        "summary": summary(job, now, views, ahead),
        "position": None if ahead is None else ahead + 1,
        "nodes": nodes,
        "change": change(job, need, views, now) if queued else None,
        "expected_start": expected_start(job, need, views, ahead, now),
        "receipt": None if queued else receipt(job),
    }


def standing(job: Job) -> list[NodeView]:
    """The nodes as they are for a job that is queued; none for another."""
    if job.state != State.QUEUED:
        return []
    views = fleet.views(claim.busy())
    if job.need.body.get("memory_mb"):
        needs = {row.pk: placement.need_of(row.body) for row in NeedRow.objects.all()}
        claim.promise_memory(views, needs)
    return views


def against(need: Need, view: NodeView) -> dict[str, Any]:
    """One node, test by test."""
    tests = []
    for test in TESTS:
        reason = test.reason(need, view)
        words = said(reason or test.value(need, view))
        tests.append({"name": test.name, "ok": reason is None, "now": words})
    reasons_ = [test["now"] for test in tests if not test["ok"]]
    return {"name": view.name, "fits": not reasons_, "reasons": reasons_, "tests": tests}


def is_ready(job: Job, now: datetime) -> bool:
    return not job.held and not job.waits and job.run_at <= now


def place_in_queue(job: Job, now: datetime) -> int:
    """How many ready jobs come before it, up to FAR."""
    return ready_before(job, now)[:FAR].count()


def ready_before(job: Job, now: datetime) -> Any:
    sooner = Q(run_at__lt=job.run_at) | Q(run_at=job.run_at, pk__lt=job.pk)
    before = Q(priority__gt=job.priority) | Q(priority=job.priority) & sooner
    return Job.objects.ready(now).filter(before).order_by()


def summary(job: Job, now: datetime, views: Sequence[NodeView], ahead: int | None) -> str:
    line = reasons.reason(job, now, views)
    if job.state == State.RUNNING and job.node:
        line = line or _("running on %(node)s") % {"node": job.node.name}
    if ahead is None:
        return line
    if ahead >= FAR:
        return _("%(line)s; more than %(count)s jobs come first") % {"line": line, "count": FAR}
    return _("%(line)s; place %(place)s in the queue") % {"line": line, "place": ahead + 1}


def change(job: Job, need: Need, views: Sequence[NodeView], now: datetime) -> str | None:
    """The single change that would start it; None where it only has to wait."""
    holder = lease.holder("dispatcher", now)
    if holder is None:
        return _("Start the dispatcher: it is not running.")
    if holder.note:
        return said(holder.note)
    if job.held:
        return _("Let it go: somebody holds it.")
    if job.waits:
        return None
    if job.run_at > now:
        return None if job.tried else _("Set its run_at to now.")
    if not views:
        return _("Add a node: none is known yet.")
    failing = [(view, failed(need, view)) for view in views]
    if any(names <= {"slots"} for _view, names in failing):
        return None  # it only has to wait for a slot
    for name, words in CHANGES.items():
        for view, names in failing:
            if names - {"slots"} == {name}:
                return words(need, view)
    return None


def failed(need: Need, view: NodeView) -> set[str]:
    names = {test.name for test in TESTS if test.reason(need, view)}
    return names - {"slots"} if "size" in names else names


@dataclass(frozen=True)
class Work:
    """Seconds of work, and of the longest piece in it, as a range."""

    low: float = 0.0
    high: float = 0.0
    longest_low: float = 0.0
    longest_high: float = 0.0

    def plus(self, count: float, low: float, high: float) -> "Work":
        return Work(
            self.low + count * low,
            self.high + count * high,
            max(self.longest_low, low),
            max(self.longest_high, high),
        )


def expected_start(
    job: Job, need: Need, views: Sequence[NodeView], ahead: int | None, now: datetime
) -> dict[str, datetime] | None:
    """Between when and when it will start, if the run times of all before it are known.

    With S slots, list scheduling starts it no sooner than (work - (S - 1) x longest) / S and no
    later than work / S (Graham, 1969).
    """
    if ahead is None or ahead >= FAR:
        return None
    able = [v for v in views if v.online and not (v.draining or v.breaker)]
    able = [v for v in able if placement.never(need, v) is None]
    slots = sum(view.slots for view in able)
    if not slots:
        return None
    if not ahead and any(placement.why_not(need, view) is None for view in able):
        return {"earliest": now, "latest": now}
    waiting = Counter(dict(ready_before(job, now).values_list("spec").annotate(Count("id"))))
    running = list(claim.running_bundles([view.id for view in able]))
    known = runtimes.of_specs({*waiting, *(spec for _node, _slots, spec, *_ in running)})
    work = Work()
    for spec, count in waiting.items():
        if not known.get(spec):
            return None
        work = work.plus(count, *span(known[spec]))
    for _node, _slots, spec, count, since in running:
        if not known.get(spec):
            return None
        low, high = span(known[spec])
        gone = (now - since).total_seconds() / count
        work = work.plus(count, max(0.0, low - gone), max(0.0, high - gone))
    sooner = max(0.0, (work.low - (slots - 1) * work.longest_high) / slots)
    later = work.high / slots
    return {
        "earliest": now + timedelta(seconds=sooner), "latest": now + timedelta(seconds=later)
    }  # fmt: skip


def span(by_node: Mapping[int, Stat]) -> tuple[float, float]:
    """From the fastest node's lower to the slowest node's upper bound, weighted to the middle."""
    spans = [stat.span() for stat in by_node.values()]
    low = math.exp(sum(math.log(low) for low, _high in spans) / len(spans))
    high = math.exp(sum(math.log(high) for _low, high in spans) / len(spans))
    return low, high


def receipt(job: Job) -> dict[str, Any] | None:
    """Why the last attempt went where it went."""
    last = job.attempts.select_related("node").order_by("-number").first()
    if last is None:
        return None
    return {"attempt": last.number, "node": last.node.name, **told_receipt(last.placement)}

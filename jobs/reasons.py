"""Why a job stands where it stands, in words."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from cluster import placement
from cluster.placement import NodeView
from cluster.wording import said
from jobs.models import Job, State


def reason(job: Job, now: datetime, views: Sequence[NodeView]) -> str:
    """One line; empty where the state says it all. Uses job.need, so select it with the job."""
    if job.state == State.QUEUED:
        return waiting(job, now, views)
    if job.state == State.RUNNING:
        if job.cancel_requested_at:
            return _("being cancelled")
        return "" if job.started_at else _("sent to its node")
    return job.error.split("\n", 1)[0] if job.state != State.SUCCEEDED else ""


def waiting(job: Job, now: datetime, views: Sequence[NodeView]) -> str:
    if job.held:
        return _("held")
    if job.waits:
        return _("waits for %(count)s other jobs") % {"count": job.waits}
    if job.run_at > now:
        moment = date_format(localtime(job.run_at), "DATETIME_FORMAT")
        if job.tried:
            return _("retrying at %(moment)s") % {"moment": moment}
        return _("scheduled for %(moment)s") % {"moment": moment}
    need = placement.need_of(job.need.body)
    if not views:
        return _("waiting for a node: none is known yet")
    able = [view for view in views if placement.never(need, view) is None]
    if not able:
        return _("no known node can take it: %(why)s") % {"why": told(views, need, placement.never)}
    up = [view for view in able if view.online and not (view.draining or view.breaker)]
    if not up:
        return _("waiting for a node: %(why)s") % {"why": told(able, need, placement.why_not)}
    if any(view.free >= need.slots for view in up) and need.memory_mb:
        return _("waiting for memory: %(why)s") % {"why": told(up, need, placement.why_not)}
    return _("waiting for a free slot")


def told(views: Sequence[NodeView], need: placement.Need, ask: placement.Tell) -> str:
    """The first few nodes, each with what is in the way."""
    found = [f"{view.name}: {said(words)}" for view in views if (words := ask(need, view))]
    return "; ".join([*found[:3], "…"] if len(found) > 3 else found)

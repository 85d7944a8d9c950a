"""Why a job stands where it stands, in words."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from cluster import placement
from cluster.placement import NodeView
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
    if not placement.possible(need, views):
        return _("no known node can take it: %(why)s") % {"why": never_line(need, views)}
    if not any(view.online for view in views if placement.never(need, view) is None):
        return _("waiting for a node: none that can take it is online")
    return _("waiting for a free slot")


def never_line(need: placement.Need, views: Sequence[NodeView]) -> str:
    return "; ".join(f"{view.name}: {placement.never(need, view)}" for view in views[:3])

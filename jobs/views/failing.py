"""Failures by what they have in common: the groups, and one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from jobs import failures
from jobs.console import last_lines
from jobs.failures import Group
from jobs.models import Attempt
from jobs.views.access import user_of

RANGES = {
    1: gettext_lazy("last 24 hours"),
    7: gettext_lazy("last 7 days"),
    30: gettext_lazy("last 30 days"),
}
USUAL = 7
FEW = 3  # nodes and specs named in the table
LATEST = 20
BRIEF = 5


@dataclass
class Row:
    """A group as the pages show it."""

    group: Group
    blame: str
    jobs: str  # the job list's filter for its jobs
    failed: str  # … for those that are failed because of it

    @property
    def few_nodes(self) -> list[failures.Share]:
        return self.group.nodes[:FEW]

    @property
    def few_specs(self) -> list[failures.Share]:
        return self.group.specs[:FEW]

    @property
    def more_nodes(self) -> int:
        return max(0, len(self.group.nodes) - FEW)

    @property
    def more_specs(self) -> int:
        return max(0, len(self.group.specs) - FEW)


def days_of(request: HttpRequest) -> int:
    text = request.GET.get("days", "")
    return int(text) if text.isdecimal() and text in map(str, failures.DAYS) else USUAL


def asking(user: User) -> int | None:
    """Whose jobs can be requeued: None for everybody's."""
    return None if user.is_staff else user.pk


def rows_of(found: Sequence[Group], start: datetime) -> list[Row]:
    in_all = failures.nodes_in_all() if found else 0
    return [row_of(group, in_all, start) for group in found]


def row_of(group: Group, in_all: int, start: datetime) -> Row:
    jobs = f"failure={group.fingerprint}"
    failed = f"{jobs}&state=failed&ended={start:%Y-%m-%dT%H:%MZ}"  # those that were counted
    return Row(group, failures.whose_fault(group, in_all), jobs, failed)


def brief(now: datetime, user: User) -> dict[str, Any]:
    """For monitoring/_failures.html: the last day's most frequent, in at most eight statements."""
    start = failures.since(1, now)
    found = failures.groups(start, asking(user), BRIEF)
    return {"failure_rows": rows_of(found, start)}


@require_safe
def failures_page(request: HttpRequest) -> HttpResponse:
    days, now = days_of(request), timezone.now()
    most, start = failures.MOST_GROUPS, failures.since(days, now)
    found = failures.groups(start, asking(user_of(request)), most + 1)
    context = {
        "rows": rows_of(found[:most], start),
        "start": start,
        "more": len(found) > most,
        "most": most,
        "days": days,
        "ranges": RANGES,
    }
    live = request.path.startswith("/live/")
    return render(request, "jobs/_failures.html" if live else "jobs/failures.html", context)


@require_safe
def failure_page(request: HttpRequest, digest: str) -> HttpResponse:
    days, now = days_of(request), timezone.now()
    start, owner = failures.since(days, now), asking(user_of(request))
    latest = Attempt.objects.filter(fingerprint=digest).order_by("-finished_at", "-id")
    latest = latest.select_related("job__spec", "node").defer("placement", "job__result")
    attempts = list(latest[:LATEST]) if failures.DIGEST.fullmatch(digest) else []
    if not attempts:
        raise Http404(_("No attempt that is kept failed in this way."))
    found = failures.groups(start, owner, 1, digest)
    empty = Group(digest, 0, 0, now, attempts[0])
    row = rows_of(found, start)[0] if found else row_of(empty, 0, start)
    context = {
        "row": row,
        "group": row.group,
        "example": row.group.example,
        "tail": last_lines(row.group.example, "stderr"),
        "attempts": attempts,
        "start": start,
        "days": days,
        "ranges": RANGES,
    }
    return render(request, "jobs/failure.html", context)

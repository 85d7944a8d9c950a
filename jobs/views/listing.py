"""The job list: filters in the URL, pages by key, actions on many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from cluster import fleet
from cluster.models import Node
from cluster.placement import NodeView
from jobs import cleanup, counts, lifecycle
from jobs.claim import busy
from jobs.filters import REASONS, BadFilter, filtered
from jobs.models import FINAL_STATES, OPEN_STATES, Job, JobQuerySet, Kind, Need, State
from jobs.reasons import reason
from jobs.templatetags.show import shown_state
from jobs.views.access import changeable, name_of

PAGE = 50
MOST_NEWS = 1000  # new jobs that are counted
KEPT = (
    "q", "kind", "owner", "node", "tag", "sweep", "spec", "failure", "age", "ended", "since",
    "until",
)  # fmt: skip
AGES = {
    "1h": (timedelta(hours=1), gettext_lazy("last hour")),
    "24h": (timedelta(hours=24), gettext_lazy("last 24 hours")),
    "7d": (timedelta(days=7), gettext_lazy("last 7 days")),
    "30d": (timedelta(days=30), gettext_lazy("last 30 days")),
}
ROW = ("id", "name", "state", "held", "waits", "run_at", "tried", "max_attempts", "charged",
       "priority", "cancel_requested_at", "created_at", "started_at", "finished_at",
       "run_seconds", "error", "args", "sweep_id", "spec__title", "spec__kind", "need__body",
       "owner__username", "node__name")  # fmt: skip


@dataclass
class Row:
    """A job as the list shows it."""

    job: Job
    shown: str  # the state in finer words
    reason: str
    final: bool


@dataclass
class Page:
    rows: list[Row]
    older: int | None  # the key to go on from
    newer: int | None
    newest: int


def rows_of(jobs: Sequence[Job], now: datetime, views: Sequence[NodeView]) -> list[Row]:
    return [
        Row(job, shown_state(job, now), reason(job, now, views), job.state in FINAL_STATES)
        for job in jobs
    ]


def with_parts(jobs: JobQuerySet) -> JobQuerySet:
    """With everything a row shows, in one statement and without results and sources."""
    return jobs.select_related("spec", "need", "owner", "node").only(*ROW)


def selected(params: QueryDict, now: datetime) -> JobQuerySet:
    """The jobs of the URL's filters: the API's words, and the pages' spans of time and tags."""
    params = params.copy()
    for name in [name for name in params if not any(params.getlist(name))]:
        del params[name]
    jobs = filtered(params, now)
    if age := AGES.get(params.get("age", "")):
        jobs = jobs.filter(created_at__gte=now - age[0])
    if ended := AGES.get(params.get("ended", "")):
        jobs = jobs.filter(state__in=FINAL_STATES, finished_at__gte=now - ended[0])
    if tags := set(params.getlist("tag")):
        needs = Need.objects.values_list("id", "body")
        jobs = jobs.filter(need__in=[pk for pk, body in needs if tags & set(body.get("tags", ()))])
    return jobs


def without(params: QueryDict, *names: str) -> QueryDict:
    params = params.copy()
    for name in names:
        params.pop(name, None)
    return params


def key(params: QueryDict, name: str) -> int | None:
    text = params.get(name, "")
    return int(text) if text.isdigit() and len(text) < 19 else None


def page_of(jobs: JobQuerySet, params: QueryDict, now: datetime) -> Page:
    """Fifty jobs, newest first, from the key on that the URL names."""
    before, after = key(params, "before"), key(params, "after")
    jobs = with_parts(jobs)
    if after is not None:
        found = list(jobs.filter(pk__gt=after).order_by("id")[: PAGE + 1])
        more_newer, more_older = len(found) > PAGE, True
        found = found[:PAGE][::-1]
    else:
        part = jobs.filter(pk__lt=before) if before is not None else jobs
        found = list(part.order_by("-id")[: PAGE + 1])
        more_newer, more_older = before is not None, len(found) > PAGE
        found = found[:PAGE]
    rows = rows_of(found, now, fleet.views(busy()))
    ids = [job.pk for job in found]
    return Page(
        rows=rows,
        older=ids[-1] if ids and more_older else None,
        newer=ids[0] if ids and more_newer else None,
        newest=ids[0] if ids else before or after or 0,
    )


def state_chips(jobs: JobQuerySet, params: QueryDict) -> list[dict[str, Any]]:
    """Each state with its count and the URL that chooses it or lets it go."""
    chosen = params.getlist("state")
    chips = []
    for state, count in counts.by_state(jobs).items():
        on = state in chosen
        query = without(params, "state", "reason", "before", "after", "ids", "known", "newest")
        query.setlist("state", [s for s in chosen if s != state] if on else [*chosen, state])
        chips.append({"state": state, "count": count, "on": on, "query": query.urlencode()})
    return chips


def total(chips: list[dict[str, Any]], params: QueryDict) -> int:
    """How many jobs match in all, out of the chips' counts."""
    chosen = any(chip["on"] for chip in chips)
    return sum(chip["count"] for chip in chips if chip["on"] or not chosen)


@require_safe
def jobs_page(request: HttpRequest) -> HttpResponse:
    now, params, problem = timezone.now(), request.GET, ""
    try:
        jobs, chip_jobs = selected(params, now), selected(without(params, "state", "reason"), now)
    except BadFilter as bad:
        problem = f"{bad.field}: {bad}"
        jobs = chip_jobs = Job.objects.none()
    page = page_of(jobs, params, now)
    chips = state_chips(chip_jobs, params)
    plain = without(params, "before", "after")
    context = {
        "page": page,
        "newest": page.newest,
        "chips": chips,
        "total": jobs.count() if params.get("reason") else total(chips, params),
        "problem": problem,
        "query": plain.urlencode(),
        "all_query": without(plain, "state", "reason").urlencode(),
        "filtered": any(params.get(name) for name in (*KEPT, "state", "reason")),
        "kinds": Kind.values,
        "ages": {name: label for name, (_delta, label) in AGES.items()},
        "reasons": REASONS,
        "node_names": Node.objects.values_list("name", flat=True),
        "owners": get_user_model().objects.order_by("username").values_list("username", flat=True),
        "tags": sorted({tag for body in needs_with_tags() for tag in body.get("tags", ())}),
    }
    return render(request, "jobs/list.html", context)


def needs_with_tags() -> list[dict[str, Any]]:
    return list(Need.objects.values_list("body", flat=True)[:1000])


@require_safe
def live_jobs(request: HttpRequest) -> HttpResponse:
    """News for a list on the screen: counts, how many came in, and the rows that moved on."""
    now, params = timezone.now(), request.GET
    plain = without(params, "known", "newest")
    known = dict(pair.partition(".")[::2] for pair in params.get("known", "").split()[:PAGE])
    ids = [int(pk) for pk in known if pk.isdigit() and len(pk) < 19]
    shown = list(with_parts(Job.objects.filter(pk__in=ids)).order_by("-id"))
    moved = [job for job in shown if job.state in OPEN_STATES or known[str(job.pk)] != job.state]
    newest = key(params, "newest") or 0
    chips = state_chips(selected(without(plain, "state", "reason"), now), plain)
    fresh = 0
    if "before" not in params and "after" not in params:
        fresh = selected(plain, now).filter(pk__gt=newest)[: MOST_NEWS + 1].count()
    context = {
        "rows": rows_of(moved, now, fleet.views(busy()) if moved else ()),
        "chips": chips,
        "total": total(chips, plain),
        "fresh": fresh,
        "many": MOST_NEWS if fresh > MOST_NEWS else 0,
        "newest": newest,
        "query": plain.urlencode(),
        "all_query": without(plain, "state", "reason", "before", "after").urlencode(),
        "swap": True,
    }
    return render(request, "jobs/_news.html", context)


def act(action: str, jobs: JobQuerySet, now: datetime, who: str) -> int:
    """Do it; the same functions as everywhere."""
    if action == "cancel":
        return lifecycle.cancel(jobs, now, who)
    if action == "requeue":
        return lifecycle.requeue(jobs, now, who)
    return sum(cleanup.delete(jobs))


ACTIONS = {"cancel": OPEN_STATES, "requeue": FINAL_STATES, "delete": FINAL_STATES}


def said(action: str, count: int) -> str:
    if action == "cancel":
        text = ngettext("%d job cancelled.", "%d jobs cancelled.", count)
    elif action == "requeue":
        text = ngettext("%d job queued again.", "%d jobs queued again.", count)
    else:
        text = ngettext("%d job deleted.", "%d jobs deleted.", count)
    return text % count


@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """Cancel, requeue or delete many: first says how many it would be, then does it."""
    now, action = timezone.now(), request.POST.get("action", "")
    params = QueryDict(request.POST.get("query", ""))
    back = f"/jobs?{params.urlencode()}" if params else "/jobs"
    ids = [int(pk) for pk in request.POST.getlist("job") if pk.isdigit() and len(pk) < 19]
    try:
        whole = (
            selected(without(params, "before", "after"), now) if request.POST.get("all") else None
        )
    except BadFilter:
        whole = Job.objects.none()
    chosen = whole if whole is not None else Job.objects.filter(pk__in=ids[:1000])
    if action not in ACTIONS or (whole is None and not ids):
        messages.warning(request, _("Choose jobs and an action first."))
        return redirect(back)
    allowed = changeable(request, chosen).filter(state__in=ACTIONS[action])
    if request.POST.get("confirmed"):
        done = act(action, allowed, now, name_of(request))
        messages.success(request, said(action, done))
        return redirect(back)
    count, chosen_count = allowed.count(), chosen.count()
    context = {
        "action": action,
        "count": count,
        "left_out": chosen_count - count,
        "sample": with_parts(allowed).order_by("-id")[:10],
        "ids": ids if whole is None else [],
        "all": whole is not None,
        "query": params.urlencode(),
        "back": back,
        "running": allowed.filter(state=State.RUNNING).count() if action == "cancel" else 0,
    }
    return render(request, "jobs/bulk.html", context)

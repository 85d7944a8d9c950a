"""The job list: filters in the URL, pages by key, actions on many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from cluster import fleet
from cluster.models import Node
from cluster.placement import NodeView
from jobs import cleanup, counts, failure_tally, lifecycle, parameters, reach
from jobs.claim import busy
from jobs.filters import REASONS, chosen_states, digest, filtered, moment, number
from jobs.models import FINAL_STATES, OPEN_STATES, Job, JobQuerySet, Kind, Need, State
from jobs.parameters import BadParameter
from jobs.reach import Number
from jobs.reasons import reason
from jobs.submit import newest as newest_job
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


Near = Callable[[], reach.Reach]


@dataclass
class Row:
    """A job as the list shows it."""

    job: Job
    id: str  # its number as text: as a number it would be formatted each time that it is shown
    shown: str  # the state in finer words
    reason: str
    final: bool


@dataclass
class Page:
    rows: list[Row]
    older: int | None  # the key to go on from
    newer: int | None
    newest: int  # 0: there are no rows
    cut: bool = False  # there may be more, beyond where it looked


def rows_of(jobs: Sequence[Job], now: datetime, views: Sequence[NodeView]) -> list[Row]:
    return [
        Row(
            job,
            str(job.pk),
            shown_state(job, now),
            reason(job, now, views),
            job.state in FINAL_STATES,
        )
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
    if start := ended_since(params, now):
        # By no index of its own: what ended since then would all be read to be sorted.
        end = Coalesce("finished_at", "finished_at")
        jobs = jobs.annotate(end=end).filter(state__in=FINAL_STATES, end__gte=start)
    if tags := set(params.getlist("tag")):
        needs = Need.objects.values_list("id", "body")
        jobs = jobs.filter(need__in=[pk for pk, body in needs if tags & set(body.get("tags", ()))])
    return jobs


def ended_since(params: QueryDict, now: datetime) -> datetime | None:
    """A span of time, or a moment as the pages of failures name it."""
    text = params.get("ended", "")
    if age := AGES.get(text):
        return now - age[0]
    return moment("ended", text) if text else None


def without(params: QueryDict, *names: str) -> QueryDict:
    params = params.copy()
    for name in names:
        params.pop(name, None)
    return params


def key(params: QueryDict, name: str) -> int | None:
    return parameters.key(params.get(name, ""))


def page_of(jobs: JobQuerySet, params: QueryDict, now: datetime) -> Page:
    """Fifty jobs, newest first, from the key on that the URL names."""
    before, after = key(params, "before"), key(params, "after")
    end = reach.end(given(params), chosen_states(params), before, after)
    if after is not None:
        within = {"pk__gt": after, "pk__lte": end}
    else:
        within = {"pk__lt": before, "pk__gte": end}
    part = with_parts(jobs).filter(**{name: pk for name, pk in within.items() if pk is not None})
    found = list(part.order_by("-id" if after is None else "id")[: PAGE + 1])
    full, found = len(found) > PAGE, found[:PAGE]
    cut = end is not None and len(found) < PAGE
    on = end if cut else found[-1].pk if full or (found and end is not None) else None
    ids = [job.pk for job in found]
    newer, older = ids[0] if ids and before is not None else None, on
    if after is not None:
        found.reverse()
        newer, older = on, ids[0] if ids else after + 1
    return Page(
        rows=rows_of(found, now, fleet.views(busy())),
        older=older,
        newer=newer,
        newest=max(ids, default=0),
        cut=cut,
    )


def given(params: QueryDict) -> set[str]:
    """The filters of the URL, but for the state."""
    return {name for name in (*KEPT, "reason") if any(params.getlist(name))}


def numbers(params: QueryDict, now: datetime, near: Near) -> dict[str, Number]:
    """How many jobs of these filters are in each state: as kept, where it is, else as far as the
    list looks."""
    kept = kept_numbers(params, now)
    if kept is not None:
        return {state: Number(count) for state, count in kept.items()}
    return reach.by_state(selected(params, now), near())


def counted() -> reach.Reach:
    return reach.newest(reach.COUNTED)


def kept_numbers(params: QueryDict, now: datetime) -> dict[str, int] | None:
    names, start = given(params), ended_since(params, now)
    if not names:
        return counts.by_state(Job.objects.all())
    if names == {"ended"} and start:
        return {state.value: 0 for state in State} | counts.ended([(start, now)])[0]
    if names == {"sweep"}:
        sweeps = counts.of_sweeps({number("sweep", text) for text in params.getlist("sweep")})
        return {state.value: sum(by[state] for by in sweeps.values()) for state in State}
    if "failure" in names <= {"failure", "ended"} and failure_tally.begins(start, now):
        digests = {digest(text) for text in params.getlist("failure")}
        return failure_tally.by_state(digests, start)
    return None


def state_chips(found: dict[str, Number], params: QueryDict) -> list[dict[str, Any]]:
    """Each state with its count and the URL that chooses it or lets it go."""
    chosen = list(dict.fromkeys(chosen_states(params)))
    chips = []
    for state, count in found.items():
        on = state in chosen
        query = without(params, "state", "reason", "before", "after", "ids", "known", "newest")
        query.setlist("state", [s for s in chosen if s != state] if on else [*chosen, state])
        chips.append({"state": state, "count": count, "on": on, "query": query.urlencode()})
    return chips


def total(found: dict[str, Number], params: QueryDict) -> Number:
    """How many jobs match in all, out of the counts by state."""
    chosen = {state for state in chosen_states(params) if state in found} or set(found)
    return Number(
        sum(found[state].jobs for state in chosen), any(found[state].more for state in chosen)
    )


@require_safe
def jobs_page(request: HttpRequest) -> HttpResponse:
    now, params, problem = timezone.now(), request.GET, ""
    near = cache(counted)  # read once, if at all
    newest = newest_job()  # before the page: what comes in meanwhile is news, or on the page
    by, plain = {state.value: Number(0) for state in State}, without(params, "before", "after")
    try:
        jobs, by = selected(params, now), numbers(without(plain, "state", "reason"), now, near)
        whole = numbers(without(plain, "state"), now, near) if params.get("reason") else by
    except BadParameter as bad:
        problem, jobs, whole = f"{bad.field}: {bad}", Job.objects.none(), by
    whole_total = total(whole, params)
    if whole_total == Number(0):
        jobs = Job.objects.none()  # rather than look for them
    page = page_of(jobs, params, now)
    context = {
        "page": page,
        # Of all, not of the matches: with few or none, the news would look through all since then.
        "newest": max(newest, page.newest),
        "chips": state_chips(by, params),
        "total": whole_total,
        "reach": reach.NEWEST,
        "problem": problem,
        "query": plain.urlencode(),
        "all_query": without(plain, "state", "reason").urlencode(),
        "filtered": any(params.get(name) for name in (*KEPT, "state", "reason")),
        "kinds": Kind.values,
        "ages": {name: label for name, (_delta, label) in AGES.items()},
        "ended_since": "" if params.get("ended") in AGES or problem else said_since(params, now),
        "reasons": REASONS,
        "node_names": Node.objects.values_list("name", flat=True),
        "owners": get_user_model().objects.order_by("username").values_list("username", flat=True),
        "tags": sorted({tag for body in needs_with_tags() for tag in body.get("tags", ())}),
    }
    return render(request, "jobs/list.html", context)


def said_since(params: QueryDict, now: datetime) -> str:
    start = ended_since(params, now)
    return f"{timezone.localtime(start):%Y-%m-%d %H:%M}" if start else ""


def needs_with_tags() -> list[dict[str, Any]]:
    return list(Need.objects.values_list("body", flat=True)[:1000])


@require_safe
def live_jobs(request: HttpRequest) -> HttpResponse:
    """News for a list on the screen: counts, how many came in, and the rows that moved on."""
    now, params = timezone.now(), request.GET
    plain = without(params, "known", "newest")
    pairs = (pair.partition(".") for pair in params.get("known", "").split()[:PAGE])
    found = {parameters.key(number): state for number, _dot, state in pairs}
    known = {pk: state for pk, state in found.items() if pk is not None}
    shown = list(with_parts(Job.objects.filter(pk__in=known)).order_by("-id"))
    moved = [job for job in shown if job.state in OPEN_STATES or known[job.pk] != job.state]
    newest = key(params, "newest") or 0
    fresh = 0
    try:
        by = numbers(without(plain, "state", "reason"), now, counted)
        matching = selected(plain, now)
    except BadParameter as bad:
        return HttpResponseBadRequest(f"{bad.field}: {bad}", content_type="text/plain")
    if "before" not in params and "after" not in params:
        fresh = matching.filter(pk__gt=newest)[: MOST_NEWS + 1].count()
    context = {
        "rows": rows_of(moved, now, fleet.views(busy()) if moved else ()),
        "chips": state_chips(by, plain),
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
    keys = map(parameters.key, request.POST.getlist("job"))
    ids = [pk for pk in keys if pk is not None]
    try:
        whole = (
            selected(without(params, "before", "after"), now) if request.POST.get("all") else None
        )
    except BadParameter:
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

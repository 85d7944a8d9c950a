"""The pages about schedules: all of them, and one with its history."""

import json
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from cluster.wording import said
from jobs import counts, terminal, values
from jobs.turns import turn
from jobs.views.access import demand, may_change, name_of
from jobs.views.listing import key
from schedules import due, keeping
from schedules.models import Run, Schedule, newest_runs
from schedules.serializers import coming
from schedules.words import wall_clock

PAGE = 50
LATE = timedelta(seconds=30)  # the monitor comes by every second


def rows() -> QuerySet[Schedule]:
    return Schedule.objects.select_related("owner")


def the_schedule(pk: int) -> Schedule:
    return get_object_or_404(rows(), pk=pk)


def with_work(runs: QuerySet[Run]) -> list[dict[str, Any]]:
    """Each run with the state of what it started; empty where that is deleted by now."""
    large = ("job__args", "job__result", "job__error", "sweep__over")
    found = list(runs.select_related("job", "sweep").defer(*large))
    by_sweep = counts.of_sweeps([run.sweep_id for run in found if run.sweep_id])
    return [{"run": run, "sweep_state": state_of(run, by_sweep)} for run in found]


def state_of(run: Run, by_sweep: dict[int, dict[str, int]]) -> str:
    by = by_sweep.get(run.sweep_id or 0)
    return counts.sweep_state(by) if by and any(by.values()) else ""


@require_safe
def schedules_page(request: HttpRequest) -> HttpResponse:
    before = key(request.GET, "before")
    schedules = rows().order_by("-id")
    if before is not None:
        schedules = schedules.filter(pk__lt=before)
    found = list(schedules[: PAGE + 1])
    shown = found[:PAGE]
    newest = newest_runs().filter(pk__in=[schedule.pk for schedule in shown])
    last = {
        entry["run"].schedule_id: entry for entry in with_work(Run.objects.filter(pk__in=newest))
    }
    context = {
        "rows": [{"schedule": schedule, "last": last.get(schedule.pk)} for schedule in shown],
        "older": shown[-1].pk if len(found) > PAGE else None,
        "before": before,
    }
    live = request.path.startswith("/live/")
    template = "schedules/_schedules.html" if live else "schedules/schedules.html"
    return render(request, template, context)


@require_safe
def schedule_page(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    body = json.dumps(values.mended(schedule.body), indent=2, ensure_ascii=False)
    context = schedule_context(request, schedule) | {"body": terminal.plain(body)}
    return render(request, "schedules/schedule.html", context)


@require_safe
def live_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    context = schedule_context(request, the_schedule(pk))
    return render(request, "schedules/_schedule.html", context)


def schedule_context(request: HttpRequest, schedule: Schedule) -> dict[str, Any]:
    now, before = timezone.now(), key(request.GET, "before")
    runs = schedule.runs.order_by("-scheduled_for")
    if before is not None:
        runs = runs.filter(
            scheduled_for__lt=get_object_or_404(schedule.runs, pk=before).scheduled_for
        )
    found = with_work(runs[: PAGE + 1])
    return {
        "schedule": schedule,
        "coming": [(at, wall_clock(at, schedule.zone)) for at in coming(schedule, now)],
        "overdue": bool(schedule.next_at and now - schedule.next_at > LATE),
        "runs": found[:PAGE],
        "older": found[PAGE - 1]["run"].pk if len(found) > PAGE else None,
        "before": before,
        "may_change": may_change(request, schedule),
    }


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    demand(request, schedule)
    why = request.POST.get("reason", "")
    if keeping.pause(schedule, name_of(request), why, timezone.now()):
        messages.success(request, _("It is paused."))
    else:
        messages.warning(request, _("It was paused already."))
    return redirect("schedule", pk)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    demand(request, schedule)
    if keeping.resume(schedule, timezone.now()):
        messages.success(request, _("It goes on with its next time."))
    else:
        messages.warning(request, _("It was not paused."))
    return redirect("schedule", pk)


@require_POST
def run_now(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    demand(request, schedule)
    try:
        with turn():
            run = due.run_now(schedule, name_of(request), timezone.now())
    except due.Overlaps as overlaps:
        message = _("Not while the last one is open: %(work)s.")
        messages.warning(request, message % {"work": said(overlaps.why)})
    except due.Refused as refused:
        messages.error(request, terminal.plain(_("Not started: %s") % said(refused.why)))
    else:
        if run.job_id:
            messages.success(request, _("Job %s is in.") % run.job_id)
        else:
            messages.success(request, _("Sweep %s is in.") % run.sweep_id)
    return redirect("schedule", pk)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    demand(request, schedule)
    schedule.delete()
    messages.success(request, _("The schedule is deleted. What it started stays."))
    return redirect("schedules")

"""Making and changing a schedule, with a look at its next times while it is typed."""

import json
from collections.abc import Callable
from typing import Any
from zoneinfo import available_timezones

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from jobs import snippets, values
from jobs.models import Job, Sweep
from jobs.views.access import demand, user_of
from jobs.views.listing import key
from schedules import keeping
from schedules.api import preview
from schedules.forms import RuleForm, ScheduleForm, initial_of
from schedules.models import Schedule
from schedules.views import the_schedule
from schedules.words import wall_clock

BODY = "schedule_body"  # in the session: what the submit page hands over
EXAMPLE = {"kind": "command", "command": "date"}


@require_http_methods(["GET", "HEAD", "POST"])
def new_schedule(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    form = form_of(request, prefilled(request))
    if saved := attempt(request, form, user, lambda v: keeping.create(v, user, timezone.now())):
        request.session.pop(BODY, None)
        return saved
    return render(request, "schedules/edit.html", form_context(form))


@require_http_methods(["GET", "HEAD", "POST"])
def edit_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    schedule = the_schedule(pk)
    demand(request, schedule)
    form, now = form_of(request, initial_of(schedule)), timezone.now()
    if saved := attempt(
        request, form, schedule.owner, lambda v: keeping.change(schedule, v, now), schedule
    ):
        return saved
    return render(request, "schedules/edit.html", form_context(form, schedule))


def form_of(request: HttpRequest, initial: dict[str, Any]) -> ScheduleForm:
    return ScheduleForm(request.POST if request.method == "POST" else None, initial=initial)


def attempt(
    request: HttpRequest, form: ScheduleForm, owner: Any,
    save: Callable[[dict[str, Any]], Schedule], schedule: Schedule | None = None,
) -> HttpResponse | None:  # fmt: skip
    """Save what was sent and go to its page; None where there is something to say first."""
    values = form.checked(owner, schedule) if request.method == "POST" else None
    if values is None or "preview" in request.POST:
        return None
    try:
        saved = save(values)
    except IntegrityError:  # two at a time
        form.add_error("name", _("There is a schedule of this name already."))
        return None
    messages.success(request, _("The schedule is saved."))
    return redirect("schedule", saved.pk)


@require_safe
def preview_fragment(request: HttpRequest) -> HttpResponse:
    return render(request, "schedules/_next.html", next_times(RuleForm(request.GET)))


def form_context(form: ScheduleForm, schedule: Schedule | None = None) -> dict[str, Any]:
    held = form.data if form.is_bound else form.initial
    rule = RuleForm({name: value for name, value in held.items() if value is not None})
    return {
        "form": form,
        "schedule": schedule,
        "zones": sorted(available_timezones()),
        **next_times(rule),
    }


def next_times(form: RuleForm) -> dict[str, Any]:
    """What the side panel shows: the times, or what is wrong; nothing where nothing is given."""
    empty = not (form.data.get("cron") or form.data.get("every_seconds"))
    rule = None if empty else form.rule()
    found = preview(rule) if rule else []
    return {
        "coming": [(at, wall_clock(at, rule["zone"])) for at in found] if rule else [],
        "problems": [] if empty else [text for texts in form.errors.values() for text in texts],
        "never": bool(rule) and not found,
    }


def prefilled(request: HttpRequest) -> dict[str, Any]:
    """The body of the job or the sweep that is to come again, or of what was just typed."""
    what, name, body = "job", "", EXAMPLE
    if request.GET.get("job"):
        jobs = Job.objects.select_related("spec", "need")
        job = get_object_or_404(jobs, pk=key(request.GET, "job"))
        name, body = job.name, snippets.body_of(job)
    elif request.GET.get("sweep"):
        sweeps = Sweep.objects.select_related("spec__need")
        sweep = get_object_or_404(sweeps, pk=key(request.GET, "sweep"))
        what, name, body = "sweep", sweep.name, body_of_sweep(sweep)
    elif request.GET.get("from") == "submit" and BODY in request.session:
        what, body = request.session[BODY]
        name = body.get("name", "")
    text = json.dumps(values.mended(body), indent=2, ensure_ascii=False)
    return {"name": name[:100], "what": what, "body": text}


def body_of_sweep(sweep: Sweep) -> dict[str, Any]:
    """What to POST to get it once more, as far as its first job remembers."""
    job = (
        sweep.jobs.filter(pk__gt=sweep.jobs_after)
        .select_related("spec", "need")
        .order_by("pk")
        .first()
    )
    job = job or Job(spec=sweep.spec, need=sweep.spec.need)
    spec = snippets.body_of(job)
    spec.pop("name", None)
    varied = sweep.over[0] if sweep.mode == "list" else sweep.over
    args = {name: value for name, value in spec.pop("args", {}).items() if name not in varied}
    if args:
        spec["args"] = args
    body = {"name": sweep.name, "spec": spec, "over": sweep.over, "mode": sweep.mode}
    return body if sweep.name else {k: v for k, v in body.items() if k != "name"}

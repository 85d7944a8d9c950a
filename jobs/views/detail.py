"""A job's page: where it stands, what came of it, every attempt."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from cluster.placement import NodeView
from jobs import cleanup, files, lifecycle, snippets, terminal, values, why
from jobs.console import console, last_lines
from jobs.models import FINAL_STATES, Artifact, Attempt, Job, Outcome, State
from jobs.reasons import reason
from jobs.templatetags.show import duration, shown_state
from jobs.views.access import attachment, demand, may_change, name_of
from schedules.models import maker

UNSAID = {"draining", "breaker", "wanted", "excluded", "size"}  # where every node passes
SHOWS = ("both", "stdout", "stderr")
MOST_RESULT = 100_000  # characters on the page


@dataclass(frozen=True)
class Stage:
    """A station of the way queued, placed, running, done."""

    name: str
    at: datetime | None
    look: str  # done, now, bad, off, or nothing yet
    icon: str
    note: str  # how long it took to get here


def the_job(pk: int) -> Job:
    return get_object_or_404(
        Job.objects.select_related("spec", "need", "owner", "node", "sweep"), pk=pk
    )


@require_safe
def job_page(request: HttpRequest, pk: int, number: int | None = None) -> HttpResponse:
    job = the_job(pk)
    context = job_context(request, job)
    attempt = chosen(context["attempts"], number)
    body = snippets.body_of(job)
    url = request.build_absolute_uri("/api/jobs")
    context |= console_context(request, attempt)
    context |= {
        "curl": terminal.plain(snippets.curl(url, body)),
        "python": terminal.plain(snippets.python(url, body)),
        "body": terminal.plain(json.dumps(body, indent=2, ensure_ascii=False)),
        "number": number,
        "schedule": maker(job.pk, job.sweep_id),
    }
    return render(request, "jobs/job.html", context)


@require_safe
def live_job(request: HttpRequest, pk: int) -> HttpResponse:
    context = job_context(request, the_job(pk))
    return render(request, "jobs/_job.html", {**context, "swap": True})


def job_context(request: HttpRequest, job: Job) -> dict[str, Any]:
    """Everything above and below the output."""
    now = timezone.now()
    attempts = list(job.attempts.select_related("node").order_by("-number")[:100])
    last = attempts[0] if attempts else None
    queued, views = job.state == State.QUEUED, why.standing(job)
    failure = failure_of(job, attempts)
    return {
        "job": job,
        "final": job.state in FINAL_STATES,
        "shown": shown_state(job, now),
        "reason": terminal.plain(reason(job, now, views)),
        "why": why_it_waits(job, now, views) if queued else None,
        "next_step": next_step(job),
        "stages": stages(job, last),
        "attempts": attempts,
        "failure": failure,
        "headline": headline(failure, job) if failure else "",
        "failure_tail": last_lines(failure, "stderr") if failure else "",
        "result": pretty(job.result),
        "events": job.events.order_by("-id")[:100],
        "artifacts": Artifact.objects.filter(attempt__job=job).select_related("attempt")[:200],
        "may_change": may_change(request, job),
        "args": pretty(job.args) if job.args != "{}" else None,
    }


def why_it_waits(job: Job, now: datetime, views: list[NodeView]) -> dict[str, Any]:
    """With the tests that say something about this job or its nodes."""
    told = why.explain(job, now, views)
    passed = {test["name"] for node in told["nodes"] for test in node["tests"]}
    passed -= {t["name"] for node in told["nodes"] for t in node["tests"] if not t["ok"]}
    for node in told["nodes"]:
        node["tests"] = [t for t in node["tests"] if t["name"] not in passed & UNSAID]
    return told


def chosen(attempts: list[Attempt], number: int | None) -> Attempt | None:
    if number is None:
        return attempts[0] if attempts else None
    found = next((attempt for attempt in attempts if attempt.number == number), None)
    if found is None:
        raise Http404(_("There is no such attempt."))
    return found


def console_context(request: HttpRequest, attempt: Attempt | None) -> dict[str, Any]:
    show = request.GET.get("show", "both")
    show = show if show in SHOWS else "both"
    streams = ("stdout", "stderr") if show == "both" else (show,)
    parts = [console(attempt, stream) for stream in streams] if attempt else []
    if show == "both":  # an empty stream needs no box of its own
        parts = [part for part in parts if not part.silent] or parts[:1]
    live = attempt is not None and attempt.finished_at is None
    return {"attempt": attempt, "show": show, "shows": SHOWS, "parts": parts, "live": live}


def failure_of(job: Job, attempts: list[Attempt]) -> Attempt | None:
    """The attempt whose failure is news: not once a later one succeeded."""
    if job.state in (State.SUCCEEDED, State.CANCELLED):
        return None
    ended = next((attempt for attempt in attempts if attempt.finished_at), None)
    bad = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST)
    return ended if ended and ended.outcome in bad else None


def headline(attempt: Attempt, job: Job) -> str:
    """The error in one sentence, with the exception's name where the sentence lacks it."""
    error = attempt.error or job.error
    named = attempt.error_type[:1].isupper() and not error.startswith(attempt.error_type)
    return terminal.plain(f"{attempt.error_type}: {error}" if named else error)


def next_step(job: Job) -> str:
    """What happens next, or what a person can do."""
    if job.state == State.QUEUED and job.held:
        return _("A person keeps it back; it starts once it is released.")
    if job.state == State.QUEUED:
        return _("Attempt %(n)s starts by itself when it can.") % {"n": job.tried + 1}
    if job.state == State.RUNNING and not job.cancel_requested_at:
        if limit := job.spec.body.get("timeout_seconds"):
            return _("It may run for %s, then it is stopped.") % duration(limit)
        return _("It runs until it is done: there is no time limit.")
    if job.state == State.FAILED:
        return _("Requeue it to try the same again, or clone it to change something.")
    return ""


def stages(job: Job, last: Attempt | None) -> list[Stage]:
    """The timeline, for the last attempt."""
    queued, running = job.state == State.QUEUED, job.state == State.RUNNING
    placed = last if last and not queued else None
    claimed = placed.claimed_at if placed else None
    started = placed.started_at if placed else None
    return [
        stage(_("queued"), None, job.created_at, queued),
        stage(_("placed"), job.created_at, claimed, running and started is None),
        stage(_("running"), claimed, started, running and started is not None),
        last_stage(job, placed),
    ]


def last_stage(job: Job, placed: Attempt | None) -> Stage:
    if not job.finished_at:
        return Stage(_("done"), None, "", "open", "")
    look, icon = {
        State.SUCCEEDED: ("done", "succeeded"),
        State.FAILED: ("bad", "failed"),
        State.CANCELLED: ("off", "cancelled"),
    }[State(job.state)]
    ran = placed.run_seconds if placed else None
    note = _("ran %s") % duration(ran) if ran is not None else ""
    return Stage(_("ended"), job.finished_at, look, icon, note)


def stage(name: str, before: datetime | None, at: datetime | None, here: bool) -> Stage:
    """A station on the way: passed, reached just now, or still ahead."""
    took = length(before, at)
    note = _("after %s") % took if took else ""
    if here:
        return Stage(name, at, "now", "running" if at else "queued", note)
    return Stage(name, at, "done" if at else "", "succeeded" if at else "open", note)


def length(start: datetime | None, end: datetime | None) -> str:
    return duration((end - start).total_seconds()) if start and end else ""


def pretty(text: str | None) -> str | None:
    """JSON for the eye; as it is where it is short, or none that can be shown."""
    if text is None:
        return None
    try:
        shown = json.dumps(values.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text
    if isinstance(text, str) and len(text) <= 60 and text[:1] not in "[{":
        shown = text
    shown = terminal.plain(shown)
    return shown if len(shown) <= MOST_RESULT else f"{shown[:MOST_RESULT]}\n…"


@require_POST
def cancel_job(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, the_job(pk))
    if lifecycle.cancel(Job.objects.filter(pk=pk), timezone.now(), name_of(request)):
        messages.success(request, _("Cancelling job %s.") % pk)
    else:
        messages.warning(request, _("Job %s had ended already.") % pk)
    return redirect("job", pk)


@require_POST
def requeue_job(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, the_job(pk))
    if lifecycle.requeue(Job.objects.filter(pk=pk), timezone.now(), name_of(request)):
        messages.success(request, _("Job %s is queued again.") % pk)
    else:
        messages.warning(request, _("Job %s has not ended yet.") % pk)
    return redirect("job", pk)


@require_POST
def hold_job(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep a queued job back, or let it go."""
    demand(request, the_job(pk))
    held = request.POST.get("held") == "1"
    if lifecycle.change(Job.objects.filter(pk=pk), timezone.now(), name_of(request), held=held):
        words = _("Job %s is held.") if held else _("Job %s is let go.")
        messages.success(request, words % pk)
    else:
        messages.warning(request, _("Job %s does not wait any more.") % pk)
    return redirect("job", pk)


@require_POST
def delete_job(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, the_job(pk))
    if sum(cleanup.delete(Job.objects.filter(pk=pk))):
        messages.success(request, _("Job %s is deleted.") % pk)
        return redirect("jobs")
    messages.warning(request, _("Job %s has not ended yet: cancel it first.") % pk)
    return redirect("job", pk)


@require_safe
def result(request: HttpRequest, pk: int) -> HttpResponse:
    """The result exactly as the job gave it."""
    job = get_object_or_404(Job.objects.only("result"), pk=pk)
    if job.result is None:
        raise Http404(_("There is no result."))
    response = HttpResponse(job.result, content_type="application/json")
    return attachment(response, f"job-{pk}-result.json")


@require_safe
def artifact(request: HttpRequest, pk: int) -> FileResponse:
    """A file that an attempt left: always saved, never shown."""
    found = get_object_or_404(Artifact, pk=pk, file__isnull=False)
    path = files.path(str(found.file_id))
    if not path.exists():
        raise Http404(_("The file is gone."))
    name = re.sub(r"[^\w.-]", "_", found.name.rsplit("/", 1)[-1], flags=re.ASCII) or "file"
    response = FileResponse(path.open("rb"), content_type="application/octet-stream")
    attachment(response, name)
    full = quote(found.name.rsplit("/", 1)[-1])
    response.headers["Content-Disposition"] += f"; filename*=UTF-8''{full}"
    return response

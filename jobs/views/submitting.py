"""The submit page: four kinds of work, one form each, with the API's own check behind it."""

import itertools
import json
import re
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from cluster import fleet
from cluster.placement import need_of, never, why_not
from jobs import catalog, files, snippets, submit
from jobs.claim import busy
from jobs.files import DIGEST, TooLarge
from jobs.forms import WorkForm, initial_of
from jobs.models import Job
from jobs.templatetags.show import thousands
from jobs.views.access import user_of
from jobs.views.listing import key

KINDS = ("command", "script", "function", "sweep")
FIRST = 5  # expansions of a sweep that are shown


@require_http_methods(["GET", "HEAD", "POST"])
def submit_page(request: HttpRequest) -> HttpResponse:
    form = form_of(request)
    if request.method == "POST":
        take_files(request, form)
        if "preview" not in request.POST:
            data = form.checked()
            if data is not None and "schedule" in request.POST:
                what = "sweep" if form.is_sweep else "job"
                request.session["schedule_body"] = [what, form.body()]
                return redirect("/schedules/new?from=submit")
            if data is not None:
                return accepted(request, form, data)
    return render(request, "jobs/submit.html", page_context(request, form))


def accepted(request: HttpRequest, form: WorkForm, data: dict[str, Any]) -> HttpResponse:
    now, user = timezone.now(), user_of(request)
    if form.is_sweep:
        sweep = submit.submit_sweep(data, user, now)
        said = _("Sweep %(id)s is in, with %(n)s jobs.")
        messages.success(request, said % {"id": sweep.pk, "n": thousands(sweep.total)})
        return redirect("sweep", sweep.pk)
    job = submit.submit(data, user, now)
    messages.success(request, _("Job %s is in.") % job.pk)
    return redirect("job", job.pk)


@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What it would be, while it is being typed."""
    form = form_of(request)
    form.given = kept_files(request)
    return render(request, "jobs/_preview.html", preview_context(request, form))


def form_of(request: HttpRequest) -> WorkForm:
    kind = request.GET.get("kind", "command")
    kind = kind if kind in KINDS else "command"
    function = catalog.find(request.GET.get("function", ""))
    initial: dict[str, Any] = {}
    if clone := request.GET.get("clone", ""):
        jobs = Job.objects.select_related("spec", "need")
        job = get_object_or_404(jobs, pk=key(request.GET, "clone"))
        body = snippets.body_of(job)
        function = catalog.find(body.get("function", ""))
        parameters = {p.name for p in function.parameters} if function else set()
        kind, initial = job.spec.kind, initial_of(body, parameters)
    if kind == "sweep" and request.GET.get("of") == "command":
        kind = "sweep-command"
    data = request.POST if request.method == "POST" else None
    form = WorkForm(kind, function, data, initial=initial)
    if clone and data is None:
        form.given = dict(body.get("files", {}))
    return form


def kept_files(request: HttpRequest) -> dict[str, str]:
    """Files given before, by name: what a page carries along in hidden fields."""
    found = {}
    for text in request.POST.getlist("kept")[:1000]:
        digest, _space, name = text.partition(" ")
        if name and DIGEST.fullmatch(digest):
            found[name] = digest
    return found


def take_files(request: HttpRequest, form: WorkForm) -> None:
    """Store what was uploaded; the form keeps name and digest."""
    form.given = kept_files(request)
    for upload in request.FILES.getlist("uploads"):
        name = re.sub(r"[/\\\0]", "_", upload.name or "file")
        try:
            row = files.store(upload.chunks(), user_of(request), timezone.now())
        except TooLarge as error:
            form.add_error(None, f"{name}: {error}")
        else:
            form.given[name] = str(row.pk)


def page_context(request: HttpRequest, form: WorkForm) -> dict[str, Any]:
    kind = "sweep" if form.is_sweep else form.kind
    known = catalog.functions() if form.work == "function" else []
    return {
        "kind": kind,
        "kinds": KINDS,
        "functions": known,
        "choose": form.work == "function" and form.function is None,
        "of": "command" if form.kind == "sweep-command" else "function",
        "action": request.get_full_path() if "clone" not in request.GET else action_of(form),
        **preview_context(request, form),
    }


def action_of(form: WorkForm) -> str:
    function = f"&function={form.function.name}" if form.function else ""
    return f"/submit?kind={form.kind}{function}"


def preview_context(request: HttpRequest, form: WorkForm) -> dict[str, Any]:
    """The side panel: who can take it, the sweep's first points, the same by curl."""
    source = form if form.is_bound else bound_copy(form)
    source.is_valid()
    body = source.body()
    work = body.get("spec", body)
    url = request.build_absolute_uri("/api/sweeps" if form.is_sweep else "/api/jobs")
    return {
        "form": form,
        "fits": fits(work.get("needs", {})),
        "curl": snippets.curl(url, body) if complete(form, body) else "",
        "points": points(form, body),
    }


def bound_copy(form: WorkForm) -> WorkForm:
    """The same form holding its first values, to see what body they make."""
    data = {name: value for name, value in form.initial.items() if value is not None}
    copy = WorkForm(form.kind, form.function, {"mode": "grid", **data})
    copy.given = form.given
    return copy


def complete(form: WorkForm, body: dict[str, Any]) -> bool:
    work = body.get("spec", body)
    what = {"command": "command", "script": "source", "function": "function"}[form.work]
    return bool(work.get(what)) and (not form.is_sweep or bool(body.get("over")))


def points(form: WorkForm, body: dict[str, Any]) -> dict[str, Any] | None:
    """The first sets of arguments of a sweep and how many there are."""
    if not form.is_sweep or not isinstance(body.get("over"), (dict, list)):
        return None
    fixed = body["spec"].get("args", {})
    try:
        first = itertools.islice(submit.expand(body["over"], body["mode"]), FIRST)
        shown = [json.dumps({**fixed, **args}, ensure_ascii=False) for args in first]
        return {"total": submit.size(body["over"], body["mode"]), "first": shown}
    except (TypeError, ValueError, KeyError, IndexError):
        return None


def fits(needs: dict[str, Any]) -> list[dict[str, Any]]:
    """Each node with the reason why it cannot take it now; none if it can."""
    need = need_of(needs)
    views = fleet.views(busy())
    return [{"node": v, "why": why_not(need, v), "never": never(need, v)} for v in views]

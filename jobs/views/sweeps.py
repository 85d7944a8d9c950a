"""Sweeps: how far they are, their results as a table and as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from jobs import counts, lifecycle, values
from jobs.cells import cell
from jobs.filters import between
from jobs.models import FINAL_STATES, OPEN_STATES, Job, JobQuerySet, State, Sweep
from jobs.terminal import plain
from jobs.views.access import attachment, demand, may_change, name_of
from jobs.views.listing import key, said
from schedules.models import maker

PAGE = 50
MOST_COLUMNS = 12  # of results, on the page; the CSV has all
ORDER = ("succeeded", "failed", "cancelled", "running", "queued")  # along the bar


def shares(by: dict[str, int]) -> list[dict[str, Any]]:
    """The parts of a stacked bar of width 1000."""
    total, left, found = sum(by.values()) or 1, 0.0, []
    for state in ORDER:
        count = by.get(state, 0)
        width = 1000 * count / total
        found.append({"state": state, "count": count, "x": f"{left:.2f}", "width": f"{width:.2f}"})
        left += width
    return found


@require_safe
def sweeps_page(request: HttpRequest) -> HttpResponse:
    before = key(request.GET, "before")
    sweeps = Sweep.objects.select_related("spec", "owner").order_by("-id")
    if before is not None:
        sweeps = sweeps.filter(pk__lt=before)
    found = list(sweeps[: PAGE + 1])
    by_sweep = counts.of_sweeps([sweep.pk for sweep in found[:PAGE]])
    rows = [
        {"sweep": sweep, "state": counts.sweep_state(by), "shares": shares(by), "done": done(by)}
        for sweep, by in ((sweep, by_sweep[sweep.pk]) for sweep in found[:PAGE])
    ]
    older = found[PAGE - 1].pk if len(found) > PAGE else None
    template = "jobs/_sweeps.html" if request.path.startswith("/live/") else "jobs/sweeps.html"
    return render(request, template, {"rows": rows, "older": older, "before": before})


def done(by: dict[str, int]) -> int:
    return sum(by[state] for state in FINAL_STATES)


def the_sweep(pk: int) -> Sweep:
    return get_object_or_404(Sweep.objects.select_related("spec", "owner"), pk=pk)


@require_safe
def sweep_page(request: HttpRequest, pk: int) -> HttpResponse:
    sweep = the_sweep(pk)
    context = sweep_context(request, sweep)
    only = request.GET.get("state", "")
    after = key(request.GET, "after") or 0
    jobs = between(Job.objects.all(), [sweep], after).order_by("id")
    if only in State.values:
        jobs = jobs.filter(state=only)
    # Numbers first, from the index alone: a large sweep's rows are not read to be sorted.
    numbers = list(jobs.values_list("pk", flat=True)[: PAGE + 1])
    found = list(Job.objects.filter(pk__in=numbers).order_by("id").select_related("node"))
    context |= table(found[:PAGE])
    later = found[PAGE - 1].pk if len(found) > PAGE else None
    context |= {"after": after, "only": only, "next": later, "schedule": maker(None, sweep.pk)}
    return render(request, "jobs/sweep.html", context)


@require_safe
def live_sweep(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "jobs/_sweep.html", sweep_context(request, the_sweep(pk)))


def sweep_context(request: HttpRequest, sweep: Sweep) -> dict[str, Any]:
    by = counts.of_sweeps([sweep.pk])[sweep.pk]
    state = counts.sweep_state(by)
    return {
        "sweep": sweep,
        "by": by,
        "state": state,
        "final": not any(by[state] for state in OPEN_STATES),
        "open": sum(by[state] for state in OPEN_STATES),
        "shares": shares(by),
        "done": done(by),
        "here": sum(by.values()),
        "may_change": may_change(request, sweep),
        "axes": json.dumps(values.mended(sweep.over), ensure_ascii=False),
        "finished_at": counts.finished({sweep.pk: by}).get(sweep.pk),
    }


def table(jobs: list[Job]) -> dict[str, Any]:
    """Arguments and results as columns: those that occur on this page."""
    args = [given(job.args) for job in jobs]
    results = [loaded(job.result) for job in jobs]
    names = columns(args)[:MOST_COLUMNS]
    fields = columns(results)[:MOST_COLUMNS]
    scalar = any(not isinstance(result, dict) for result in results)
    rows = [
        {
            "job": job,
            "args": [short(known.get(name)) if name in known else "" for name in names],
            "results": result_cells(job, result, fields, scalar),
        }
        for job, known, result in zip(jobs, args, results, strict=True)
    ]
    heads = ["result", *fields] if scalar else fields
    return {"rows": rows, "arg_names": names, "result_names": heads}


def result_cells(job: Job, result: Any, fields: list[str], scalar: bool) -> list[str]:
    whole = isinstance(result, dict)
    first = [] if not scalar else ["" if job.result is None or whole else short(result)]
    return first + [short(result[name]) if whole and name in result else "" for name in fields]


def loaded(text: str | None) -> Any:
    return values.read(text) if text else {}


def given(args: str) -> dict[str, Any]:
    found = loaded(args)
    return found if isinstance(found, dict) else {}


def columns(rows: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain(text if len(text) <= 80 else f"{text[:79]}…")


@require_POST
def retry_failed(request: HttpRequest, pk: int) -> HttpResponse:
    sweep = the_sweep(pk)
    demand(request, sweep)
    failed = Job.objects.filter(sweep=sweep, state=State.FAILED)
    count = lifecycle.requeue(failed, timezone.now(), name_of(request))
    messages.success(request, said("requeue", count))
    return redirect("sweep", pk)


@require_POST
def cancel_rest(request: HttpRequest, pk: int) -> HttpResponse:
    sweep = the_sweep(pk)
    demand(request, sweep)
    jobs = Job.objects.filter(sweep=sweep)
    count = lifecycle.cancel(jobs, timezone.now(), name_of(request))
    messages.success(request, said("cancel", count))
    return redirect("sweep", pk)


@require_safe
def results_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Every job of the sweep as a row, streamed."""
    sweep = the_sweep(pk)
    response = StreamingHttpResponse(csv_rows(sweep), content_type="text/csv; charset=utf-8")
    return attachment(response, f"sweep-{pk}.csv")


def csv_rows(sweep: Sweep) -> Iterator[str]:
    jobs: JobQuerySet = Job.objects.filter(sweep=sweep).order_by("id")
    names, fields, scalar = all_columns(jobs)
    heads = ["job", "state", "node", "run_seconds", *[f"args.{name}" for name in names]]
    yield line([*heads, *(["result"] if scalar else []), *[f"result.{f}" for f in fields], "error"])
    rows = jobs.values_list("id", "state", "node__name", "run_seconds", "args", "result", "error")
    for pk, state, node, seconds, args, result, error in rows.iterator(chunk_size=500):
        known, got = given(args), loaded(result)
        whole = isinstance(got, dict)
        cells = [pk, state, node, seconds, *[known.get(name) for name in names]]
        cells += [None if whole or result is None else got] if scalar else []
        cells += [got.get(name) if whole else None for name in fields]
        yield line([*cells, error])


def all_columns(jobs: JobQuerySet) -> tuple[list[str], list[str], bool]:
    """The names of all arguments and results, in the order in which they turn up."""
    names: dict[str, None] = {}
    fields: dict[str, None] = {}
    scalar = False
    for args, result in jobs.values_list("args", "result").iterator(chunk_size=500):
        names |= dict.fromkeys(given(args))
        got = loaded(result)
        if isinstance(got, dict):
            fields |= dict.fromkeys(got)
        else:
            scalar = True
    return list(names), list(fields), scalar


def line(cells: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([cell(value) for value in cells])
    return buffer.getvalue()

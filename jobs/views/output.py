"""What an attempt wrote: more of it while it runs, a page of its own, the raw bytes."""

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from jobs.console import MOST, PREFIX, console, more
from jobs.models import Attempt, Output
from jobs.views.access import attachment
from jobs.views.detail import console_context
from jobs.views.listing import key


def the_attempt(pk: int, stream: str) -> Attempt:
    if stream not in PREFIX:
        raise Http404
    return get_object_or_404(Attempt.objects.select_related("job__spec", "node"), pk=pk)


@require_safe
def live_output(request: HttpRequest, pk: int, stream: str) -> HttpResponse:
    """New lines since the place the page has read to; the whole console once it ended."""
    attempt = the_attempt(pk, stream)
    if attempt.finished_at:
        # Its report replaced what came early: show it anew.
        response = render(request, "jobs/_console.html", console_context(request, attempt))
        response["HX-Retarget"], response["HX-Reswap"] = "#console", "outerHTML"
        return response
    offset, number = key(request.GET, "offset") or 0, key(request.GET, "line") or 0
    part = more(attempt, stream, offset, number)
    context = {"part": part, "attempt": attempt, "live": True}
    return render(request, "jobs/_lines.html", {**context, "show": request.GET.get("show", "both")})


@require_safe
def output_page(request: HttpRequest, pk: int, stream: str) -> HttpResponse:
    """Many lines at once, from the beginning or from the line asked for."""
    attempt = the_attempt(pk, stream)
    first = max(1, key(request.GET, "from") or 1)
    part = console(attempt, stream, MOST, first)
    last = first + len(part.lines) - 1
    context = {
        "attempt": attempt,
        "part": part,
        "first": first,
        "last": last,
        "earlier": max(1, first - MOST) if first > 1 else None,
        "later": last + 1 if len(part.lines) == MOST else None,
    }
    return render(request, "jobs/output.html", context)


@require_safe
def raw_output(request: HttpRequest, pk: int, stream: str) -> StreamingHttpResponse:
    """The bytes that were kept, to be saved."""
    attempt = the_attempt(pk, stream)
    rows = Output.objects.filter(attempt=attempt, stream=stream).order_by("offset")
    chunks = (bytes(data) for data in rows.values_list("data", flat=True).iterator(chunk_size=16))
    response = StreamingHttpResponse(chunks, content_type="text/plain; charset=utf-8")
    name = f"job-{attempt.job_id}-attempt-{attempt.number}-{stream}.txt"
    return attachment(response, name)

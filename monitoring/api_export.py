"""GET /api/monitoring/export: jobs, attempts, samples or alerts as a file."""

from datetime import datetime
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs.api import naming
from jobs.parameters import MOMENT, moment
from monitoring import export


class AnyFormat(DefaultContentNegotiation):
    """`format` is ours: not a renderer's name; and whatever the client accepts, it is a file."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        return renderers[0], renderers[0].media_type


def one_of(request: Request, name: str, known: Any, usual: str = "") -> str:
    word = request.query_params.get(name, "") or usual
    if word in known:
        return word
    message = _("One of %(known)s, not %(word)s.")
    raise ValidationError({name: [message % {"known": ", ".join(known), "word": word[:100]}]})


def edge(request: Request, name: str) -> datetime | None:
    """A range's edge; None: open."""
    text = request.query_params.get(name, "").strip()
    with naming():
        return moment(name, text, name == "to") if text else None


def named(text: str) -> str:
    """A range's edge in a file's name."""
    return "".join(each for each in text if each.isascii() and each.isalnum() or each == "-")[:24]


class Export(APIView):
    content_negotiation_class = AnyFormat

    @extend_schema(
        parameters=[
            OpenApiParameter("what", str, required=True, enum=list(export.KINDS)),
            OpenApiParameter("format", str, enum=list(export.FORMATS), description="usual: csv"),
            OpenApiParameter("from", str, description=f"{MOMENT}; usual: the oldest"),
            OpenApiParameter("to", str, description="likewise; a day is included, a moment not"),
        ],
        responses={(200, mime.partition(";")[0]): OpenApiTypes.BINARY
                   for mime in export.FORMATS.values()},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The rows of a time as a file, streamed; jobs by when they were submitted, attempts by
        when they were sent, alerts by when they began."""
        kind = one_of(request, "what", export.KINDS)
        form = one_of(request, "format", export.FORMATS, "csv")
        start, end = edge(request, "from"), edge(request, "to")
        if start and end and start >= end:
            raise ValidationError({"to": [_("It must be after from.")]})
        answer = StreamingHttpResponse(
            export.export(kind, form, start, end), content_type=export.FORMATS[form]
        )
        params = request.query_params
        first = named(params.get("from", "")) or "all"
        last = named(params.get("to", "")) or f"{timezone.localtime():%Y-%m-%dT%H%M}"
        answer["Content-Disposition"] = f'attachment; filename="{kind}_{first}_{last}.{form}"'
        answer["X-Content-Type-Options"] = "nosniff"
        answer["Cache-Control"] = "no-store"
        return answer

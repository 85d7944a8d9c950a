"""Bodies: JSON up to a limit, files as a stream."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.response import Response
from rest_framework.views import exception_handler

from jobs import values
from node.errors import DEEPEST

Context = Mapping[str, Any] | None


def answer_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's own answers, and a sentence where the body is too large."""
    if not isinstance(error, RequestDataTooBig):
        return exception_handler(error, context)
    message = _(
        "At most %(most)s MB are read. Upload files to /api/files and name them in “files”."
    )
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
    return Response(
        {"body": [message % {"most": most}]}, status=status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    )


class LimitedJSON(JSONParser):
    """JSON, refused before it is read where it is larger than any job needs, and after where it
    could not be told again."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Context = None
    ) -> Any:
        request = (parser_context or {})["request"]
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError:
            message = _("Nested more than %(most)s deep.") % {"most": DEEPEST}
            raise ValidationError({"body": [message]}) from None
        if found := values.refused(data):
            raise ValidationError(found)
        return data


class Raw:
    """A body read piece by piece, with an upload's `chunks`."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def chunks(self) -> Iterator[bytes]:
        while piece := self.stream.read(2**20):
            yield piece


class RawBody(BaseParser):
    media_type = "application/octet-stream"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Context = None
    ) -> dict[str, Raw]:
        return {"file": Raw(stream)}

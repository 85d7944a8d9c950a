"""Bodies: JSON up to a limit, files as a stream."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser, JSONParser


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class LimitedJSON(JSONParser):
    """JSON, refused before it is read where it is larger than any job needs."""

    def parse(
        self, stream: Any, media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        request = (parser_context or {})["request"]
        size = int(request.META.get("CONTENT_LENGTH") or 0)
        if size > most:
            message = _(
                "The body has %(size)s MB, at most %(most)s MB are read."
                " Upload files to /api/files and name them in “files”."
            )
            raise BodyTooLarge({"body": [message % {"size": size // 2**20, "most": most // 2**20}]})
        return super().parse(stream, media_type, parser_context)


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
        self, stream: Any, media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Raw]:  # fmt: skip
        return {"file": Raw(stream)}

"""Answers in JSON, whatever the rows hold."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer

from jobs import values


class AnyJSON(JSONRenderer):
    """One row that no answer can hold keeps nobody from all the others."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return super().render(data, accepted_media_type, renderer_context)
        except (ValueError, RecursionError):
            return super().render(values.mended(data), accepted_media_type, renderer_context)

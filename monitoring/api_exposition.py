"""/metrics, for Prometheus: with a token, as everything else."""

from collections.abc import Iterable

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from prometheus_client.exposition import choose_encoder
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from monitoring import snapshot
from monitoring.exposition import registry


class AsItComes(BaseContentNegotiation):
    """What is wanted is told to the encoder; our own renderers answer errors alone."""

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class Exposition(APIView):
    content_negotiation_class = AsItComes

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        version = str(settings.SPECTACULAR_SETTINGS["VERSION"])
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        seen = snapshot.read(timezone.now())
        return HttpResponse(encode(registry(seen, version)), content_type=content_type)

"""Channels by API, for staff: list, add, change, delete, test, and what was sent."""

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs.api import ByKey
from monitoring import channels, notify
from monitoring.api_alerts import attempt, checked
from monitoring.models import Channel, Delivery
from monitoring.serializers_channels import ChannelChange, ChannelIn, ChannelOut, DeliveryOut

FILTERS = {"state": Delivery.State.values, "kind": Delivery.Kind.values}
PARAMETERS = [OpenApiParameter(name, str, enum=words) for name, words in FILTERS.items()]
PARAMETERS += [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]


class ChannelList(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(responses=ChannelOut(many=True))
    def get(self, request: Request) -> Response:
        """By name. Their URLs are masked."""
        return Response(ChannelOut(Channel.objects.all(), many=True).data)

    @extend_schema(request=ChannelIn, responses={201: ChannelOut})
    @method_decorator(sensitive_variables("given"))
    def post(self, request: Request) -> Response:
        """Its URL is checked first: a service that is known, a target that is allowed."""
        given, user = checked(ChannelIn, request), request.user
        made = attempt(lambda: channels.add(
            who=user.get_username(), now=timezone.now(), admin=user.is_superuser, **given
        ))  # fmt: skip
        return Response(ChannelOut(made).data, status=201)


class ChannelDetail(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(responses=ChannelOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ChannelOut(get_object_or_404(Channel, pk=pk)).data)

    @extend_schema(request=ChannelChange, responses=ChannelOut)
    @method_decorator(sensitive_variables("given"))
    def patch(self, request: Request, pk: int) -> Response:
        """What is left out stays, the URL too."""
        channel, given = get_object_or_404(Channel, pk=pk), checked(ChannelChange, request)
        attempt(lambda: channels.change(channel, request.user.is_superuser, **given))
        return Response(ChannelOut(channel).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """With the log of what was sent there."""
        get_object_or_404(Channel, pk=pk).delete()
        return Response(status=204)


class ChannelTest(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(request=None, responses={202: DeliveryOut})
    def post(self, request: Request, pk: int) -> Response:
        """The monitor sends it within a second or two; its delivery says what became of it."""
        row = notify.test(get_object_or_404(Channel, pk=pk), timezone.now())
        return Response(DeliveryOut(row).data, status=202)


class ChannelDeliveries(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(parameters=PARAMETERS, responses=DeliveryOut(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """The newest first."""
        get_object_or_404(Channel, pk=pk)
        rows = Delivery.objects.filter(channel=pk)
        rows = rows.select_related("channel").prefetch_related("alerts")
        for name, words in FILTERS.items():
            rows = narrowed(rows, name, words, request.query_params.getlist(name))
        pager = ByKey()
        page = pager.paginate_queryset(rows, request, self)
        return pager.get_paginated_response(DeliveryOut(page, many=True).data)


def narrowed(
    rows: QuerySet[Delivery], name: str, words: list[str], chosen: list[str]
) -> QuerySet[Delivery]:
    if any(word not in words for word in chosen):
        raise ValidationError({name: [_("One of %s.") % ", ".join(words)]})
    return rows.filter(**{f"{name}__in": chosen}) if chosen else rows

"""Alerts by API: look, acknowledge, silence, maintenance, the rules' settings."""

from collections.abc import Callable
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from cluster.api import StaffWrites, as_answer
from cluster.nodes import Refused
from jobs.api import ByKey, Conflict, naming
from monitoring import alert_filters, alerts, monitor_beat, rule_settings, silences
from monitoring.models import Alert, AlertState, RuleSetting, Silence
from monitoring.rules import RULES
from monitoring.serializers_alerts import (
    AlertOut,
    MaintenanceIn,
    MaintenanceOut,
    RuleIn,
    RuleOut,
    SilenceChange,
    SilenceIn,
    SilenceOut,
    rule_values,
)

FILTERS = [OpenApiParameter(name, str, many=True) for name in alert_filters.NAMES]
FILTERS += [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]


def attempt(act: Callable[[], Any]) -> Any:
    """What `act` returns; what it refuses as the API says it."""
    try:
        return act()
    except Refused as refused:
        raise as_answer(refused) from None


def checked(kind: type[Serializer], request: Request) -> dict[str, Any]:
    found = kind(data=request.data)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def context() -> dict[str, Any]:
    return {"silences": silences.active(timezone.now())}


class AlertList(APIView):
    @extend_schema(parameters=FILTERS, responses=AlertOut(many=True))
    def get(self, request: Request) -> Response:
        """The newest first; `state=open`: firing or acknowledged. `next` leads on.

        A dead monitor cannot raise alerts: its silence is found at the moment, without a number.
        """
        with naming():
            rows = alert_filters.filtered(request.query_params)
        pager = ByKey()
        page = list(pager.paginate_queryset(rows, request, self) or [])
        if "cursor" not in request.query_params:
            silent = monitor_beat.found(timezone.now())
            if silent and alert_filters.admits(request.query_params, silent):
                page.insert(0, silent)
        return pager.get_paginated_response(AlertOut(page, many=True, context=context()).data)


class AlertDetail(APIView):
    @extend_schema(responses=AlertOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(AlertOut(get_object_or_404(Alert, pk=pk), context=context()).data)


class AlertAcknowledge(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=None, responses=AlertOut)
    def post(self, request: Request, pk: int) -> Response:
        """Somebody cares: it stays open. Again, nothing changes. 409: it is over."""
        alert = get_object_or_404(Alert, pk=pk)
        if not alerts.acknowledge(alert, request.user.get_username(), timezone.now()):
            if alert.state == AlertState.PENDING:
                raise Conflict(_("It does not fire yet: it has not lasted for long enough."))
            raise Conflict(_("It is over already."))
        return Response(AlertOut(alert, context=context()).data)


class SilenceList(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(
        parameters=[OpenApiParameter("active", bool, description="true: those that last")],
        responses=SilenceOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """The newest first, those that have ended too."""
        rows = Silence.objects.all()
        if request.query_params.get("active", "").lower() in ("true", "1"):
            rows = rows.filter(ends_at__gt=timezone.now())
        pager = ByKey()
        page = pager.paginate_queryset(rows, request, self)
        return pager.get_paginated_response(SilenceOut(page, many=True).data)

    @extend_schema(request=SilenceIn, responses={201: SilenceOut})
    def post(self, request: Request) -> Response:
        """Send nothing about these alerts until then; they are raised and shown all the same."""
        given = checked(SilenceIn, request)
        who, now = request.user.get_username(), timezone.now()
        made = attempt(lambda: silences.add(**given, who=who, now=now))
        return Response(SilenceOut(made).data, status=201)


class SilenceDetail(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=SilenceOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(SilenceOut(get_object_or_404(Silence, pk=pk)).data)

    @extend_schema(request=SilenceChange, responses=SilenceOut)
    def patch(self, request: Request, pk: int) -> Response:
        """Another end, another comment. 409: it has ended."""
        silence, given = get_object_or_404(Silence, pk=pk), checked(SilenceChange, request)
        comment, ends_at = given.get("comment"), given.get("ends_at")
        attempt(lambda: silences.change(silence, comment, ends_at, timezone.now()))
        return Response(SilenceOut(silence).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """End it now; it stays in the list as history."""
        silences.end(get_object_or_404(Silence, pk=pk), timezone.now())
        return Response(status=204)


class Maintenance(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=MaintenanceOut)
    def get(self, request: Request) -> Response:
        return Response(maintenance())

    @extend_schema(request=MaintenanceIn, responses=MaintenanceOut)
    def put(self, request: Request) -> Response:
        """One switch for all notices; it switches itself off."""
        given, now = checked(MaintenanceIn, request), timezone.now()
        if not given["on"]:
            silences.stop_maintenance(now)
            return Response(maintenance())
        ends_at = given["ends_at"] or now + silences.MAINTENANCE
        who = request.user.get_username()
        attempt(lambda: silences.start_maintenance(given["comment"], ends_at, who, now))
        return Response(maintenance())


def maintenance() -> Any:
    on = silences.maintenance(timezone.now())
    values = {
        "on": on is not None,
        "comment": on.comment if on else "",
        "ends_at": on.ends_at if on else None,
        "created_by": on.created_by if on else "",
    }
    return MaintenanceOut(values).data


def rules() -> dict[str, Any]:
    rows = {row.rule: row for row in RuleSetting.objects.all()}
    return {
        name: RuleOut(rule_values(
            rule, rows[name].changed_at if name in rows else None,
            rows[name].changed_by if name in rows else "",
        )).data
        for name, rule in rule_settings.read().items()
    }  # fmt: skip


class RuleList(APIView):
    @extend_schema(responses=RuleOut(many=True))
    def get(self, request: Request) -> Response:
        """Every rule as it holds now, and as it comes."""
        return Response(list(rules().values()))


class RuleDetail(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=RuleOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(rules()[known(name)])

    @extend_schema(request=RuleIn, responses=RuleOut)
    def put(self, request: Request, name: str) -> Response:
        """The monitor takes it from its next look on."""
        given, who = checked(RuleIn, request), request.user.get_username()
        rule = known(name)
        attempt(lambda: rule_settings.change(rule, **given, who=who, now=timezone.now()))
        return Response(rules()[name])

    @extend_schema(responses=RuleOut)
    def delete(self, request: Request, name: str) -> Response:
        """Back to how it comes."""
        rule_settings.reset(known(name))
        return Response(rules()[name])


def known(name: str) -> str:
    if name not in RULES:
        raise Http404(_("There is no such rule."))
    return name

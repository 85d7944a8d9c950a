"""Advice by API: what is recommended and why, apply it, take it back."""

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster.api import StaffWrites
from jobs.api import Conflict
from monitoring import advice
from monitoring import serializers_advice as told
from monitoring.models import Change
from monitoring.serializers_advice import ApplyIn, ChangeOut, StudyOut, UndoIn


def represent() -> dict[str, Any]:
    last = advice.latest()
    body = last.body if last else {"window": {}, "recommendations": [], "refusals": []}
    applied = advice.applied(last) if last else set()
    return {
        "computed_at": last.at if last else None,
        "window": body["window"],
        "recommendations": [told.recommendation(one, applied) for one in body["recommendations"]],
        "refusals": [told.refusal(one) for one in body["refusals"]],
        "changes": [told.change(row) for row in advice.changes()],
        "page": told.page(),
    }


class Optimize(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=StudyOut)
    def get(self, request: Request) -> Response:
        """What is recommended, with its evidence, and about what nothing can be said, and why.

        The monitor computes it every hour; `computed_at` is null before it has done so.
        """
        return Response(StudyOut(represent()).data)

    @extend_schema(request=ApplyIn, responses={201: ChangeOut})
    def post(self, request: Request) -> Response:
        """Apply one recommendation. 409 where it holds no more, or is for people to do."""
        checked = ApplyIn(data=request.data)
        checked.is_valid(raise_exception=True)
        try:
            change = advice.apply(checked.validated_data["id"], request.user, timezone.now())
        except advice.Refused as refused:
            raise Conflict(str(refused)) from None
        return Response(ChangeOut(told.change(change)).data, status=201)


class Refresh(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=None, responses=StudyOut)
    def post(self, request: Request) -> Response:
        """Compute the advice now, from fewer jobs than the monitor takes: within 15 seconds."""
        advice.study(timezone.now(), most=advice.SHORT_MOST, seconds=advice.SHORT_SECONDS)
        return Response(StudyOut(represent()).data)


class Undo(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=UndoIn, responses=ChangeOut)
    def post(self, request: Request) -> Response:
        """Take an applied recommendation back. 409 where somebody changed it since."""
        checked = UndoIn(data=request.data)
        checked.is_valid(raise_exception=True)
        try:
            change = advice.undo(checked.validated_data["change"], request.user, timezone.now())
        except Change.DoesNotExist:
            raise Http404 from None
        except advice.Refused as refused:
            raise Conflict(str(refused)) from None
        return Response(ChangeOut(told.change(change)).data)

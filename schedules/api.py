from typing import Any

from django.db import IntegrityError
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster.wording import said
from jobs import parameters
from jobs.api import ByKey, Conflict, may_change, once
from schedules import due, keeping, times
from schedules.models import Schedule
from schedules.serializers import PauseIn, PreviewOut, RuleIn, RunOut, ScheduleIn, ScheduleOut
from schedules.words import wall_clock

PREVIEW = ("cron", "every_seconds", "anchor", "time_zone", "start_at", "end_at")


class ByTime(ByKey):
    ordering = "-scheduled_for"
    reads = staticmethod(parameters.parse)


def rows() -> QuerySet[Schedule]:
    return Schedule.objects.select_related("owner")


def own(request: Request, pk: int) -> Schedule:
    """The one, after checking that this user may change it."""
    schedule = get_object_or_404(rows(), pk=pk)
    may_change(request, schedule.owner_id)
    return schedule


def represent(pk: int) -> dict[str, Any]:
    return ScheduleOut(get_object_or_404(rows(), pk=pk)).data


def checked(data: Any, owner: Any, schedule: Schedule | None = None) -> dict[str, Any]:
    found = ScheduleIn(schedule, data=data, partial=bool(schedule), context={"owner": owner})
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


def same_name() -> ValidationError:
    return ValidationError({"name": [_("There is a schedule of this name already.")]})


class ScheduleList(APIView):
    @extend_schema(
        parameters=[
            OpenApiParameter("owner", str),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
        ],
        responses=ScheduleOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """The newest first; `next` leads on."""
        found = rows()
        if owner := request.query_params.get("owner", "").replace("\0", ""):
            found = found.filter(owner__username=owner)
        pager = ByKey()
        page = pager.paginate_queryset(found, request, self)
        return pager.get_paginated_response(ScheduleOut(page, many=True).data)

    @extend_schema(request=ScheduleIn, responses={201: ScheduleOut})
    def post(self, request: Request) -> Response:
        """Submit a job or a sweep again and again."""
        values = checked(request.data, request.user)
        try:
            schedule = keeping.create(values, request.user, timezone.now())
        except IntegrityError:  # two at a time
            raise same_name() from None
        return Response(represent(schedule.pk), status=status.HTTP_201_CREATED)


class ScheduleDetail(APIView):
    @extend_schema(responses=ScheduleOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(represent(pk))

    @extend_schema(request=ScheduleIn(partial=True), responses=ScheduleOut)
    def patch(self, request: Request, pk: int) -> Response:
        """Change it; what is left out stays. With a new rule its times count from now."""
        schedule = own(request, pk)
        values = checked(request.data, schedule.owner, schedule)
        try:
            keeping.change(schedule, values, timezone.now())
        except IntegrityError:
            raise same_name() from None
        return Response(represent(pk))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Delete it and the history of its times. What it started stays."""
        own(request, pk).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class SchedulePause(APIView):
    @extend_schema(request=PauseIn, responses=ScheduleOut)
    def post(self, request: Request, pk: int) -> Response:
        """Start nothing until it is resumed."""
        schedule = own(request, pk)
        given = PauseIn(data=request.data)
        given.is_valid(raise_exception=True)
        why = given.validated_data.get("reason", "")
        keeping.pause(schedule, request.user.get_username(), why, timezone.now())
        return Response(represent(pk))


class ScheduleResume(APIView):
    @extend_schema(request=None, responses=ScheduleOut)
    def post(self, request: Request, pk: int) -> Response:
        """Go on with the next time; nothing is made up for."""
        keeping.resume(own(request, pk), timezone.now())
        return Response(represent(pk))


class ScheduleRunNow(APIView):
    @extend_schema(request=None, responses={201: RunOut})
    def post(self, request: Request, pk: int) -> Response:
        """Start it once, at once, paused or not. Its times stay as they are."""
        schedule, who = own(request, pk), request.user.get_username()

        def start() -> Any:
            run = due.run_now(schedule, who, timezone.now())
            return run.job or run.sweep

        try:
            work, new = once(request, start)
        except due.Overlaps as overlaps:
            message = _("Not while the last one is open: %(work)s.")
            raise Conflict(message % {"work": said(overlaps.why)}) from None
        except due.Refused as refused:
            raise ValidationError({"body": [said(refused.why)]}) from None
        link = {"job": work} if schedule.what == Schedule.What.JOB else {"sweep": work}
        run = get_object_or_404(schedule.runs, **link)
        return Response(RunOut(run).data, status=201 if new else 200)


class ScheduleRuns(APIView):
    @extend_schema(
        parameters=[OpenApiParameter("limit", int), OpenApiParameter("cursor", str)],
        responses=RunOut(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        """What became of its times, the latest first."""
        schedule = get_object_or_404(Schedule, pk=pk)
        pager = ByTime()
        page = pager.paginate_queryset(schedule.runs.all(), request, self)
        return pager.get_paginated_response(RunOut(page, many=True).data)


class SchedulePreview(APIView):
    @extend_schema(
        parameters=[OpenApiParameter(name, str) for name in PREVIEW], responses=PreviewOut
    )
    def get(self, request: Request) -> Response:
        """The next five times of a rule, before it is saved."""
        given = RuleIn(data={k: v for k, v in request.query_params.items() if v})
        given.is_valid(raise_exception=True)
        found = preview(given.validated_data)
        zone = given.validated_data["zone"]
        return Response({
            "next_times": found, "local_times": [wall_clock(at, zone) for at in found]
        })  # fmt: skip


def preview(values: dict[str, Any]) -> list[Any]:
    now = timezone.now()
    if values["every_seconds"] and not values["anchor"]:
        values["anchor"] = (values["start_at"] or now).replace(microsecond=0)
    return times.next_times(times.Rule(**values), now)

"""Failures by what they have in common: what the page /failures shows, and its requeue."""

from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import failures, lifecycle
from jobs.failures import Group
from jobs.models import Attempt

USUAL = 7
DAYS = OpenApiParameter("days", int, enum=list(failures.DAYS), description="looked back; usual: 7")


class ShareOut(serializers.Serializer):
    name = serializers.CharField()
    count = serializers.IntegerField()


class SpecShareOut(ShareOut):
    id = serializers.IntegerField(source="pk")


class ExampleOut(serializers.ModelSerializer):
    node = serializers.CharField(source="node.name")

    class Meta:
        model = Attempt
        fields = [
            "job", "number", "node", "outcome", "error_type", "error", "traceback", "exit_code",
            "finished_at",
        ]  # fmt: skip


class GroupOut(serializers.Serializer):
    """Attempts that failed in the same way."""

    fingerprint = serializers.CharField()
    title = serializers.CharField()
    where = serializers.SerializerMethodField()
    count = serializers.IntegerField(help_text="attempts")
    jobs = serializers.IntegerField(help_text="jobs that these are attempts of")
    failed = serializers.IntegerField(help_text="of these jobs, those still failed because of it")
    requeueable = serializers.IntegerField(source="yours", help_text="of them, those you may")
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    nodes = ShareOut(many=True)
    specs = SpecShareOut(many=True)
    example = ExampleOut()

    def get_where(self, group: Group) -> str:
        return failures.whose_fault(group, self.context["nodes"])


class GroupsOut(serializers.Serializer):
    days = serializers.IntegerField()
    more = serializers.BooleanField(help_text="there are less frequent groups, too")
    results = GroupOut(many=True)


class DaysIn(serializers.Serializer):
    days = serializers.ChoiceField(failures.DAYS, default=USUAL)


class RequeuedOut(serializers.Serializer):
    requeued = serializers.IntegerField()
    left_out = serializers.IntegerField(help_text="somebody else's")


def days_of(data: Any) -> int:
    checked = DaysIn(data=data)
    checked.is_valid(raise_exception=True)
    return int(checked.validated_data["days"])


def owner_of(request: Request) -> int | None:
    return None if request.user.is_staff else request.user.pk


def the_digest(text: str) -> str:
    if failures.DIGEST.fullmatch(text) and Attempt.objects.filter(fingerprint=text).exists():
        return text
    raise Http404(_("No attempt that is kept failed in this way."))


def start_of(request: Request, now: datetime) -> tuple[int, datetime]:
    days = days_of({"days": request.query_params.get("days", USUAL)})
    return days, failures.since(days, now)


class FailureList(APIView):
    @extend_schema(operation_id="failures_list", parameters=[DAYS], responses=GroupsOut)
    def get(self, request: Request) -> Response:
        """The most frequent first; one node: the machine, several: the code."""
        days, start = start_of(request, timezone.now())
        most = failures.MOST_GROUPS
        found = failures.groups(start, owner_of(request), most + 1)
        told = {"days": days, "more": len(found) > most, "results": found[:most]}
        return Response(GroupsOut(told, context={"nodes": failures.nodes_in_all()}).data)


class FailureDetail(APIView):
    @extend_schema(parameters=[DAYS], responses=GroupOut)
    def get(self, request: Request, digest: str) -> Response:
        _days, start = start_of(request, timezone.now())
        found = failures.groups(start, owner_of(request), 1, the_digest(digest))
        if not found:
            raise Http404(_("Nothing failed in this way in this time; it did before."))
        return Response(GroupOut(found[0], context={"nodes": failures.nodes_in_all()}).data)


class FailureRequeue(APIView):
    @extend_schema(request=DaysIn, responses=RequeuedOut)
    def post(self, request: Request, digest: str) -> Response:
        """Queue again those jobs that it left failed, as far as they are yours."""
        if not isinstance(request.data, dict):
            raise ValidationError({"days": [_('An object like {"days": 7}.')]})
        now, digest = timezone.now(), the_digest(digest)
        failed = failures.failed_jobs(digest, failures.since(days_of(request.data), now))
        owner = owner_of(request)
        allowed = failed if owner is None else failed.filter(owner=owner)
        others = 0 if owner is None else failed.exclude(owner=owner).count()
        done = lifecycle.requeue(allowed, now, request.user.get_username())
        return Response({"requeued": done, "left_out": others})

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster.joining import invitations, script
from cluster.joining.serializers import InvitationIn
from cluster.joining.views.door import origin
from cluster.joining.views.progress import receipt_of
from cluster.models import Invitation

SHOWN = 50


class CheckOut(serializers.Serializer):
    name = serializers.CharField()
    ok = serializers.BooleanField(allow_null=True, help_text="null: not known yet")
    level = serializers.CharField(help_text="good, warning, bad or waiting")
    words = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


class InvitationOut(serializers.ModelSerializer):
    """An invitation with its receipt. The token is in the answer that made it, never again."""

    state = serializers.SerializerMethodField()
    node = serializers.CharField(source="node.name", default=None)
    created_by = serializers.CharField(source="created_by.username")
    checks = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = [
            "id", "state", "name", "address", "slots", "tags", "node", "created_by", "created_at",
            "expires_at", "used_at", "revoked_at", "welcome_job", "checks",
        ]  # fmt: skip

    def get_state(self, invitation: Invitation) -> str:
        return invitations.state(invitation, timezone.now())

    @extend_schema(responses=CheckOut(many=True))
    def get_checks(self, invitation: Invitation) -> Any:
        return CheckOut(receipt_of(invitation, timezone.now()), many=True).data


class InvitationMade(InvitationOut):
    line = serializers.CharField(help_text="to be run on the node; shown only now")
    look_first = serializers.CharField(help_text="the same for people who read what they run")

    class Meta(InvitationOut.Meta):
        fields = [*InvitationOut.Meta.fields, "line", "look_first"]


class InvitationList(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(responses=InvitationOut(many=True))
    def get(self, request: Request) -> Response:
        """The latest first."""
        rows = Invitation.objects.select_related("created_by", "node")[:SHOWN]
        return Response(InvitationOut(rows, many=True).data)

    @extend_schema(request=InvitationIn, responses={201: InvitationMade})
    def post(self, request: Request) -> Response:
        """Invite a machine: the answer holds the line to run there, good once, for 15 minutes."""
        wanted = InvitationIn(data=request.data)
        wanted.is_valid(raise_exception=True)
        made, token = invitations.invite(request.user, timezone.now(), **wanted.validated_data)
        place = origin(request)
        return Response(
            {
                **InvitationOut(made).data,
                "line": script.line(place, token),
                "look_first": script.look_first(place, token),
            },
            status=status.HTTP_201_CREATED,
            headers={"Cache-Control": "no-store"},
        )


class InvitationDetail(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(responses=InvitationOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(InvitationOut(get_object_or_404(Invitation, pk=pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Revoke it: its line is worthless from now on. One that was used answers 409."""
        row = get_object_or_404(Invitation, pk=pk)
        if not invitations.revoke(row, timezone.now()) and row.used_at:
            return Response({"detail": invitations.USED}, status=status.HTTP_409_CONFLICT)
        return Response(status=status.HTTP_204_NO_CONTENT)

"""What comes in: wishes for a node to be invited, and the words of one on its way in."""

import re
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from cluster import addresses, nodes, tags
from cluster.joining.receipt import CHECKS, number
from cluster.models import Node
from jobs.serializers import StrictSerializer

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)  # also a folder and a service
TOLD = [name for name in CHECKS if name not in ("reached", "port_out", "online", "test_job")]


def checked_name(name: str) -> str:
    if name and not NAME.fullmatch(name):
        raise serializers.ValidationError(
            _("Use letters, digits and . _ - alone, 63 at most, a letter or digit first.")
        )
    return name


def checked_address(address: str) -> str:
    try:
        return addresses.checked(address) if address else ""
    except addresses.BadAddress as bad:
        raise serializers.ValidationError(str(bad)) from None


class InvitationIn(StrictSerializer):
    """Everything may be left to the machine itself."""

    name = serializers.CharField(max_length=63, required=False, allow_blank=True)
    address = serializers.CharField(max_length=253, required=False, allow_blank=True)
    slots = serializers.IntegerField(
        min_value=1, max_value=nodes.MOST_SLOTS, required=False, allow_null=True
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=tags.LONGEST), required=False
    )

    def validate_name(self, name: str) -> str:
        return checked_name(name)

    def validate_address(self, address: str) -> str:
        return checked_address(address)

    def validate_tags(self, given: list[str]) -> list[str]:
        try:
            return tags.checked(given)
        except tags.BadTag as bad:
            raise serializers.ValidationError(str(bad)) from None

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """A name that another node has would be found out only when the machine is set up."""
        if data.get("name"):
            address = data.get("address", "")
            node = Node.objects.filter(address__iexact=address).first() or Node(address=address)
            try:
                nodes.checked_name(data["name"], node)
            except nodes.Refused as refusal:
                raise serializers.ValidationError({"name": [str(refusal)]}) from None
        return data


class ReportIn(StrictSerializer):
    """One check, as the script tells of it. What it says is shown, never believed to be ours."""

    check = serializers.ChoiceField(choices=[*TOLD, "waiting"])
    ok = serializers.BooleanField(required=False, default=True)
    value = serializers.CharField(required=False, default="", allow_blank=True, max_length=300)
    address = serializers.CharField(required=False, default="", allow_blank=True, max_length=253)
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=63)

    def validate_name(self, name: str) -> str:
        return checked_name(name)

    def validate_address(self, address: str) -> str:
        return checked_address(address)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if data["check"] == "clock" and number(data["value"]) is None:
            raise serializers.ValidationError({"value": [_("Give seconds since 1970.")]})
        return data

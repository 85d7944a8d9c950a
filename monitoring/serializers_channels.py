"""Channels and their deliveries as the API shows them, and what it takes. URLs go in, never out."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.serializers import StrictSerializer
from monitoring import carrying, targets
from monitoring.models import Channel, Delivery, Severity

LEAST = ", ".join(Severity.values)
URL = "an Apprise URL, or mailto:somebody@example.org; never shown again"


class ChannelIn(StrictSerializer):
    name = serializers.CharField(max_length=100)
    url = serializers.CharField(write_only=True, max_length=2000, help_text=URL)
    least = serializers.CharField(
        required=False, help_text=f"the least severe that it hears of: {LEAST}"
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=100), required=False, max_length=50,
        help_text="of the nodes that it hears about; empty: everything",
    )  # fmt: skip
    allow_private = serializers.BooleanField(
        required=False, help_text="private and loopback targets; only an admin may allow them"
    )
    enabled = serializers.BooleanField(required=False)


class ChannelChange(ChannelIn):
    """What is left out stays."""

    name = serializers.CharField(max_length=100, required=False)
    url = serializers.CharField(write_only=True, max_length=2000, required=False, help_text=URL)


class ChannelOut(serializers.ModelSerializer):
    target = serializers.SerializerMethodField(help_text="masked: schema and host alone")
    least = serializers.CharField(help_text=LEAST)
    tags = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Channel
        fields = [
            "id", "name", "target", "least", "tags", "allow_private", "enabled", "created_at",
            "created_by",
        ]  # fmt: skip

    def get_target(self, channel: Channel) -> str:
        return targets.masked(channel.url)


class DeliveryOut(serializers.ModelSerializer):
    """A notice to one channel, and what became of it."""

    channel = serializers.CharField(source="channel.name")
    kind = serializers.CharField(help_text=", ".join(Delivery.Kind.values))
    state = serializers.CharField(help_text=", ".join(Delivery.State.values))
    error = serializers.SerializerMethodField(help_text="of the last try; empty: none")
    next_try_at = serializers.SerializerMethodField(help_text="null: no more")
    alerts = serializers.SerializerMethodField(help_text="their numbers")

    class Meta:
        model = Delivery
        fields = [
            "id", "channel", "kind", "state", "title", "body", "tries", "error", "created_at",
            "next_try_at", "sent_at", "alerts",
        ]  # fmt: skip

    def get_error(self, row: Delivery) -> str:
        return carrying.in_words(row.error)

    def get_next_try_at(self, row: Delivery) -> str | None:
        return row.due_at.isoformat() if row.state == Delivery.State.QUEUED else None

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_alerts(self, row: Delivery) -> list[int]:
        return [one.pk for one in row.alerts.all()]

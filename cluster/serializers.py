"""Nodes as the API shows them, and what it takes."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cluster import condition, nodes, tags
from cluster.models import Node
from cluster.strategies import STRATEGIES
from cluster.wording import said
from jobs.serializers import StrictSerializer

# Plain strings in the schema: an enum of this name is the jobs' already.
STATES = "online, suspect, draining, drained, quarantined or offline"
BREAKER_STATES = "closed, open or half-open"
WORDS = serializers.ListField(
    child=serializers.CharField(help_text=", ".join(condition.THROTTLING)), allow_null=True
)


class WordsOut(serializers.CharField):
    """What a row says in Words, in the asker's language."""

    def to_representation(self, value: str) -> str:
        return said(value)


class CanaryOut(serializers.Serializer):
    """Our own test job: when it last ended, and what was wrong."""

    at = serializers.DateTimeField(source="canary_at", allow_null=True)
    error = WordsOut(source="canary_error")


class BreakerOut(serializers.Serializer):
    """closed: trusted with jobs; half-open: from probe_at on, one test job may try."""

    state = serializers.SerializerMethodField(help_text=BREAKER_STATES)
    reason = WordsOut(source="breaker_reason")
    opened_at = serializers.DateTimeField(source="breaker_opened_at", allow_null=True)
    probe_at = serializers.DateTimeField(source="breaker_probe_at", allow_null=True)
    openings = serializers.IntegerField(source="breaker_openings")

    def get_state(self, node: Node) -> str:
        return nodes.breaker(node, self.context["now"])


class PerformanceOut(serializers.Serializer):
    """Against the fleet's median on the same work: 2.0 is twice as fast; null: not known."""

    speed = serializers.FloatField(allow_null=True)
    samples = serializers.IntegerField(source="speed_samples")
    evidence = serializers.ListField(source="speed_evidence", child=serializers.DictField())


class NodeHealthOut(serializers.Serializer):
    """How it is with one node; null: not known."""

    # Needs in its context: now; busy, the slots taken by node id.

    name = serializers.CharField()
    state = serializers.SerializerMethodField(help_text=STATES)
    trouble = WordsOut()
    heartbeat_age_seconds = serializers.SerializerMethodField()
    breaker = BreakerOut(source="*")
    canary = CanaryOut(source="*")
    round_trip_ms = serializers.SerializerMethodField()
    clock_skew_seconds = serializers.SerializerMethodField()
    dispatch_ms = serializers.FloatField(allow_null=True)
    temperature = serializers.SerializerMethodField(help_text="degrees Celsius")
    throttled = serializers.SerializerMethodField(help_text="null: it cannot tell")
    throttled_since_boot = serializers.SerializerMethodField(help_text="at any time since then")
    scratch_read_only = serializers.SerializerMethodField(help_text="jobs have no place to write")

    def get_state(self, node: Node) -> str:
        return nodes.state(node, self.busy_of(node), self.context["now"])

    def busy_of(self, node: Node) -> int:
        return int(self.context["busy"].get(node.pk, 0))

    def get_heartbeat_age_seconds(self, node: Node) -> float | None:
        if node.last_seen_at is None:
            return None
        return max(0.0, round((self.context["now"] - node.last_seen_at).total_seconds(), 1))

    def get_round_trip_ms(self, node: Node) -> float | None:
        return condition.number(node.reading, "round_trip_ms")

    def get_clock_skew_seconds(self, node: Node) -> float | None:
        return condition.number(node.reading, "clock_skew_seconds")

    def get_temperature(self, node: Node) -> float | None:
        return condition.number(node.reading, "temperature")

    @extend_schema_field(WORDS)
    def get_throttled(self, node: Node) -> list[str] | None:
        return condition.throttled(node.reading)

    @extend_schema_field(WORDS)
    def get_throttled_since_boot(self, node: Node) -> list[str] | None:
        return condition.throttled(node.reading, "throttled_since_boot")

    def get_scratch_read_only(self, node: Node) -> bool | None:
        return condition.flag(node.reading, "scratch_read_only")


class NodeOut(NodeHealthOut, serializers.ModelSerializer):
    """A node as last heard of."""

    busy = serializers.SerializerMethodField()
    drain_reason = WordsOut()
    load_1 = serializers.SerializerMethodField()
    performance = PerformanceOut(source="*")

    class Meta:
        model = Node
        fields = [
            "name", "address", "state", "slots", "slots_set", "busy", "tags", "auto_tags",
            "draining", "drain_reason", "trouble", "cpus", "platform", "version", "patched",
            "passport", "cpu_percent", "load_1", "memory_free", "memory_total", "disk_free",
            "swap_percent", "temperature", "throttled", "throttled_since_boot",
            "scratch_read_only", "heartbeat_age_seconds", "round_trip_ms", "clock_skew_seconds",
            "dispatch_ms", "canary", "breaker", "performance", "last_seen_at", "added_at",
            "added_by",
        ]  # fmt: skip

    def get_busy(self, node: Node) -> int:
        return self.busy_of(node)

    def get_load_1(self, node: Node) -> float | None:
        return condition.number(node.reading, "load_1")


def tag_list() -> serializers.ListField:
    child = serializers.CharField(max_length=200)
    return serializers.ListField(
        child=child, required=False, max_length=1000,
        help_text=f"lower case letters, digits and . _ : -; {tags.MOST} at most",
    )  # fmt: skip


class NodeIn(StrictSerializer):
    """A machine to use. Its agent may start later."""

    # Types alone: nodes.add and nodes.change look closer, and say what to do.

    address = serializers.CharField(max_length=300, help_text="a host name or an IP address")
    name = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="without: as its agent says"
    )
    slots = serializers.IntegerField(
        required=False, allow_null=True, help_text="null: as many as its agent offers"
    )
    tags = tag_list()


class NodeChange(StrictSerializer):
    """What is left out stays."""

    name = serializers.CharField(max_length=200, required=False)
    slots = serializers.IntegerField(
        required=False, allow_null=True, help_text="null: as many as its agent offers"
    )
    tags = tag_list()


class DrainIn(StrictSerializer):
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


class StrategyIn(StrictSerializer):
    strategy = serializers.ChoiceField(choices=list(STRATEGIES))


class ChoiceOut(serializers.Serializer):
    name = serializers.CharField()
    description = serializers.CharField()


class StrategyOut(serializers.Serializer):
    strategy = serializers.CharField()
    choices = ChoiceOut(many=True)
    changed_at = serializers.DateTimeField(allow_null=True)
    changed_by = serializers.CharField(allow_blank=True)


class HealthOut(serializers.Serializer):
    """healthy, degraded (work goes on, with less) or down (nothing starts); why, in sentences."""

    status = serializers.ChoiceField(choices=["healthy", "degraded", "down"])
    reasons = serializers.ListField(child=serializers.CharField())
    dispatcher = serializers.ChoiceField(choices=["running", "stopped"])
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="nodes, by state")
    nodes = NodeHealthOut(many=True)

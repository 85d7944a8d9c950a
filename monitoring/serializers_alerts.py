"""Alerts, silences and rules as the API shows them, and what it takes."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.serializers import StrictSerializer
from monitoring import alert_words, silences
from monitoring.models import Alert, AlertState, Severity, Silence
from monitoring.rules import RULES, Rule


class LinkOut(serializers.Serializer):
    """Where the rows are that it rests on."""

    label = serializers.CharField()  # type: ignore[assignment]
    url = serializers.CharField()


class AlertOut(serializers.ModelSerializer):
    """One cause, from its first sight to its end."""

    # Needs in its context: silences, those that are active.

    id = serializers.IntegerField(
        source="pk", allow_null=True, help_text="null: monitor_silent, found at the moment"
    )
    severity = serializers.CharField(help_text=", ".join(Severity.values))
    state = serializers.CharField(help_text=", ".join(AlertState.values))
    summary = serializers.SerializerMethodField(help_text="what is")
    advice = serializers.SerializerMethodField(help_text="what to do")
    unit = serializers.SerializerMethodField(help_text="of value and threshold")
    evidence = serializers.SerializerMethodField()
    inside = serializers.SerializerMethodField(help_text="its consequences")
    silenced = serializers.SerializerMethodField(help_text="nothing is sent about it now")

    class Meta:
        model = Alert
        fields = [
            "id", "rule", "severity", "state", "subject", "summary", "advice", "value",
            "threshold", "unit", "started_at", "fired_at", "acknowledged_at", "acknowledged_by",
            "resolved_at", "silenced", "evidence", "inside",
        ]  # fmt: skip

    def get_summary(self, alert: Alert) -> str:
        return alert_words.summary(alert)

    def get_advice(self, alert: Alert) -> str:
        return alert_words.advice(alert)

    def get_unit(self, alert: Alert) -> str:
        return RULES[alert.rule].unit if alert.rule in RULES else ""

    @extend_schema_field(LinkOut(many=True))
    def get_evidence(self, alert: Alert) -> Any:
        return [{"label": one.label, "url": one.url} for one in alert_words.evidence(alert)]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_inside(self, alert: Alert) -> list[str]:
        return alert_words.inside(alert)

    def get_silenced(self, alert: Alert) -> bool:
        return silences.silenced(alert, self.context["silences"])


class SilenceOut(serializers.ModelSerializer):
    class Meta:
        model = Silence
        fields = ["id", "rule", "subject", "comment", "created_at", "created_by", "ends_at"]


class SilenceIn(StrictSerializer):
    """About alerts of this rule, this subject, or both. For everything: maintenance."""

    rule = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="empty: any"
    )
    subject = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="",
        help_text="a node's name, or a schedule by its number (schedule 7); empty: any",
    )  # fmt: skip
    comment = serializers.CharField(max_length=300, help_text="why")
    ends_at = serializers.DateTimeField()


class SilenceChange(StrictSerializer):
    """What is left out stays."""

    comment = serializers.CharField(max_length=300, required=False)
    ends_at = serializers.DateTimeField(required=False)


class MaintenanceIn(StrictSerializer):
    on = serializers.BooleanField()
    comment = serializers.CharField(
        max_length=300, required=False, allow_blank=True, default="", help_text="why"
    )
    ends_at = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="null: in two hours"
    )


class MaintenanceOut(serializers.Serializer):
    """On: alerts are raised and shown, and nothing is sent."""

    on = serializers.BooleanField()
    comment = serializers.CharField(allow_blank=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    created_by = serializers.CharField(allow_blank=True)


class RuleIn(StrictSerializer):
    """All of it anew; null: as it comes."""

    enabled = serializers.BooleanField(default=True)
    threshold = serializers.FloatField(required=False, allow_null=True, default=None)
    hold_seconds = serializers.FloatField(required=False, allow_null=True, default=None)


class RuleOut(serializers.Serializer):
    """A rule as it holds now, and as it comes."""

    # Of a pair (Rule, RuleSetting or None).

    name = serializers.CharField()
    title = serializers.CharField()
    severity = serializers.CharField(help_text=", ".join(Severity.values))
    enabled = serializers.BooleanField()
    threshold = serializers.FloatField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)
    below = serializers.BooleanField(help_text="it holds below the threshold, not from it on")
    hold_seconds = serializers.FloatField(help_text="until it fires")
    clear_threshold = serializers.FloatField(allow_null=True)
    clear_hold_seconds = serializers.FloatField(help_text="until it is over")
    consequence_of = serializers.ListField(child=serializers.CharField())
    default_threshold = serializers.FloatField(allow_null=True)
    default_hold_seconds = serializers.FloatField()
    changed_at = serializers.DateTimeField(allow_null=True)
    changed_by = serializers.CharField(allow_blank=True)


def rule_values(rule: Rule, changed_at: Any, changed_by: str) -> dict[str, Any]:
    default = RULES[rule.name]
    return {
        "name": rule.name,
        "title": alert_words.title(rule.name),
        "severity": rule.severity,
        "enabled": rule.enabled,
        "threshold": rule.threshold,
        "unit": rule.unit,
        "below": rule.below,
        "hold_seconds": rule.hold,
        "clear_threshold": rule.clear_threshold,
        "clear_hold_seconds": rule.clear_hold,
        "consequence_of": list(rule.consequence_of),
        "default_threshold": default.threshold,
        "default_hold_seconds": default.hold,
        "changed_at": changed_at,
        "changed_by": changed_by,
    }

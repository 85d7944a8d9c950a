"""Schedules as the API takes and shows them. Forms and pages use the same check."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cluster.serializers import WordsOut
from cluster.wording import said
from jobs.serializers import StrictSerializer
from schedules import bodies, times
from schedules.models import Run, Schedule


class ZoneField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        name: str = super().to_internal_value(data)
        try:
            if name.startswith((".", "/")):
                raise ValueError
            ZoneInfo(name)
        except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
            self.unknown(name)
        except KeyError:
            self.unknown(name)
        return name

    def unknown(self, name: str) -> None:
        message = _(
            "There is no time zone %(name)s. They read Europe/Berlin, America/New_York, UTC."
        )
        raise serializers.ValidationError(message % {"name": name})


class CronField(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        text = " ".join(super().to_internal_value(data).split())
        if text:
            try:
                times.check_cron(text)
            except times.BadTime as bad:
                raise serializers.ValidationError(said(bad.words)) from None
        return text


class RuleIn(StrictSerializer):
    """When: either `cron` or `every_seconds`."""

    cron = CronField(
        required=False, allow_blank=True, max_length=times.MOST_TEXT,
        help_text="five parts: minute, hour, day of the month, month, day of the week; or @daily …",
    )  # fmt: skip
    every_seconds = serializers.IntegerField(
        required=False, allow_null=True, min_value=times.SHORTEST, max_value=times.LONGEST
    )
    anchor = serializers.DateTimeField(
        required=False, allow_null=True, help_text="every_seconds count from here"
    )
    time_zone = ZoneField(
        required=False, max_length=100, source="zone", help_text="such as Europe/Berlin"
    )
    start_at = serializers.DateTimeField(required=False, allow_null=True)
    end_at = serializers.DateTimeField(required=False, allow_null=True)

    def merged(self, data: dict[str, Any]) -> dict[str, Any]:
        """With what stays as it was; of cron and every_seconds one takes the other's place."""
        old = self.instance
        values: dict[str, Any] = {
            name: getattr(old, name, None)
            for name in ("cron", "every_seconds", "anchor", "zone", "start_at", "end_at")
        } | data
        if data.get("cron") and "every_seconds" not in data:
            values["every_seconds"] = None
        if data.get("every_seconds") and "cron" not in data:
            values["cron"] = ""
        values["cron"] = values["cron"] or ""
        values["zone"] = values["zone"] or settings.TIME_ZONE
        if not values["every_seconds"]:
            values["anchor"] = None
        return values

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        values = self.merged(data)
        if bool(values["cron"]) == bool(values["every_seconds"]):
            message = _("Give either cron or every_seconds.")
            raise serializers.ValidationError({"cron": [message]})
        start, end = values["start_at"], values["end_at"]
        if start and end and end <= start:
            raise serializers.ValidationError({"end_at": [_("It ends before it starts.")]})
        return values


@extend_schema_field({"type": "object"})
class BodyField(serializers.JSONField):
    """A body; looked at by the check of jobs or sweeps."""


class ScheduleIn(RuleIn):
    """What to submit, as `job` or as `sweep`, and when."""

    name = serializers.CharField(max_length=100)
    job = BodyField(required=False, help_text="as POST /api/jobs takes it")
    sweep = BodyField(required=False, help_text="as POST /api/sweeps takes it")
    missed = serializers.ChoiceField(
        choices=Schedule.Missed.values, required=False, help_text="times that nobody was there for"
    )
    overlap = serializers.ChoiceField(
        choices=Schedule.Overlap.values, required=False, help_text="while the last one is open"
    )

    # Needs in its context: owner.

    def validate_name(self, name: str) -> str:
        same = Schedule.objects.filter(owner=self.context["owner"], name=name)
        if self.instance is not None:
            same = same.exclude(pk=self.instance.pk)
        if same.exists():
            raise serializers.ValidationError(_("There is a schedule of this name already."))
        return name

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        given = {what: data.pop(what) for what in Schedule.What.values if what in data}
        values = super().validate(data)
        if len(given) > 1 or not (given or self.instance):
            raise serializers.ValidationError({"job": [_("Give either job or sweep.")]})
        for what, body in given.items():
            try:
                bodies.check(what, body)
            except serializers.ValidationError as error:
                raise serializers.ValidationError({what: error.detail}) from None
            values |= {"what": what, "body": body}
        return values


class PauseIn(StrictSerializer):
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True)


class RunOut(serializers.ModelSerializer):
    """What became of one time."""

    reason = WordsOut()
    job = serializers.IntegerField(source="job_id", allow_null=True)
    sweep = serializers.IntegerField(source="sweep_id", allow_null=True)

    class Meta:
        model = Run
        fields = ["id", "scheduled_for", "until", "at", "outcome", "reason", "who", "job", "sweep"]


class ScheduleOut(serializers.ModelSerializer):
    owner = serializers.CharField(source="owner.username")
    job = serializers.SerializerMethodField()
    sweep = serializers.SerializerMethodField()
    time_zone = serializers.CharField(source="zone")
    state = serializers.CharField(help_text="active, paused or over")
    last_error = WordsOut(help_text="of the last time; empty: none")
    paused_why = WordsOut()
    next_times = serializers.SerializerMethodField(help_text="five, while it is active")
    last_job = serializers.IntegerField(source="last_job_id", allow_null=True)
    last_sweep = serializers.IntegerField(source="last_sweep_id", allow_null=True)

    class Meta:
        model = Schedule
        fields = [
            "id", "name", "owner", "state", "job", "sweep", "cron", "every_seconds", "anchor",
            "time_zone", "start_at", "end_at", "missed", "overlap", "next_at", "next_times",
            "last_at", "last_job", "last_sweep", "last_error", "started", "paused_at", "paused_by",
            "paused_why", "created_at", "changed_at",
        ]  # fmt: skip

    @extend_schema_field({"type": "object", "nullable": True})
    def get_job(self, schedule: Schedule) -> Any:
        return schedule.body if schedule.what == Schedule.What.JOB else None

    @extend_schema_field({"type": "object", "nullable": True})
    def get_sweep(self, schedule: Schedule) -> Any:
        return schedule.body if schedule.what == Schedule.What.SWEEP else None

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "date-time"}})
    def get_next_times(self, schedule: Schedule) -> list[datetime]:
        return coming(schedule, timezone.now())


class PreviewOut(serializers.Serializer):
    next_times = serializers.ListField(child=serializers.DateTimeField())
    local_times = serializers.ListField(
        child=serializers.CharField(), help_text="by the clock of its time zone"
    )


def coming(schedule: Schedule, now: datetime) -> list[datetime]:
    """The next five times; one that is due already, and not yet seen to, is the first."""
    if schedule.next_at is None:
        return []
    after = max(schedule.next_at, now)
    return [schedule.next_at, *times.next_times(schedule.rule, after, 4)]

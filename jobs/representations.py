"""What goes out by the API."""

import threading
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cluster.wording import told_receipt
from jobs import counts, values
from jobs.models import Artifact, Attempt, Event, File, Job, Sweep
from jobs.reasons import reason

kept = threading.local()


def tell(kind: type[serializers.Serializer], what: Any, context: dict[str, Any]) -> dict[str, Any]:
    """One object's representation, by a serializer kept for each thread: making one costs more
    than using it."""
    known: dict[Any, Any] = kept.__dict__
    serializer = known.get(kind)
    if serializer is None:
        serializer = known[kind] = kind()
    serializer._context = context
    return dict(serializer.to_representation(what))


class TryOut(serializers.ModelSerializer):
    """An attempt as the API tells it."""

    node = serializers.CharField(source="node.name")
    placement = serializers.SerializerMethodField()

    class Meta:
        model = Attempt
        fields = [
            "number", "node", "outcome", "error", "error_type", "traceback", "exit_code",
            "fingerprint",
            "placement", "claimed_at", "started_at", "finished_at", "run_seconds", "cpu_seconds",
            "max_rss_kb", "stdout_bytes", "stderr_bytes",
        ]  # fmt: skip

    @extend_schema_field(serializers.DictField())
    def get_placement(self, attempt: Attempt) -> dict[str, Any]:
        return told_receipt(attempt.placement)


class EventOut(serializers.ModelSerializer):
    class Meta:
        model = Event
        fields = ["at", "state", "attempt", "who", "why"]


class JobOut(serializers.ModelSerializer):
    """A job as the API tells it. Needs spec, need, owner and node selected."""

    kind = serializers.CharField(source="spec.kind")
    title = serializers.CharField(source="spec.title")
    owner = serializers.CharField(source="owner.username")
    node = serializers.CharField(source="node.name", default=None, allow_null=True)
    args = serializers.SerializerMethodField()
    result = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    attempts = serializers.IntegerField(source="tried")

    class Meta:
        model = Job
        fields = [
            "id", "name", "kind", "title", "state", "reason", "priority", "owner", "sweep", "args",
            "result", "error", "exit_code", "node", "attempts", "max_attempts", "on_lost",
            "created_at", "run_at", "started_at", "finished_at", "run_seconds",
        ]  # fmt: skip

    @extend_schema_field(serializers.DictField())
    def get_args(self, job: Job) -> Any:
        return values.read(job.args)

    @extend_schema_field({})
    def get_result(self, job: Job) -> Any:
        return None if job.result is None else values.read(job.result)

    def get_reason(self, job: Job) -> str:
        return reason(job, self.context["now"], self.context["views"])


class MakerOut(serializers.Serializer):
    """The schedule that submitted a job."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class JobDetailOut(JobOut):
    # Needs in its context: schedule, as schedules.models.maker tells it.

    spec = serializers.SerializerMethodField()
    tries = TryOut(source="attempts", many=True)
    events = EventOut(many=True)
    waits_for = serializers.SerializerMethodField()
    schedule = serializers.SerializerMethodField(help_text="that submitted it; null: none")

    class Meta(JobOut.Meta):
        fields = [*JobOut.Meta.fields, "held", "waits_for", "schedule", "spec", "tries", "events"]

    def get_spec(self, job: Job) -> dict[str, Any]:
        return {**job.spec.body, "needs": job.need.body, "retry_on": job.spec.retry_on}

    @extend_schema_field(MakerOut(allow_null=True))
    def get_schedule(self, job: Job) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.context["schedule"]
        return found

    def get_waits_for(self, job: Job) -> dict[int, str]:
        return dict(job.dependencies.values_list("on", "kind")) if job.waits else {}


class SweepOut(serializers.ModelSerializer):
    """A sweep with its counts; `counts` may be given in the context, by sweep."""

    owner = serializers.CharField(source="owner.username")
    counts = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    finished_at = serializers.SerializerMethodField()
    spec = serializers.SerializerMethodField()

    class Meta:
        model = Sweep
        fields = [
            "id", "name", "owner", "total", "counts", "state", "mode", "over", "spec",
            "created_at", "finished_at",
        ]  # fmt: skip

    def get_counts(self, sweep: Sweep) -> dict[str, int]:
        return dict(self.context["counts"][sweep.pk])

    def get_state(self, sweep: Sweep) -> str:
        return counts.sweep_state(self.context["counts"][sweep.pk])

    def get_finished_at(self, sweep: Sweep) -> datetime | None:
        return self.context["finished"].get(sweep.pk)

    def get_spec(self, sweep: Sweep) -> dict[str, Any]:
        return dict(sweep.spec.body)


class FileOut(serializers.ModelSerializer):
    class Meta:
        model = File
        fields = ["digest", "size", "created_at"]


class ArtifactOut(serializers.ModelSerializer):
    attempt = serializers.IntegerField(source="attempt.number")
    digest = serializers.CharField(source="file_id", allow_null=True)
    url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ["attempt", "name", "size", "digest", "url", "error"]

    def get_url(self, artifact: Artifact) -> str | None:
        if artifact.file_id is None:
            return None
        name = quote(artifact.name.rsplit("/", 1)[-1])
        return f"{reverse('api-file', args=[artifact.file_id])}?name={name}"

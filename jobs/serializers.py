"""What comes in: the one check for API and pages alike."""

import json
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cluster.strategies import STRATEGIES
from jobs import catalog, submit
from jobs.files import DIGEST
from jobs.models import File, Job, Kind, OnLost

WHAT = {"command": "command", "script": "source", "function": "function"}
MOST_SOURCE = 1_000_000  # characters


def job_numbers(help_text: str) -> serializers.ListField:
    number = serializers.IntegerField(min_value=1, max_value=2**62)
    return serializers.ListField(child=number, required=False, max_length=1000, help_text=help_text)


class StrictSerializer(serializers.Serializer):
    """Refuses fields it does not know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                known = ", ".join(self.fields)
                message = _("Unknown field. Known fields: %(known)s.") % {"known": known}
                raise serializers.ValidationError({name: [message] for name in unknown})
        return super().to_internal_value(data)


@extend_schema_field(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
class CommandField(serializers.Field):
    """A list of words, or one line for /bin/sh."""

    def to_internal_value(self, data: Any) -> Any:
        words = [data] if isinstance(data, str) else data
        if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
            raise serializers.ValidationError(
                _('Give a list of words like ["ls", "-l"], or one shell line.')
            )
        if not words[0].strip() or any("\0" in word for word in words):
            raise serializers.ValidationError(_("The command is empty or holds a zero byte."))
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class NeedsIn(StrictSerializer):
    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    memory_mb = serializers.IntegerField(
        min_value=16, max_value=10_000_000, required=False, allow_null=True
    )
    slots = serializers.IntegerField(min_value=1, max_value=1000, required=False, allow_null=True)
    nodes = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    exclude = serializers.ListField(child=serializers.CharField(max_length=100), required=False)


class RetryOnIn(StrictSerializer):
    """Which failures are worth another attempt; without it, all are."""

    exit_codes = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=255), required=False
    )
    timeout = serializers.BooleanField(required=False)
    exceptions = serializers.ListField(
        child=serializers.CharField(max_length=100),
        required=False,
        help_text="type names such as ValueError; also signal, missing_file …",
    )


class WorkIn(StrictSerializer):
    """What to run and how: shared by a job and a sweep's spec."""

    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    kind = serializers.ChoiceField(choices=Kind.choices)
    command = CommandField(required=False)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, trim_whitespace=False, max_length=MOST_SOURCE
    )
    function = serializers.CharField(required=False, max_length=200)
    isolation = serializers.ChoiceField(choices=["fork", "shared"], required=False)
    args = serializers.DictField(required=False)
    env = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    files = serializers.DictField(child=serializers.RegexField(DIGEST), required=False)
    outputs = serializers.ListField(
        child=serializers.CharField(max_length=300), required=False, max_length=50
    )
    needs = NeedsIn(required=False)
    timeout_seconds = serializers.FloatField(
        min_value=0.1, max_value=31_536_000, required=False, allow_null=True
    )
    cpu_seconds = serializers.IntegerField(
        min_value=1, max_value=31_536_000, required=False, allow_null=True
    )
    output_limit = serializers.IntegerField(
        min_value=1024, max_value=4 * 2**20, required=False, help_text="bytes kept per stream"
    )
    priority = serializers.IntegerField(min_value=-100, max_value=100, required=False)
    max_attempts = serializers.IntegerField(min_value=1, max_value=100, required=False)
    retry_on = RetryOnIn(required=False)
    on_lost = serializers.ChoiceField(choices=OnLost.choices, required=False)
    strategy = serializers.ChoiceField(choices=sorted(STRATEGIES), required=False)
    run_at = serializers.DateTimeField(required=False, allow_null=True)
    held = serializers.BooleanField(required=False)

    def validate_env(self, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not name or "=" in name or "\0" in name + value:
                raise serializers.ValidationError(
                    _("Bad name or value: %(n)s.") % {"n": repr(name)}
                )
        return env

    def validate_files(self, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            refuse_unsafe(name)
        known = set(File.objects.filter(pk__in=files.values()).values_list("pk", flat=True))
        for name, digest in files.items():
            if digest not in known:
                message = _("%(name)s: no such file here; upload it to /api/files first.")
                raise serializers.ValidationError(message % {"name": name})
        return files

    def validate_outputs(self, outputs: list[str]) -> list[str]:
        for pattern in outputs:
            refuse_unsafe(pattern)
        return outputs

    def validate_args(self, args: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(args)) > 1_000_000:
            raise serializers.ValidationError(
                _("Over 1 MB; put it into a file and give it in “files”.")
            )
        return args

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        wanted = WHAT[data["kind"]]
        if not data.get(wanted):
            message = _("A job of kind %(kind)s needs this.") % {"kind": data["kind"]}
            raise serializers.ValidationError({wanted: [message]})
        for name in WHAT.values():
            if name != wanted and name in data:
                message = _("Does not go with kind %(kind)s.") % {"kind": data["kind"]}
                raise serializers.ValidationError({name: [message]})
        if "isolation" in data and data["kind"] != "function":
            raise serializers.ValidationError({"isolation": [_("Is for functions only.")]})
        return data


class JobIn(WorkIn):
    after = job_numbers("wait until these have succeeded (after_ok)")
    after_ok = job_numbers("wait until these have succeeded; cancelled if one does not")
    after_any = job_numbers("wait until these have ended, however")

    def to_internal_value(self, data: Any) -> Any:
        checked = super().to_internal_value(data)
        for name in ("after", "after_ok", "after_any"):
            if not checked.get(name):
                continue
            wanted = set(checked[name])
            known = set(Job.objects.filter(pk__in=wanted).values_list("pk", flat=True))
            if missing := sorted(wanted - known):
                refuse(name, _("No job %(numbers)s.") % {"numbers": ", ".join(map(str, missing))})
        return checked

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        data = super().validate(data)
        if data["kind"] == "function":
            check_function(data["function"], data.get("args", {}))
        return data


JOB_IN = JobIn()  # making its fields costs as much as a check


def check_job(data: Any) -> dict[str, Any]:
    """A job's body, checked. Raises ValidationError."""
    if not isinstance(data, dict):  # in words of its own
        JobIn(data=data).is_valid(raise_exception=True)
    return JOB_IN.run_validation(data)


class JobChange(StrictSerializer):
    """What may be changed while a job is queued."""

    priority = serializers.IntegerField(min_value=-100, max_value=100, required=False)
    max_attempts = serializers.IntegerField(min_value=1, max_value=100, required=False)
    run_at = serializers.DateTimeField(required=False)
    held = serializers.BooleanField(required=False)


class SweepIn(StrictSerializer):
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    spec = WorkIn()
    over = serializers.JSONField()
    mode = serializers.ChoiceField(choices=["grid", "zip", "list"], default="grid")

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        over, mode = data["over"], data["mode"]
        check_list(over) if mode == "list" else check_axes(over, mode)
        total = submit.size(over, mode)
        if not 1 <= total <= submit.MOST_JOBS:
            message = _("Makes %(total)s jobs; between 1 and %(most)s are possible.")
            refuse("over", message % {"total": f"{total:,}", "most": f"{submit.MOST_JOBS:,}"})
        if data["spec"]["kind"] == "function":
            fixed = data["spec"].get("args", {})
            for args in first_of_each_shape(over, mode):
                check_function(data["spec"]["function"], {**fixed, **args}, "over")
        return data


def first_of_each_shape(over: Any, mode: str) -> list[dict[str, Any]]:
    if mode != "list":
        return [next(submit.expand(over, mode))]
    return list({tuple(sorted(args)): args for args in reversed(over)}.values())


def check_list(over: Any) -> None:
    if not isinstance(over, list) or not all(isinstance(args, dict) for args in over):
        refuse("over", _('With mode list, give a list of objects: [{"seed": 1}, {"seed": 2}].'))


def check_axes(over: Any, mode: str) -> None:
    if not isinstance(over, dict) or not over:
        refuse("over", _('Give an object: {"seed": {"range": [0, 500]}, "size": [1, 2]}.'))
    for name, axis in over.items():
        if isinstance(axis, dict):
            check_range(name, axis)
        elif not isinstance(axis, list) or not axis:
            refuse("over", _("%(n)s: give a list of values or a range.") % {"n": name})
    lengths = {name: len(submit.values(axis)) for name, axis in over.items()}
    if mode == "zip" and len(set(lengths.values())) > 1:
        refuse("over", _("With mode zip all axes must be equally long: %(l)s.") % {"l": lengths})


def check_range(name: str, axis: dict[str, Any]) -> None:
    bounds = axis.get("range")
    if set(axis) != {"range"} or not isinstance(bounds, list) or len(bounds) not in (2, 3):
        refuse("over", _('%(n)s: a range reads {"range": [start, stop]}.') % {"n": name})
    elif not all(type(bound) is int and abs(bound) < 2**53 for bound in bounds):
        refuse("over", _("%(n)s: a range is made of whole numbers.") % {"n": name})
    elif len(bounds) == 3 and bounds[2] == 0:
        refuse("over", _("%(n)s: the step must not be 0.") % {"n": name})


def check_function(name: str, args: dict[str, Any], args_field: str = "args") -> None:
    function = catalog.find(name)
    if function is None:
        message = _("No function %(name)s in tasks/.") % {"name": name}
        if near := catalog.nearest(name):
            message += " " + _("Did you mean %(near)s?") % {"near": near}
        refuse("function", message)
    elif problem := catalog.complaint(function, args):
        refuse(args_field, problem)


def refuse(field: str, message: str) -> None:
    raise serializers.ValidationError({field: [message]})


def refuse_unsafe(name: str) -> None:
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise serializers.ValidationError(
            _("%(name)s: give a path below the job's folder, without “..”.") % {"name": repr(name)}
        )

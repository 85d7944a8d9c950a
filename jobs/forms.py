"""The submit form: makes the body the API takes and puts its refusals beside the fields."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs import axes, values
from jobs.catalog import Function, Parameter
from jobs.models import OnLost
from jobs.serializers import JobIn, SweepIn

LIMITS = ("priority", "timeout_seconds", "max_attempts", "memory_mb", "tags", "on_lost", "run_at",
          "outputs", "env", "more")  # fmt: skip
SHOWN = ("kind", "command", "function", "files", "outputs", "env", "args", "needs")
WIDE = ("outputs", "env", "more")  # limits that take a line of their own
MODES = (
    ("grid", gettext_lazy("grid: every combination")),
    ("zip", gettext_lazy("zip: side by side")),
    ("list", gettext_lazy("list: one JSON object a line")),
)


def code(rows: int, placeholder: str = "") -> forms.Textarea:
    return forms.Textarea(
        {"rows": rows, "class": "code-field", "spellcheck": "false", "placeholder": placeholder}
    )


class WorkForm(forms.Form):
    use_required_attribute = False
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200, required=False)
    command = forms.CharField(
        label=gettext_lazy("Command"),
        widget=code(3, "convert in.png -resize 128 out.png"),
        help_text=gettext_lazy("One shell line. It runs in an empty folder with your files in it."),
    )
    source = forms.CharField(
        label=gettext_lazy("Python script"),
        widget=code(12, "print(6 * 7)"),
        strip=False,
        help_text=gettext_lazy(
            "Runs by its own interpreter on the node. To give a result back, write JSON to the "
            "file that DISPYCLUSTER_RESULT names."
        ),
    )
    over = forms.CharField(
        label=gettext_lazy("Axes"),
        widget=code(4, "seed: 0..500\nsize: 1, 2, 4"),
        help_text=gettext_lazy(
            "One a line. 0..500 counts from 0 to 499, 0..500..5 does so in steps of 5; or values "
            "with commas. In a command, {seed} stands for the value."
        ),
    )
    mode = forms.ChoiceField(label=gettext_lazy("Mode"), choices=MODES, initial="grid")
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        required=False,
        help_text=gettext_lazy("-100 to 100; higher first"),
        widget=forms.NumberInput({"placeholder": "0"}),
    )
    timeout_seconds = forms.FloatField(
        label=gettext_lazy("Time limit (s)"),
        required=False,
        widget=forms.NumberInput({"placeholder": gettext_lazy("none"), "step": "any"}),
    )
    max_attempts = forms.IntegerField(
        label=gettext_lazy("Attempts at most"),
        required=False,
        widget=forms.NumberInput({"placeholder": "1"}),
    )
    memory_mb = forms.IntegerField(
        label=gettext_lazy("Memory (MB)"),
        required=False,
        help_text=gettext_lazy("needed, and held to"),
        widget=forms.NumberInput({"placeholder": gettext_lazy("any")}),
    )
    tags = forms.CharField(
        label=gettext_lazy("Tags of the node"),
        required=False,
        widget=forms.TextInput({"placeholder": "arm64, camera"}),
    )
    on_lost = forms.ChoiceField(
        label=gettext_lazy("If its node is lost"),
        choices=[
            (OnLost.RETRY, gettext_lazy("run again elsewhere")),
            (OnLost.FAIL, gettext_lazy("fail: never run twice")),
        ],
        required=False,
    )
    run_at = forms.DateTimeField(
        label=gettext_lazy("Not before"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    outputs = forms.CharField(
        label=gettext_lazy("Files to keep"),
        required=False,
        widget=forms.TextInput({"class": "code-field", "placeholder": "*.png, report.txt"}),
    )
    env = forms.CharField(
        label=gettext_lazy("Environment"), required=False, widget=code(2, "NAME=value")
    )
    more = forms.CharField(
        label=gettext_lazy("Anything else"),
        required=False,
        widget=code(2, '{"needs": {"exclude": ["pi-4"]}, "strategy": "round_robin"}'),
        help_text=gettext_lazy("Other fields of the API, as a JSON object."),
    )

    def __init__(self, kind: str, function: Function | None, *args: Any, **kwargs: Any) -> None:
        """`kind` is command, script, function, sweep of a function or sweep-command."""
        super().__init__(*args, **kwargs)
        self.kind, self.function = kind, function
        self.given: dict[str, str] = {}  # the input files' digests, by name
        self.is_sweep = kind.startswith("sweep")
        self.work = {"sweep": "function", "sweep-command": "command"}.get(kind, kind)
        wanted = {"command": "command", "script": "source"}.get(self.work)
        for name in {"command", "source"} - {wanted}:
            del self.fields[name]
        if not self.is_sweep:
            del self.fields["over"], self.fields["mode"]
        for parameter in function.parameters if function and self.work == "function" else ():
            self.fields[f"arg_{parameter.name}"] = argument_field(parameter, self.is_sweep)

    def argument_fields(self) -> Iterator[forms.BoundField]:
        return (field for field in self if field.name.startswith("arg_"))

    def limit_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in LIMITS if name not in WIDE]

    def limits_open(self) -> bool:
        """Unfold the limits where one is set or wrong."""
        held = self.data if self.is_bound else self.initial
        default = ("", None, OnLost.RETRY)
        return any(name in self.errors or held.get(name) not in default for name in LIMITS)

    def body(self) -> dict[str, Any]:
        """What to POST to the API for this, out of the fields that hold something sensible."""
        data = self.cleaned_data
        more = dict(data.get("more") or {})
        work: dict[str, Any] = {**more, "kind": self.work}
        for name in ("name", "command", "source", "priority", "timeout_seconds", "max_attempts"):
            if data.get(name) not in (None, ""):
                work[name] = data[name]
        if self.work == "function":
            work["function"] = self.function.name if self.function else ""
            if found := {**part(more, "args"), **self.arguments()}:
                work["args"] = found
        if data.get("on_lost") == OnLost.FAIL:
            work["on_lost"] = "fail"
        if data.get("run_at"):
            work["run_at"] = timezone.localtime(data["run_at"]).isoformat()
        needs = {"memory_mb": data.get("memory_mb"), "tags": words(data.get("tags"))}
        parts = {
            "needs": part(more, "needs") | {name: value for name, value in needs.items() if value},
            "outputs": words(data.get("outputs")),
            "env": dict(pairs(data.get("env", ""))),
            "files": self.given,
        }
        work |= {name: value for name, value in parts.items() if value}
        if not self.is_sweep:
            return work
        named = {"name": work.pop("name")} if "name" in work else {}
        return {**named, "spec": work, "over": data.get("over"), "mode": data.get("mode")}

    def arguments(self) -> dict[str, Any]:
        found = {}
        for parameter in self.function.parameters if self.function else ():
            value = self.cleaned_data.get(f"arg_{parameter.name}")
            if value is None and parameter.annotation == "Path" and len(self.given) == 1:
                value = next(iter(self.given))
            if value is not None and f"arg_{parameter.name}" in self.fields:
                found[parameter.name] = value
        return found

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.is_sweep and data.get("over"):
            try:
                data["over"] = axes.read(data["over"], data.get("mode", "grid"))
            except ValueError as bad:  # BadAxis, or a number of thousands of digits
                self.add_error("over", _("Cannot read: %s") % bad)
        if any("=" not in line for line in data.get("env", "").splitlines() if line.strip()):
            self.add_error("env", _("One NAME=value a line."))
        if text := data.get("more"):
            data["more"] = axes.value(text)
            if not isinstance(data["more"], dict):
                self.add_error("more", _("Give a JSON object."))
        for name in list(data):
            if problem := values.complaint(data[name]):
                self.add_error(name, problem)  # which takes it out of data as well
        return data

    def checked(self) -> dict[str, Any] | None:
        """The body as the serializer passed it; None where it refused, its words on the fields."""
        clean = self.is_valid()
        serializer = SweepIn(data=self.body()) if self.is_sweep else JobIn(data=self.body())
        if serializer.is_valid():
            return dict(serializer.validated_data) if clean else None
        for field, message in flat(serializer.errors):
            place = self.place(field, message)
            if clean or place not in self.errors:
                self.add_error(place, message if place != "more" else f"{field}: {message}")
        return None

    def place(self, field: str, message: str) -> str:
        """The field of the page that an error of the API belongs to."""
        if field in ("args", "over") and self.work == "function":
            for name in self.fields:
                if name.startswith("arg_") and message.startswith(f"{name[4:]} "):
                    return name
        return field if field in self.fields else "more"


def argument_field(parameter: Parameter, optional: bool) -> forms.Field:
    """A field for a function's parameter, by its type hint."""
    hint = parameter.annotation or _("any value")
    default = parameter.default
    common: dict[str, Any] = {
        "label": parameter.name,
        "required": parameter.required and not optional and parameter.annotation != "Path",
        "help_text": hint,
    }
    attributes = {"placeholder": default}
    if parameter.annotation == "int":
        return forms.IntegerField(**common, widget=forms.NumberInput(attributes))
    if parameter.annotation == "float":
        return forms.FloatField(**common, widget=forms.NumberInput({**attributes, "step": "any"}))
    if parameter.annotation == "bool":
        choices = [("", default or "–"), ("True", "True"), ("False", "False")]
        return forms.TypedChoiceField(
            **common, choices=choices, coerce=lambda v: v == "True", empty_value=None
        )
    if parameter.annotation == "str":
        return forms.CharField(**common, empty_value=None, widget=forms.TextInput(attributes))
    if parameter.annotation == "Path":
        common["help_text"] = _("the name of a file given below")
        return forms.CharField(**common, empty_value=None, widget=forms.TextInput(attributes))
    return JSONValue(**common, widget=forms.TextInput({**attributes, "class": "code-field"}))


class JSONValue(forms.CharField):
    """JSON, or the text itself where it is none."""

    def to_python(self, value: Any) -> Any:
        if value in (None, ""):
            return None
        return axes.value(value) if isinstance(value, str) else value

    def validate(self, value: Any) -> None:
        if value is None and self.required:
            super().validate("")


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside a body; empty where it is none."""
    found = body.get(name)
    return dict(found) if isinstance(found, dict) else {}


def words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").replace("\n", ",").split(",") if word.strip()]


def pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip():
            yield name.strip(), value


def flat(errors: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """A serializer's errors as (field, message), the innermost name that is no index."""
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from flat(inner, field if isinstance(name, int) else str(name))
    elif isinstance(errors, list):
        for inner in errors:
            yield from flat(inner, field)
    else:
        yield field, str(errors)


def initial_of(body: dict[str, Any], parameters: set[str]) -> dict[str, Any]:
    """The fields' first values for a body: what a clone starts from."""
    needs = body.get("needs", {})
    command = body.get("command", "")
    same = ("name", "source", "priority", "timeout_seconds", "max_attempts", "on_lost")
    found = {name: body[name] for name in same if name in body}
    found["command"] = command if isinstance(command, str) else shlex.join(command)
    found["memory_mb"] = needs.get("memory_mb")
    found["tags"] = ", ".join(needs.get("tags", ()))
    found["outputs"] = ", ".join(body.get("outputs", ()))
    found["env"] = "\n".join(f"{name}={value}" for name, value in body.get("env", {}).items())
    args = body.get("args", {})
    for name in parameters & args.keys():
        plain = isinstance(args[name], (str, int, float))  # a bool as the form spells it: True
        found[f"arg_{name}"] = str(args[name]) if plain else json.dumps(args[name])
    rest = {
        **{name: value for name, value in body.items() if name not in (*same, *SHOWN)},
        "args": {name: value for name, value in args.items() if name not in parameters},
        "needs": {n: value for n, value in needs.items() if n not in ("memory_mb", "tags")},
    }
    rest = {name: value for name, value in rest.items() if value not in ({}, [], None)}
    found["more"] = json.dumps(rest, ensure_ascii=False) if rest else ""
    return found

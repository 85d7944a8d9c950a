"""The form of a schedule: makes what the API takes and puts its refusals beside the fields."""

import json
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from jobs import values
from schedules.bodies import flat
from schedules.models import Schedule
from schedules.serializers import RuleIn, ScheduleIn

MISSED = (
    ("once", gettext_lazy("start the newest one")),
    ("skip", gettext_lazy("leave it out")),
    ("all", gettext_lazy("start each, the 50 newest at most")),
)
OVERLAP = (
    ("allow", gettext_lazy("start the next one too")),
    ("skip", gettext_lazy("leave the next one out")),
    ("cancel", gettext_lazy("cancel the last, start the next")),
)
WHAT = (("job", gettext_lazy("a job")), ("sweep", gettext_lazy("a sweep")))
LOCAL = "%Y-%m-%dT%H:%M:%S"
RULE = ("cron", "every_seconds", "time_zone", "start_at", "end_at")


def local_moment(label: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput({"type": "datetime-local", "step": "1"}, format=LOCAL)
    return forms.DateTimeField(label=label, required=False, widget=widget)


class RuleForm(forms.Form):
    """When. Start and end are read by the clock of the time zone beside them."""

    use_required_attribute = False
    cron = forms.CharField(
        label=gettext_lazy("Cron"),
        required=False,
        max_length=200,
        widget=forms.TextInput({"class": "code-field", "placeholder": "0 6 * * 1-5"}),
        help_text=gettext_lazy(
            "Minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly."
        ),
    )
    every_seconds = forms.IntegerField(
        label=gettext_lazy("Or every so many seconds"),
        required=False,
        widget=forms.NumberInput({"placeholder": "900", "min": 10}),
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        required=False,
        widget=forms.TextInput(
            {"placeholder": settings.TIME_ZONE, "autocomplete": "off", "list": "zones"}
        ),
    )
    start_at = local_moment(gettext_lazy("Not before"))
    end_at = local_moment(gettext_lazy("Not after"))

    def full_clean(self) -> None:
        with timezone.override(zone_of(self.data.get("time_zone", ""))):
            super().full_clean()

    def given(self) -> dict[str, Any]:
        """What to send to the API's check. Without a start, seconds count from the saving."""
        data = self.cleaned_data
        found = {name: data[name] for name in RULE if data.get(name) not in (None, "")}
        for name in ("start_at", "end_at"):
            found[name] = data.get(name)
        return found

    def rule(self) -> dict[str, Any] | None:
        """As RuleIn passed it; None where it refused, its words on the fields."""
        self.is_valid()
        return self.checked_by(RuleIn(data=self.given()))

    def checked_by(self, check: RuleIn) -> dict[str, Any] | None:
        clean = self.is_valid()
        if check.is_valid():
            return dict(check.validated_data) if clean else None
        for path, message in flat(check.errors):
            self.refuse(path, message)
        return None

    def refuse(self, path: str, message: str) -> None:
        field = path if path in self.fields else None
        if field is None or field not in self.errors:
            self.add_error(field, message if field or not path else f"{path}: {message}")


class ScheduleForm(RuleForm):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    missed = forms.ChoiceField(label=gettext_lazy("Missed times"), choices=MISSED, initial="once")
    overlap = forms.ChoiceField(
        label=gettext_lazy("While the last one is open"), choices=OVERLAP, initial="allow"
    )
    what = forms.ChoiceField(label=gettext_lazy("Submits"), choices=WHAT, initial="job")
    body = forms.CharField(
        label=gettext_lazy("Body"),
        widget=forms.Textarea({"rows": 12, "class": "code-field", "spellcheck": "false"}),
        help_text=gettext_lazy("As JSON, the same that POST /api/jobs or /api/sweeps takes."),
    )

    is_json = False

    def clean_body(self) -> Any:
        try:
            body = json.loads(self.cleaned_data["body"])
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(_("No JSON: %s") % error) from None
        if problem := values.complaint(body):
            raise forms.ValidationError(problem)
        return body

    def checked(self, owner: Any, schedule: Schedule | None = None) -> dict[str, Any] | None:
        """As ScheduleIn passed it; None where it refused."""
        self.is_valid()
        data = self.cleaned_data
        given = self.given() | {
            name: data[name] for name in ("name", "missed", "overlap") if data.get(name)
        }
        self.is_json = "body" in data
        if self.is_json and "what" in data:
            given[data["what"]] = data["body"]
        if schedule:  # the form has all: nothing stays as it was
            given = {"cron": "", "every_seconds": None, "time_zone": settings.TIME_ZONE} | given
            return self.checked_by(
                ScheduleIn(schedule, data=given, partial=True, context={"owner": owner})
            )
        return self.checked_by(ScheduleIn(data=given, context={"owner": owner}))

    def refuse(self, path: str, message: str) -> None:
        what, _dot, inner = path.partition(".")
        if what in Schedule.What.values:
            if self.is_json:
                self.add_error("body", f"{inner}: {message}" if inner else message)
            return
        super().refuse(path, message)


def initial_of(schedule: Schedule) -> dict[str, Any]:
    wall = ZoneInfo(schedule.zone)
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "every_seconds": schedule.every_seconds,
        "time_zone": schedule.zone,
        "start_at": local(schedule.start_at, wall),
        "end_at": local(schedule.end_at, wall),
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "what": schedule.what,
        "body": json.dumps(values.mended(schedule.body), indent=2, ensure_ascii=False),
    }


def local(at: datetime | None, wall: tzinfo) -> str | None:
    return at.astimezone(wall).strftime(LOCAL) if at else None


def zone_of(name: str) -> tzinfo:
    try:
        return ZoneInfo(name.strip() or settings.TIME_ZONE)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(settings.TIME_ZONE)

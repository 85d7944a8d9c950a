"""Forms about alerts: silences, maintenance, the rules' settings."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from monitoring.alert_words import title
from monitoring.rules import RULES

HOURS = [
    ("1", _("1 hour")), ("2", _("2 hours")), ("8", _("8 hours")), ("24", _("1 day")),
    ("72", _("3 days")), ("168", _("7 days")), ("720", _("30 days")),
]  # fmt: skip


class QuietForm(forms.Form):
    """For how long, and why."""

    use_required_attribute = False
    hours = forms.ChoiceField(label=_("For"), choices=HOURS, initial="2")
    comment = forms.CharField(
        label=_("Why"), max_length=300, widget=forms.TextInput({"autocomplete": "off"})
    )

    def length(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["hours"]))


class SilenceForm(QuietForm):
    rule = forms.ChoiceField(label=_("Rule"), required=False)
    subject = forms.CharField(
        label=_("Node or schedule"), max_length=200, required=False,
        widget=forms.TextInput({"autocomplete": "off"}),
        help_text=_("A node’s name, or “schedule 7” by its number. Empty: all."),
    )  # fmt: skip
    field_order = ["rule", "subject", "hours", "comment"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", _("every rule")), *((name, title(name)) for name in RULES)]
        self.fields["rule"].choices = choices  # type: ignore[attr-defined]


class RuleForm(forms.Form):
    """What people may change about a rule. Empty: as it comes."""

    use_required_attribute = False
    enabled = forms.BooleanField(label=_("Watch"), required=False)
    threshold = forms.FloatField(label=_("Threshold"), required=False)
    hold_seconds = forms.FloatField(label=_("Hold (seconds)"), required=False)

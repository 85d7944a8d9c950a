"""The form of a channel. Its URL goes in and never comes out, not even into the form again."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from monitoring import targets
from monitoring.models import Channel

LEAST = [
    ("info", gettext_lazy("everything")),
    ("warning", gettext_lazy("warnings and worse")),
    ("critical", gettext_lazy("what is critical alone")),
]


class WrittenOnly(forms.TextInput):
    def format_value(self, value: Any) -> None:
        return None


class ChannelForm(forms.Form):
    use_required_attribute = False
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=100,
        widget=forms.TextInput({"autocomplete": "off", "placeholder": "on call"}),
    )  # fmt: skip
    url = forms.CharField(
        label=pgettext_lazy("of a channel", "Where to"), max_length=2000,
        widget=WrittenOnly({
            "autocomplete": "off", "spellcheck": "false", "placeholder": "ntfys://ntfy.sh/topic",
        }),
        help_text=gettext_lazy(
            "A mail address, or an Apprise URL: ntfys://…, slack://…, tgram://…, jsons://… for a "
            "webhook. It is a secret, and never shown again."
        ),
    )  # fmt: skip
    least = forms.ChoiceField(label=gettext_lazy("Hears of"), choices=LEAST, initial="warning")
    tags = forms.CharField(
        label=gettext_lazy("Nodes with one of these tags"), required=False,
        widget=forms.TextInput({"autocomplete": "off", "placeholder": "camera, lab-2"}),
        help_text=gettext_lazy("Empty: of all nodes, and of the cluster itself."),
    )  # fmt: skip
    enabled = forms.BooleanField(label=gettext_lazy("Switched on"), required=False, initial=True)
    allow_private = forms.BooleanField(
        label=gettext_lazy("Private and loopback targets are allowed"), required=False,
        help_text=gettext_lazy("For a server in your own network. Only an admin may set it."),
    )  # fmt: skip

    def __init__(self, channel: Channel | None, admin: bool, *args: Any, **kwargs: Any) -> None:
        if channel:
            kwargs["initial"] = {
                "name": channel.name, "least": channel.least, "enabled": channel.enabled,
                "tags": ", ".join(channel.tags), "allow_private": channel.allow_private,
            }  # fmt: skip
        super().__init__(*args, **kwargs)
        if channel:
            url = self.fields["url"]
            url.required = False
            words = _("Empty: as it is now (%s). It is a secret, and never shown.")
            url.help_text = words % targets.masked(channel.url)
        if not admin:
            self.fields["allow_private"].disabled = True

    def given(self) -> dict[str, Any]:
        """As channels.py takes it."""
        found = dict(self.cleaned_data)
        found["tags"] = found["tags"].replace("\n", ",").split(",")
        if not found["url"]:
            del found["url"]
        return found

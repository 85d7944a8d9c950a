"""The form that invites: makes the body that the API takes, with its refusals beside the fields."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from cluster.joining.serializers import InvitationIn


class InvitationForm(forms.Form):
    use_required_attribute = False
    name = forms.CharField(
        label=gettext_lazy("Name"),
        required=False,
        widget=forms.TextInput({"placeholder": "pi-4", "autocomplete": "off"}),
        help_text=gettext_lazy("Empty: as the machine calls itself."),
    )
    address = forms.CharField(
        label=gettext_lazy("Address"),
        required=False,
        widget=forms.TextInput({"placeholder": "192.168.1.14", "autocomplete": "off"}),
        help_text=gettext_lazy("Empty: the one that it comes from."),
    )
    slots = forms.IntegerField(
        label=gettext_lazy("Slots"),
        required=False,
        widget=forms.NumberInput({"min": 1}),
        help_text=gettext_lazy("Jobs at a time. Empty: one for each core."),
    )
    tags = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        widget=forms.TextInput({"placeholder": "camera, big-disk"}),
        help_text=gettext_lazy("With commas between them."),
    )

    def clean(self) -> dict[str, Any]:
        """What the API would say of it."""
        data = dict(super().clean() or {})
        tags = [tag.strip() for tag in data.pop("tags", "").split(",") if tag.strip()]
        checked = InvitationIn(data={**data, "tags": tags})
        if not checked.is_valid():
            for name, errors in checked.errors.items():
                self.add_error(name if name in self.fields else None, flat(errors))
        self.wanted = checked.validated_data if checked.is_valid() else {}
        return data


def flat(errors: Any) -> list[str]:
    """One message after the other, however deep the serializer had them."""
    if isinstance(errors, dict):
        return [message for inner in errors.values() for message in flat(inner)]
    if isinstance(errors, list):
        return [message for inner in errors for message in flat(inner)]
    return [str(errors)]

"""Forms about nodes and the cluster. nodes.py says what is wrong, beside the field at fault."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cluster import nodes, setting
from cluster.models import Node


class NodeForm(forms.Form):
    """A node's name, slots and tags."""

    use_required_attribute = False
    name = forms.CharField(label=gettext_lazy("Name"), max_length=90)
    slots = forms.IntegerField(label=gettext_lazy("Slots"), required=False)
    tags = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        widget=forms.TextInput({"placeholder": "ssd, camera", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "With commas between them: lower case letters, digits and . _ : -. What the machine "
            "is becomes a tag by itself."
        ),
    )

    def __init__(self, node: Node | None, *args: Any, **kwargs: Any) -> None:
        if node:
            kwargs["initial"] = {
                "name": node.name,
                "slots": node.slots if node.slots_set else None,
                "tags": ", ".join(node.tags),
            }
        super().__init__(*args, **kwargs)
        slots = self.fields["slots"]
        offers = node.cpus if node else None
        slots.help_text = _("Jobs at a time. Empty: as many as its agent offers.")
        if offers:
            slots.help_text = _("Jobs at a time. Empty: as many as its agent offers, %s.") % offers
        slots.widget = forms.NumberInput(
            {"placeholder": _("auto"), "min": 1, "max": offers or nodes.MOST_SLOTS}
        )

    def tag_list(self) -> list[str]:
        return self.cleaned_data["tags"].replace("\n", ",").split(",")

    def attempt(self, act: Callable[[], Any]) -> bool:
        """Do it; what is refused is said beside its field."""
        try:
            act()
        except nodes.Refused as refused:
            self.add_error(refused.field if refused.field in self.fields else None, str(refused))
        return not self.errors


class AddForm(NodeForm):
    """A machine to use from now on."""

    address = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=300,
        widget=forms.TextInput({"placeholder": "pi-4.local", "autocomplete": "off"}),
        help_text=gettext_lazy("A host name or an IP address; its agent may start later."),
    )
    field_order = ["address", "name", "slots", "tags"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(None, *args, **kwargs)
        self.fields["name"].required = False
        self.fields["name"].help_text = _("Empty: as its agent calls itself.")


class SettingsForm(forms.Form):
    strategy = forms.ChoiceField(
        choices=[(name, name) for name in setting.CHOICES["strategy"]],
        error_messages={
            "invalid_choice": gettext_lazy("There is no such strategy."),
            "required": gettext_lazy("Choose a strategy."),
        },
    )

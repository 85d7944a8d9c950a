"""The admin's view of the machines: name, slots and tags are ours to set, the rest is heard."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cluster import nodes
from cluster.models import Node
from cluster.wording import said
from jobs.claim import busy
from jobs.terminal import plain


class NodeForm(forms.ModelForm):
    """The same checks as everywhere: those of nodes.py."""

    class Meta:
        model = Node
        fields = ["name", "slots_set", "slots", "tags"]
        labels = {"slots_set": _("slots are set here, not by the agent")}

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        before = Node.objects.get(pk=self.instance.pk)
        if "slots" in self.changed_data:
            found["slots_set"] = True
        if found.get("slots_set") and "slots" in found:
            self.check("slots", nodes.checked_slots, found["slots"], before)
        if "name" in self.changed_data and "name" in found:
            self.check("name", nodes.checked_name, found["name"], before)
        if "tags" in found:
            self.check("tags", checked_tags, found["tags"])
        return found

    def check(self, field: str, test: Any, *values: Any) -> None:
        try:
            test(*values)
        except nodes.Refused as refused:
            self.add_error(field, str(refused))


def checked_tags(given: Any) -> None:
    given = given or []
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise nodes.Refused(str(_('Give a list of words, such as ["ssd", "camera"].')), "tags")
    nodes.checked_tags(given)


def in_words(name: str) -> Callable[[Node], str]:
    """A column of Words, in the reader's language."""

    @admin.display(description=name.replace("_", " "), empty_value="–")
    def shown(node: Node) -> str:
        return plain(said(getattr(node, name)))

    return shown


IN_WORDS: dict[str, Any] = {
    name: in_words(name) for name in ("drain_reason", "trouble", "breaker_reason", "canary_error")
}


@admin.register(Node)
class NodeAdmin(admin.ModelAdmin):
    form = NodeForm
    list_display = ["name", "address", "shown_state", "slots", "tags", "cpu_percent", "memory_free",
                    "disk_free", "last_seen_at", "version", "patched"]  # fmt: skip
    list_filter = [
        "online",
        "draining",
        "patched",
        ("breaker_opened_at", admin.EmptyFieldListFilter),
        ("removed_at", admin.EmptyFieldListFilter),
    ]
    search_fields = ["name", "address", "platform", "trouble"]
    date_hierarchy = "added_at"
    actions = ["drain", "resume", "reset", "remove"]
    editable = ("name", "slots_set", "slots", "tags")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names = [field.name for field in Node._meta.fields]
        return [IN_WORDS.get(name, name) for name in names if name not in self.editable]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the page Nodes adds them

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its attempts are history; the action removes it

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        """With the slots taken: those are counted before, since a join would read all attempts."""
        taken = [When(pk=node, then=Value(slots)) for node, slots in busy().items()]
        return super().get_queryset(request).annotate(busy=Case(*taken, default=Value(0)))

    @admin.display(description=_("state"))
    def shown_state(self, node: Any) -> str:
        return "removed" if node.removed_at else nodes.state(node, node.busy, timezone.now())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Only what people set; the rest may have changed meanwhile."""
        chosen = form.cleaned_data
        nodes.change(
            obj,
            name=chosen["name"] if "name" in form.changed_data else None,
            slots=chosen["slots"] if chosen["slots_set"] else nodes.AUTO,
            tags=chosen["tags"] or [],
        )

    @admin.action(
        description=_("Drain: finish what runs, take nothing new"), permissions=["change"]
    )
    def drain(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        count = nodes.drain(known(chosen))
        self.message_user(request, ngettext("%d node drains.", "%d nodes drain.", count) % count)

    @admin.action(description=_("Resume: take work again"), permissions=["change"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        count = nodes.resume(known(chosen))
        text = ngettext("%d node takes work again.", "%d nodes take work again.", count)
        self.message_user(request, text % count)

    @admin.action(description=_("Reset the breaker: trust it again"), permissions=["change"])
    def reset(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        found = list(known(chosen))
        for node in found:
            nodes.reset(node, timezone.now())
        text = ngettext("%d breaker is closed.", "%d breakers are closed.", len(found))
        self.message_user(request, text % len(found))

    @admin.action(description=_("Remove: use it no more, keep its history"), permissions=["change"])
    def remove(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        """Never by force: that is asked for on the node's page."""
        count = 0
        for node in known(chosen):
            try:
                nodes.remove(node, timezone.now())
                count += 1
            except nodes.Refused as refused:
                self.message_user(request, plain(f"{node.name}: {refused}"), messages.ERROR)
        if count:
            text = ngettext("%d node is removed.", "%d nodes are removed.", count)
            self.message_user(request, text % count)


def known(chosen: QuerySet[Node]) -> QuerySet[Node]:
    """Without the counts that the list makes, and without those removed."""
    return Node.objects.filter(pk__in=chosen.order_by().values("pk"), removed_at=None)

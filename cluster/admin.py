"""The admin's view of the machines: slots and tags are ours to set, the rest is heard from them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cluster import nodes
from cluster.models import Node


@admin.register(Node)
class NodeAdmin(admin.ModelAdmin):
    list_display = ["name", "address", "shown_state", "slots", "tags", "cpu_percent", "memory_free",
                    "disk_free", "last_seen_at", "version", "patched"]  # fmt: skip
    list_filter = ["online", "draining", "patched", ("removed_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "address", "platform", "trouble"]
    date_hierarchy = "added_at"
    actions = ["drain", "resume"]
    editable = ("name", "slots", "tags")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        names = [field.name for field in Node._meta.fields]
        return [name for name in names if name not in self.editable]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # DISPY_NODES lists them

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its attempts are history

    def get_queryset(self, request: HttpRequest) -> QuerySet[Node]:
        still_open = Count("attempts__bundle", Q(attempts__finished_at=None), distinct=True)
        return super().get_queryset(request).annotate(busy=still_open)

    @admin.display(description=_("state"))
    def shown_state(self, node: Any) -> str:
        return nodes.state(node, node.busy)

    @admin.action(
        description=_("Drain: finish what runs, take nothing new"), permissions=["change"]
    )
    def drain(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        count = nodes.drain(Node.objects.filter(pk__in=chosen.order_by().values("pk")))
        self.message_user(request, ngettext("%d node drains.", "%d nodes drain.", count) % count)

    @admin.action(description=_("Resume: take work again"), permissions=["change"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Node]) -> None:
        count = nodes.resume(Node.objects.filter(pk__in=chosen.order_by().values("pk")))
        text = ngettext("%d node takes work again.", "%d nodes take work again.", count)
        self.message_user(request, text % count)

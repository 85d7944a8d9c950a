"""The admin's view of channels and of what they were sent. Their URLs are masked here too."""

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from monitoring import targets
from monitoring.models import Channel, Delivery


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin):
    list_display = ["name", "target", "least", "tags", "allow_private", "enabled", "created_at",
                    "created_by"]  # fmt: skip
    list_filter = ["enabled", "least", "allow_private"]
    search_fields = ["name"]
    fields = ["name", "target", "least", "tags", "allow_private", "enabled", "created_at",
              "created_by"]  # fmt: skip
    readonly_fields = ["target", "tags", "allow_private", "created_at", "created_by"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the page adds them, and checks their URLs

    @admin.display(description=_("target"))
    def target(self, channel: Channel) -> str:
        return targets.masked(channel.url)


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):
    list_display = ["id", "channel", "kind", "state", "title", "tries", "error", "created_at",
                    "sent_at"]  # fmt: skip
    list_filter = ["state", "kind", "channel", "created_at"]
    list_select_related = ["channel"]
    search_fields = ["title"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

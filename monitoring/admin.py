"""The admin's view of alerts, silences, channels and what these were sent.

Alerts change by the rules alone, channels' URLs are masked here too.
"""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from cluster.nodes import Refused
from jobs.admin import ReadOnlyAdmin
from jobs.views.access import name_of
from monitoring import alert_words, alerts, silences, targets
from monitoring.models import Alert, Channel, Delivery, Silence


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


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ["id", "title", "subject", "severity", "state", "summary", "started_at",
                    "fired_at", "acknowledged_by", "resolved_at"]  # fmt: skip
    list_display_links = ["id", "title"]
    list_filter = ["state", "severity", "rule", "started_at"]
    search_fields = ["=id", "rule", "subject", "acknowledged_by"]
    ordering = ["-id"]
    fields = ["rule", "subject", "severity", "state", "summary", "advice", "consequences", "value",
              "threshold", "started_at", "fired_at", "announced_at", "cleared_at",
              "acknowledged_at", "acknowledged_by", "resolved_at"]  # fmt: skip
    readonly_fields = ["summary", "advice", "consequences"]
    actions = ["acknowledge"]

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        return reverse("alert", args=[obj.pk]) if obj else None

    @admin.display(description=_("rule"), ordering="rule")
    def title(self, alert: Alert) -> str:
        return alert_words.title(alert.rule)

    @admin.display(description=_("what is"))
    def summary(self, alert: Alert) -> str:
        return alert_words.summary(alert)

    @admin.display(description=_("what to do"), empty_value="–")
    def advice(self, alert: Alert) -> str:
        return alert_words.advice(alert)

    @admin.display(description=_("its consequences"), empty_value="–")
    def consequences(self, alert: Alert) -> str:
        return "\n".join(alert_words.inside(alert))

    @admin.action(description=_("Acknowledge"), permissions=["view"])
    def acknowledge(self, request: HttpRequest, chosen: QuerySet[Alert]) -> None:
        now, who = timezone.now(), name_of(request)
        count = alerts.acknowledge_all(chosen, who, now)
        text = ngettext("%d alert is acknowledged.", "%d alerts are acknowledged.", count)
        self.message_user(request, text % count, messages.SUCCESS if count else messages.WARNING)


class SilenceChangeForm(forms.ModelForm):
    """The same check as everywhere: that of silences.py."""

    class Meta:
        model = Silence
        fields = ["comment", "ends_at"]

    def clean_ends_at(self) -> Any:
        ends_at = self.cleaned_data["ends_at"]
        try:
            return silences.checked_end(ends_at, timezone.now())
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from None


@admin.register(Silence)
class SilenceAdmin(ReadOnlyAdmin):
    """Made on its page. Until it ends, why and until when may be changed; then it is history."""

    form = SilenceChangeForm
    list_display = ["id", "about", "subject", "comment", "created_at", "created_by", "ends_at"]
    list_display_links = ["id", "about"]
    list_filter = ["rule", "ends_at"]
    search_fields = ["rule", "subject", "comment", "created_by"]
    fields = ["about", "subject", "comment", "ends_at", "created_at", "created_by"]
    readonly_fields = ["about", "subject", "created_at", "created_by"]
    actions = ["end"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        lasts = obj is None or obj.ends_at > timezone.now()
        return lasts and request.user.has_perm("monitoring.change_silence")

    @admin.display(description=_("rule"), ordering="rule")
    def about(self, silence: Silence) -> str:
        if silences.is_maintenance(silence):
            return str(_("Maintenance"))
        return alert_words.title(silence.rule) if silence.rule else str(_("every rule"))

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        given = form.cleaned_data
        silences.change(obj, given["comment"], given["ends_at"], timezone.now())

    @admin.action(description=_("End now"), permissions=["change"])
    def end(self, request: HttpRequest, chosen: QuerySet[Silence]) -> None:
        now = timezone.now()
        count = silences.end_all(chosen, now)
        text = ngettext("%d silence is over.", "%d silences are over.", count)
        self.message_user(request, text % count, messages.SUCCESS if count else messages.WARNING)

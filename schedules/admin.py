"""Schedules to look at; their own pages change them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from jobs.admin import ReadOnlyAdmin
from jobs.views.access import name_of
from schedules import keeping
from schedules.models import Run, Schedule
from schedules.words import rhythm


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ["id", "name", "owner", "what", "rhythm", "zone", "state", "next_at", "last_at",
                    "started"]  # fmt: skip
    list_display_links = ["id", "name"]
    list_filter = ["what", "missed", "overlap", ("owner", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["owner"]
    search_fields = ["=id", "name", "cron", "last_error"]
    ordering = ["-id"]
    raw_id_fields = ["last_job", "last_sweep"]
    actions = ["pause", "resume"]

    @admin.display(description=_("rule"))
    def rhythm(self, schedule: Schedule) -> str:
        return rhythm(schedule)

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        return f"/schedules/{obj.pk}" if obj else None

    @admin.action(description=_("Pause"), permissions=["view"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        now, who = timezone.now(), name_of(request)
        self.tell(request, sum(keeping.pause(schedule, who, "", now) for schedule in chosen))

    @admin.action(description=_("Resume"), permissions=["view"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        now = timezone.now()
        self.tell(request, sum(keeping.resume(schedule, now) for schedule in chosen))

    def tell(self, request: HttpRequest, count: int) -> None:
        said = ngettext("%s schedule changed.", "%s schedules changed.", count) % count
        self.message_user(request, said, messages.SUCCESS if count else messages.WARNING)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["id", "schedule", "scheduled_for", "outcome", "at", "job_id", "sweep_id",
                    "reason"]  # fmt: skip
    list_filter = ["outcome", "scheduled_for"]
    list_select_related = ["schedule"]
    search_fields = ["=schedule__id", "schedule__name", "=job__id", "reason"]
    raw_id_fields = ["schedule", "job", "sweep"]
    ordering = ["-id"]

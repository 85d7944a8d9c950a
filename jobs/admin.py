"""The admin's view of the work. History and content are there to be read, not to be edited."""

from typing import Any

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from jobs import cleanup, lifecycle
from jobs.models import (
    FINAL_STATES,
    Artifact,
    Attempt,
    Dependency,
    Event,
    File,
    IdempotencyKey,
    Job,
    JobQuerySet,
    Lease,
    Need,
    Output,
    Spec,
    Sweep,
)
from jobs.terminal import plain
from jobs.views.access import name_of
from jobs.views.listing import said


class BoundedPaginator(Paginator):
    """Counts no further than 10,000 rows: a million are found by filter, not by page."""

    MOST = 10_000

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return rows.order_by()[: self.MOST].count()
        return len(rows)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows to look at: written by the program alone."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "title", "state", "owner", "node", "priority", "tried", "created_at",
                    "finished_at", "run_seconds"]  # fmt: skip
    list_display_links = ["id", "title"]
    # Every user: to find those who own jobs, all jobs would be read.
    list_filter = ["state", "spec__kind", "node", "owner", "created_at"]
    list_select_related = ["spec", "owner", "node"]
    search_fields = ["=id", "name", "spec__title", "error"]
    search_help_text = _("Number, name, command or error")
    ordering = ["-id"]
    actions = ["cancel", "requeue", "delete_final"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        rows = super().get_queryset(request)
        several = (
            request.resolver_match and request.resolver_match.url_name == "jobs_job_changelist"
        )
        return rows.defer("args", "result", "spec__body") if several else rows

    @admin.display(description=_("job"))
    def title(self, job: Job) -> str:
        return plain(job.name or job.spec.title)[:60]

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        return f"/jobs/{obj.pk}" if obj else None

    @admin.action(description=_("Cancel"), permissions=["view"])
    def cancel(self, request: HttpRequest, jobs: JobQuerySet) -> None:
        self.tell(
            request, "cancel", lifecycle.cancel(all_of(jobs), timezone.now(), name_of(request))
        )

    @admin.action(description=_("Requeue"), permissions=["view"])
    def requeue(self, request: HttpRequest, jobs: JobQuerySet) -> None:
        self.tell(
            request, "requeue", lifecycle.requeue(all_of(jobs), timezone.now(), name_of(request))
        )

    @admin.action(description=_("Delete those that have ended"), permissions=["erase"])
    def delete_final(self, request: HttpRequest, jobs: JobQuerySet) -> None:
        ended = all_of(jobs).filter(state__in=FINAL_STATES)
        self.tell(request, "delete", sum(cleanup.delete(ended)))

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.delete_job")

    def tell(self, request: HttpRequest, action: str, count: int) -> None:
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, said(action, count), level)


def all_of(jobs: QuerySet[Job]) -> JobQuerySet:
    """The chosen rows without the list's order and joins, fit for an UPDATE."""
    return Job.objects.filter(pk__in=jobs.order_by().values("pk"))


@admin.register(Sweep)
class SweepAdmin(ReadOnlyAdmin):
    list_display = ["id", "__str__", "spec", "owner", "mode", "total", "created_at"]
    list_display_links = ["id", "__str__"]
    list_filter = ["mode", "owner", "created_at"]
    list_select_related = ["spec", "owner"]
    search_fields = ["=id", "name", "spec__title"]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = ["id", "job_number", "number", "node", "outcome", "exit_code", "claimed_at",
                    "run_seconds", "cpu_seconds", "max_rss_kb"]  # fmt: skip
    list_filter = ["outcome", "node", "claimed_at"]
    list_select_related = ["node"]
    search_fields = ["=job__id", "=bundle", "error_type"]
    search_help_text = _("Job number, bundle or type of error")
    raw_id_fields = ["job", "node"]
    ordering = ["-id"]

    @admin.display(description=_("job"), ordering="job_id")
    def job_number(self, attempt: Attempt) -> SafeString:
        return format_html('<a href="/jobs/{0}">{0}</a>', attempt.job_id)


@admin.register(Spec)
class SpecAdmin(ReadOnlyAdmin):
    list_display = ["id", "short_title", "kind", "need", "created_at"]
    list_display_links = ["id", "short_title"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["need"]
    search_fields = ["title", "=digest"]
    ordering = ["-id"]

    @admin.display(description=_("what it runs"))
    def short_title(self, spec: Spec) -> str:
        return plain(spec.title)[:60]


@admin.register(Need)
class NeedAdmin(ReadOnlyAdmin):
    list_display = ["id", "__str__"]
    ordering = ["id"]


@admin.register(Output)
class OutputAdmin(ReadOnlyAdmin):
    list_display = ["id", "attempt_number", "stream", "offset", "length"]
    list_filter = ["stream"]
    search_fields = ["=attempt__id", "=attempt__job__id"]
    search_help_text = _("Attempt or job number")
    fields = ["attempt", "stream", "offset", "text"]
    readonly_fields = ["text"]
    raw_id_fields = ["attempt"]
    ordering = ["-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Output]:
        rows = super().get_queryset(request).select_related("attempt")
        return rows.annotate(bytes=models.functions.Length("data")).defer("data")

    @admin.display(description=_("attempt"), ordering="attempt_id")
    def attempt_number(self, output: Output) -> int:
        return int(output.attempt_id)

    @admin.display(description=_("bytes"))
    def length(self, output: Output) -> int:
        return int(getattr(output, "bytes", 0))

    @admin.display(description=_("text"))
    def text(self, output: Output) -> str:
        return plain(bytes(output.data)[:20_000].decode("utf-8", "replace"))


@admin.register(Artifact)
class ArtifactAdmin(ReadOnlyAdmin):
    list_display = ["id", "name", "size", "attempt", "error"]
    list_select_related = ["attempt", "file"]
    search_fields = ["name", "=attempt__job__id"]
    raw_id_fields = ["attempt", "file"]
    ordering = ["-id"]


@admin.register(File)
class FileAdmin(ReadOnlyAdmin):
    list_display = ["digest", "size", "owner", "created_at"]
    list_filter = ["owner", "created_at"]
    list_select_related = ["owner"]
    search_fields = ["digest"]


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    list_display = ["name", "holder", "epoch", "taken_at", "renewed_at", "expires_at"]


@admin.register(Dependency)
class DependencyAdmin(ReadOnlyAdmin):
    list_display = ["id", "job_id", "on_id", "kind"]
    list_filter = ["kind"]
    search_fields = ["=job__id", "=on__id"]
    raw_id_fields = ["job", "on"]
    ordering = ["-id"]


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["id", "job_id", "at", "state", "attempt", "who", "why"]
    list_filter = ["state", "at"]
    search_fields = ["=job__id", "who"]
    raw_id_fields = ["job"]
    ordering = ["-id"]


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    list_display = ["id", "owner", "key", "job_id", "sweep_id", "node", "created_at"]
    list_select_related = ["owner", "node"]
    list_filter = ["created_at"]
    search_fields = ["key", "owner__username"]
    ordering = ["-id"]

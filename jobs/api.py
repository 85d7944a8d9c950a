import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster import fleet
from cluster.placement import NodeView
from jobs import cleanup, counts, filters, idempotency, lifecycle, output, reach, submit, why
from jobs.models import FINAL_STATES, Attempt, Job, JobQuerySet, Sweep
from jobs.parameters import MOMENT, BadParameter, key
from jobs.representations import (
    ArtifactOut,
    JobDetailOut,
    JobOut,
    SweepOut,
    tell,
)
from jobs.serializers import JobChange, JobIn, SweepIn, check_job
from jobs.turns import turn
from monitoring import retention, sizes
from schedules.models import maker

MOST_OUTPUT = 4 * 2**20  # bytes in one answer


class Conflict(APIException):
    """The row is in a state that does not allow it."""

    status_code = status.HTTP_409_CONFLICT


def position_of(cursor: Cursor | None) -> int | None:
    return key(str(cursor.position)) if cursor else None


class ByKey(CursorPagination):
    ordering = "-id"
    reads: Callable[[str], Any] = staticmethod(key)  # a cursor's position; None: it is none
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 1000

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor and cursor.position is not None and self.reads(str(cursor.position)) is None:
            raise NotFound(self.invalid_cursor_message)
        return cursor


class ByReach(ByKey):
    """Where no index leads to the jobs, a page looks at the newest ones that come next alone: it
    may hold few, even none, and there still is a next one."""

    reverse = False  # towards newer ones
    end: int | None = None  # how far it looked
    cut = False  # … and found less than a page

    def paginate_queryset(self, jobs: Any, request: Request, view: Any = None) -> list[Any] | None:
        cursor, params = self.decode_cursor(request), request.query_params
        names = {name for name in filters.NAMES if params.getlist(name)} - {"state"}
        position = position_of(cursor)
        self.reverse = bool(cursor and cursor.reverse)
        before, after = (None, position or 0) if self.reverse else (position, None)
        self.end = reach.end(names, filters.chosen_states(params), before, after)
        if self.end is not None:
            jobs = jobs.filter(**{"pk__lte" if self.reverse else "pk__gte": self.end})
        page: list[Any] | None = super().paginate_queryset(jobs, request, view)
        more = self.has_previous if self.reverse else self.has_next
        self.cut = self.end is not None and not more
        return page

    def get_next_link(self) -> str | None:
        return self.link(False) or super().get_next_link()

    def get_previous_link(self) -> str | None:
        return self.link(True) or super().get_previous_link()

    def link(self, reverse: bool) -> str | None:
        """On from where it looked last; or from an empty page back, with the row that led in: a
        cursor's position is not on its own page."""
        position = position_of(self.cursor)
        if reverse == self.reverse:
            return self.encode_cursor(Cursor(0, reverse, self.end)) if self.cut else None
        if self.page or position is None:
            return None
        back = max(0, position - 1) if reverse else position + 1
        return self.encode_cursor(Cursor(0, reverse, back))


def job_context() -> dict[str, Any]:
    return {"now": timezone.now(), "views": fleet.views({})}


@dataclass
class Recent:
    """The nodes as they were a moment ago."""

    views: list[NodeView] = field(default_factory=list)
    good_until: float = 0.0


recent = Recent()


def recent_views() -> list[NodeView]:
    """At most a second old: for the answer to each of many submits."""
    if time.monotonic() > recent.good_until:
        recent.views = fleet.views({})
        recent.good_until = time.monotonic() + 1.0
    return recent.views


def with_parts(jobs: JobQuerySet) -> QuerySet[Job]:
    return jobs.select_related("spec", "need", "owner", "node")


def represent(pk: int) -> dict[str, Any]:
    job = get_object_or_404(
        with_parts(Job.objects.all()).prefetch_related("attempts__node", "events"), pk=pk
    )
    made_by = maker(job.pk, job.sweep_id)
    return tell(JobDetailOut, job, {**job_context(), "schedule": made_by})


def represent_new(job: Job) -> dict[str, Any]:
    """The same, of a job just submitted that waits for no other: nothing need be read again."""
    job.node = None
    job._prefetched_objects_cache = {"attempts": [], "events": []}  # type: ignore[attr-defined]
    return tell(
        JobDetailOut, job, {"now": job.created_at, "views": recent_views(), "schedule": None}
    )


def may_change(request: Request, owner_id: int) -> None:
    if not (request.user.is_staff or request.user.pk == owner_id):
        raise PermissionDenied(_("It belongs to somebody else."))


def own_job(request: Request, pk: int) -> JobQuerySet:
    """The one job, as a queryset, after checking that this user may change it."""
    job = get_object_or_404(Job.objects.only("owner_id"), pk=pk)
    may_change(request, job.owner_id)
    return Job.objects.filter(pk=pk)


ONCE = ("q", "since", "until")


def once(request: Request, make: Callable[[], Any]) -> tuple[Any, bool]:
    """What `make` makes, once for each Idempotency-Key; and whether it is new."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        with turn():
            return make(), True
    if len(key) > idempotency.LONGEST:
        raise ValidationError({"Idempotency-Key": [_("At most 200 characters.")]})
    content = f"{request.path}\n{json.dumps(request.data, sort_keys=True)}".encode()
    try:
        with turn():
            return idempotency.once(key, request.user, content, timezone.now(), make)
    except idempotency.OtherBody:
        raise Conflict(_("This Idempotency-Key came with another body before.")) from None


@contextmanager
def naming() -> Iterator[None]:
    """A parameter that makes no sense is refused under its name."""
    try:
        yield
    except BadParameter as bad:
        raise ValidationError({bad.field: [str(bad)]}) from None


MOMENTS = {"since": f"submitted from then on: {MOMENT}",
           "until": "submitted before: likewise, a day to its end"}  # fmt: skip
FILTERS = [
    OpenApiParameter(name, str, many=name not in ONCE, description=MOMENTS.get(name, ""))
    for name in filters.NAMES
]
FILTERS += [OpenApiParameter("limit", int), OpenApiParameter("cursor", str)]


class JobList(APIView):
    @extend_schema(parameters=FILTERS, responses=JobOut(many=True))
    def get(self, request: Request) -> Response:
        """The newest first; `next` leads on to older ones that match, from a short page too."""
        with naming():
            jobs = filters.filtered(request.query_params, timezone.now())
        pager = ByReach()
        page = pager.paginate_queryset(with_parts(jobs), request, self)
        return pager.get_paginated_response(JobOut(page, many=True, context=job_context()).data)

    @extend_schema(request=JobIn, responses={201: JobDetailOut})
    def post(self, request: Request) -> Response:
        """Queue a job. 201 means it is committed."""
        checked, now = check_job(request.data), timezone.now()
        job, new = once(request, lambda: submit.submit(checked, request.user, now))
        plain = new and not submit.waits_for(checked)  # else it may have ended already
        told = represent_new(job) if plain else represent(job.pk)
        return Response(told, status=201 if new else 200)


class JobStatus(APIView):
    @extend_schema(responses={200: dict[str, int]})
    def get(self, request: Request) -> Response:
        """How many jobs are in which state, and how long the oldest has been ready."""
        now = timezone.now()
        by_state = counts.by_state(Job.objects.all())
        oldest = counts.oldest(now)
        return Response({
            **by_state,
            "total": sum(by_state.values()),
            "oldest_queued_seconds": (now - oldest).total_seconds() if oldest else None,
        })  # fmt: skip


class JobDetail(APIView):
    @extend_schema(responses=JobDetailOut)
    def get(self, request: Request, pk: int) -> Response:
        return Response(represent(pk))

    @extend_schema(request=JobChange, responses=JobDetailOut)
    def patch(self, request: Request, pk: int) -> Response:
        """Change priority, run_at, max_attempts or held while it is queued."""
        checked = JobChange(data=request.data)
        checked.is_valid(raise_exception=True)
        job, who = own_job(request, pk), request.user.get_username()
        values = checked.validated_data
        if values and not lifecycle.change(job, timezone.now(), who, **values):
            raise Conflict(_("Only a queued job can be changed."))
        return Response(represent(pk))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Delete a job that has ended, with its output and artifacts."""
        if not sum(cleanup.delete(own_job(request, pk))):
            raise Conflict(_("It has not ended yet; cancel it first."))
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobWhy(APIView):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request, pk: int) -> Response:
        """Why it waits: each node against each test, its place in the queue, what would start it.

        For a job that was sent: why it went where it went.
        """
        job = get_object_or_404(with_parts(Job.objects.all()), pk=pk)
        return Response(why.explain(job, timezone.now(), why.standing(job)))


class JobCancel(APIView):
    @extend_schema(request=None, responses=JobDetailOut)
    def post(self, request: Request, pk: int) -> Response:
        """Cancel: at once where queued, as soon as its node obeys where running."""
        job = own_job(request, pk)
        if not lifecycle.cancel(job, timezone.now(), request.user.get_username()):
            state = job.values_list("state", flat=True).first()
            if state in FINAL_STATES:
                raise Conflict(_("It has ended already: %(state)s.") % {"state": state})
        return Response(represent(pk))


class JobRequeue(APIView):
    @extend_schema(request=None, responses=JobDetailOut)
    def post(self, request: Request, pk: int) -> Response:
        """Run a job that has ended again, as a new attempt on the same job."""
        who = request.user.get_username()
        if not lifecycle.requeue(own_job(request, pk), timezone.now(), who):
            raise Conflict(_("It has not ended yet."))
        return Response(represent(pk))


class JobOutput(APIView):
    @extend_schema(
        parameters=[
            OpenApiParameter("stream", str, enum=["stdout", "stderr"]),
            OpenApiParameter("attempt", int, description="number; default: the last one"),
            OpenApiParameter("offset", int),
            OpenApiParameter("limit", int, description="bytes, at most 4 MB"),
            OpenApiParameter("raw", bool, description="1: the bytes as an attachment"),
        ],
        responses={200: dict[str, Any]},
    )
    def get(self, request: Request, pk: int) -> Response | HttpResponse:
        """What an attempt wrote so far. `left_out` says how many bytes the cap dropped."""
        params = request.query_params
        stream = params.get("stream", "stdout")
        if stream not in ("stdout", "stderr"):
            raise ValidationError({"stream": [_("Either stdout or stderr.")]})
        attempt = find_attempt(pk, params.get("attempt"))
        offset = whole(params, "offset", 0, 10**18 - 1)
        pieces = output.read(attempt.pk, stream, offset, whole(params, "limit", 2**20, MOST_OUTPUT))
        if params.get("raw") in ("1", "true"):
            return attachment(b"".join(data for _at, data in pieces), f"job-{pk}-{stream}.txt")
        if attempt.finished_at is None:
            pieces = output.whole_characters(pieces)
        return Response(output_answer(attempt, stream, offset, pieces))


def output_answer(
    attempt: Attempt, stream: str, offset: int, pieces: list[tuple[int, bytes]]
) -> dict[str, Any]:
    end = pieces[-1][0] + len(pieces[-1][1]) if pieces else offset
    read = sum(len(data) for _at, data in pieces)
    total = max(end, attempt.stdout_bytes if stream == "stdout" else attempt.stderr_bytes)
    return {
        "attempt": attempt.number,
        "stream": stream,
        "offset": offset,
        "next_offset": end,
        "total": total,
        "left_out": max(0, end - offset - read),
        "complete": attempt.finished_at is not None and end >= total,
        "text": output.text(pieces, offset),
    }


def find_attempt(job: int, number: str | None) -> Attempt:
    attempts = Attempt.objects.filter(job=job)
    if number is not None:
        if (wanted := key(number)) is None:
            raise ValidationError({"attempt": [_("A number.")]})
        return get_object_or_404(attempts, number=wanted)
    newest = attempts.order_by("-number").first()
    if newest is None:
        get_object_or_404(Job, pk=job)
        raise Http404(_("It has not run yet."))
    return newest


def whole(params: Any, name: str, default: int, most: int) -> int:
    found = key(params.get(name, str(default)))
    if found is None or found > most:
        raise ValidationError({name: [_("A whole number up to %(most)s.") % {"most": most}]})
    return found


def attachment(data: bytes, name: str) -> HttpResponse:
    answer = HttpResponse(data, content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


class JobArtifacts(APIView):
    @extend_schema(responses=ArtifactOut(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """The files that the attempts left behind."""
        job = get_object_or_404(Job, pk=pk)
        attempts = Attempt.objects.filter(job=job).prefetch_related("artifacts__attempt")
        found = [artifact for attempt in attempts for artifact in attempt.artifacts.all()]
        return Response(ArtifactOut(found, many=True).data)


class SweepList(APIView):
    @extend_schema(responses=SweepOut(many=True))
    def get(self, request: Request) -> Response:
        pager = ByKey()
        page = pager.paginate_queryset(sweeps(), request, self) or []
        answer = SweepOut(page, many=True, context=sweep_context([sweep.pk for sweep in page]))
        return pager.get_paginated_response(answer.data)

    @extend_schema(request=SweepIn, responses={201: SweepOut})
    def post(self, request: Request) -> Response:
        """Queue one job for each set of arguments."""
        checked = SweepIn(data=request.data)
        checked.is_valid(raise_exception=True)
        data, now = checked.validated_data, timezone.now()
        sweep, new = once(request, lambda: submit.submit_sweep(data, request.user, now))
        answer = SweepOut(sweep, context=sweep_context([sweep.pk]))
        return Response(answer.data, status=201 if new else 200)


class SweepDetail(APIView):
    @extend_schema(responses=SweepOut)
    def get(self, request: Request, pk: int) -> Response:
        sweep = get_object_or_404(sweeps(), pk=pk)
        return Response(SweepOut(sweep, context=sweep_context([pk])).data)


class SweepCancel(APIView):
    @extend_schema(request=None, responses=SweepOut)
    def post(self, request: Request, pk: int) -> Response:
        """Cancel what has not ended yet."""
        sweep = get_object_or_404(sweeps(), pk=pk)
        may_change(request, sweep.owner_id)
        who = request.user.get_username()
        lifecycle.cancel(Job.objects.filter(sweep=sweep), timezone.now(), who)
        return Response(SweepOut(sweep, context=sweep_context([pk])).data)


def sweeps() -> QuerySet[Sweep]:
    return Sweep.objects.select_related("owner", "spec")


def sweep_context(pks: list[int]) -> dict[str, Any]:
    by_sweep = counts.of_sweeps(pks)
    return {"counts": by_sweep, "finished": counts.finished(by_sweep)}


class CleanupIn(serializers.Serializer):
    dry_run = serializers.BooleanField(default=False)


class DispyCleanup(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(request=CleanupIn, responses={200: dict[str, Any]})
    def post(self, request: Request) -> Response:
        """Delete what has outlived its time: finished jobs (RETENTION_DAYS) with all that hangs
        on them, resolved alerts, notices, samples, files that belong to nothing."""
        checked = CleanupIn(data=request.data)
        checked.is_valid(raise_exception=True)
        dry_run = checked.validated_data["dry_run"]
        before = sizes.database_bytes()
        gone = retention.clean(timezone.now(), settings.RETENTION_DAYS or None, (), dry_run)
        after = sizes.database_bytes()
        return Response({
            "dry_run": dry_run,
            "cleaned": gone.rows["jobs"],
            "files": sum(files.count for files in gone.files.values()),
            "bytes": sum(files.bytes for files in gone.files.values()),
            "rows": {name: count for name, count in gone.rows.items() if count},
            "database_bytes": {"before": before[0], "after": after[0]},
            "database_free_bytes": {"before": before[1], "after": after[1]},
        })  # fmt: skip

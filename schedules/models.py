"""Work that comes again, and what became of each of its times."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import OuterRef, Q, QuerySet, Subquery

from cluster.wording import WordsField
from jobs.models import Job, Sweep
from schedules.times import Rule


class Schedule(models.Model):
    """A job or a sweep, submitted anew each time its rule says so."""

    class What(models.TextChoices):
        JOB = "job"
        SWEEP = "sweep"

    class Missed(models.TextChoices):
        SKIP = "skip"  # nobody was there at the time: leave it out
        ONCE = "once"  # start the newest
        ALL = "all"  # start each, up to a limit

    class Overlap(models.TextChoices):
        ALLOW = "allow"
        SKIP = "skip"  # not while the last one is open
        CANCEL = "cancel"  # cancel the last one, start the new one

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    what = models.CharField(max_length=5, choices=What)
    body = models.JSONField()  # as POST /api/jobs or /api/sweeps takes it
    cron = models.CharField(max_length=200, blank=True)
    every_seconds = models.PositiveIntegerField(null=True, blank=True)
    anchor = models.DateTimeField(null=True, blank=True)  # every_seconds count from here
    zone = models.CharField(max_length=100)
    start_at = models.DateTimeField(null=True, blank=True)
    end_at = models.DateTimeField(null=True, blank=True)
    missed = models.CharField(max_length=4, choices=Missed, default=Missed.ONCE)
    overlap = models.CharField(max_length=6, choices=Overlap, default=Overlap.ALLOW)

    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.CharField(max_length=150, blank=True)
    paused_why = WordsField(blank=True)

    next_at = models.DateTimeField(null=True, blank=True)  # null: paused, or over
    reckoned_at = models.DateTimeField()  # what the clock said when next_at was found
    last_at = models.DateTimeField(null=True, blank=True)  # when it last started something
    # The work is cleaned up by rules of its own: these may point to what is gone.
    last_job = models.ForeignKey(
        Job, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+",
        db_constraint=False, db_index=False,
    )  # fmt: skip
    last_sweep = models.ForeignKey(
        Sweep, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+",
        db_constraint=False, db_index=False,
    )  # fmt: skip
    last_error = WordsField(blank=True)  # of the last time; empty: none
    refusals = models.PositiveSmallIntegerField(default=0)  # one after the other
    started = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="schedule_name_once"),
            models.CheckConstraint(
                name="schedule_cron_or_seconds",
                condition=Q(every_seconds=None, anchor=None) & ~Q(cron="")
                | Q(every_seconds__gt=0, anchor__isnull=False, cron=""),
            ),
            models.CheckConstraint(
                name="schedule_paused_has_no_next",
                condition=Q(paused_at=None) | Q(next_at=None),
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="schedule_due"
            ),
            models.Index(
                fields=["reckoned_at"], condition=Q(next_at__isnull=False), name="schedule_reckoned"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def rule(self) -> Rule:
        return Rule(
            self.zone, self.cron, self.every_seconds, self.anchor, self.start_at, self.end_at
        )

    @property
    def state(self) -> str:
        if self.paused_at:
            return "paused"
        return "over" if self.next_at is None else "active"


class Run(models.Model):
    """What became of one time of a schedule. Each time is seen to once, whatever crashes."""

    class Outcome(models.TextChoices):
        STARTED = "started"
        MISSED = "missed"  # nobody was there; stands for all times up to `until`
        OVERLAP = "overlap"  # the last one was still open
        REFUSED = "refused"  # the body or the owner is not good any more: see reason

    schedule = models.ForeignKey(
        Schedule, on_delete=models.CASCADE, related_name="runs", db_index=False
    )  # schedule_run_once serves
    scheduled_for = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(db_index=True)
    outcome = models.CharField(max_length=7, choices=Outcome)
    reason = WordsField(blank=True)
    who = models.CharField(max_length=150, blank=True)  # asked for it to run now
    job = models.ForeignKey(
        Job, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+",
        db_constraint=False, db_index=False,
    )  # fmt: skip
    sweep = models.ForeignKey(
        Sweep, null=True, blank=True, on_delete=models.DO_NOTHING, related_name="+",
        db_constraint=False, db_index=False,
    )  # fmt: skip

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "scheduled_for"], name="schedule_run_once"),
            models.CheckConstraint(
                name="schedule_run_has_work",
                condition=~Q(outcome="started") & Q(job=None, sweep=None)
                | Q(outcome="started", job__isnull=False, sweep=None)
                | Q(outcome="started", job=None, sweep__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["job"], condition=Q(job__isnull=False), name="schedule_run_job"),
            models.Index(
                fields=["sweep"], condition=Q(sweep__isnull=False), name="schedule_run_sweep"
            ),
        ]

    def __str__(self) -> str:
        return f"schedule {self.schedule_id} at {self.scheduled_for}: {self.outcome}"


def needed_files() -> set[str]:
    """The uploaded files that schedules name, whether or not they ran lately."""
    found: set[str] = set()
    for body in Schedule.objects.values_list("body", flat=True):
        found.update(body.get("spec", body).get("files", {}).values())
    return found


def maker(job: int | None, sweep: int | None) -> dict[str, Any] | None:
    """The schedule that submitted this sweep, or this job of no sweep: id, name. In one statement.

    None as well where the record of that time is cleaned up by now.
    """
    runs = Run.objects.filter(sweep=sweep) if sweep else Run.objects.filter(job=job)
    # Not in order: else PostgreSQL may walk the runs by number instead of by the index.
    for pk, name in runs.order_by().values_list("schedule", "schedule__name")[:1]:
        return {"id": pk, "name": name}
    return None


def newest_runs() -> QuerySet[Schedule, int]:
    """The number of each schedule's last run: its latest time."""
    latest = Run.objects.filter(schedule=OuterRef("pk")).order_by("-scheduled_for")
    numbers = Schedule.objects.order_by().annotate(newest=Subquery(latest.values("pk")[:1]))
    return numbers.filter(newest__isnull=False).values_list("newest", flat=True)

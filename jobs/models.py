"""The work as rows. Their states change in lifecycle.py and nowhere else."""

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from cluster.wording import WordsField


class Kind(models.TextChoices):
    COMMAND = "command"
    SCRIPT = "script"
    FUNCTION = "function"


class State(models.TextChoices):
    QUEUED = "queued"  # waiting, for a node or for run_at
    RUNNING = "running"  # has exactly one open attempt
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # attempts used up
    CANCELLED = "cancelled"


OPEN_STATES = [State.QUEUED, State.RUNNING]
FINAL_STATES = [State.SUCCEEDED, State.FAILED, State.CANCELLED]


class Outcome(models.TextChoices):
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the job's doing
    TIMED_OUT = "timed_out"
    LOST = "lost"  # the node's doing, or ours
    CANCELLED = "cancelled"
    RELEASED = "released"  # went out in a bundle but never started: costs nothing


class OnLost(models.TextChoices):
    RETRY = "retry"  # run again elsewhere: at least once
    FAIL = "fail"  # never run twice: at most once


class Need(models.Model):
    """What a job asks of a node; one row per distinct content."""

    digest = models.CharField(max_length=64, unique=True)
    body = models.JSONField(default=dict)  # tags, memory_mb, slots, nodes, exclude

    def __str__(self) -> str:
        return ", ".join(f"{key}: {value}" for key, value in self.body.items()) or "anything"


class Spec(models.Model):
    """What to run, immutable; one row per distinct content, shared by many jobs."""

    digest = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=8, choices=Kind)
    title = models.CharField(max_length=200)  # the command line, the function's name …
    body = models.JSONField()  # the runner's words: see docs/lifecycle.md
    retry_on = models.JSONField(default=dict)  # exit_codes, timeout, exceptions; empty: anything
    need = models.ForeignKey(Need, on_delete=models.PROTECT)
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.title


class Sweep(models.Model):
    """Jobs submitted together over a range of arguments."""

    name = models.CharField(max_length=200, blank=True)
    spec = models.ForeignKey(Spec, on_delete=models.PROTECT)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    over = models.JSONField()
    mode = models.CharField(max_length=4)
    total = models.PositiveIntegerField()
    jobs_after = models.BigIntegerField(default=0)  # its jobs have larger numbers than this …
    jobs_until = models.BigIntegerField(null=True)  # … and no larger ones than that; null: unknown
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name or f"sweep {self.pk}"


class JobQuerySet(models.QuerySet["Job"]):
    def ready(self, now: datetime) -> "JobQuerySet":
        """What may start now, most urgent first."""
        may_start = self.filter(state=State.QUEUED, held=False, waits=0, run_at__lte=now)
        return may_start.order_by("-priority", "run_at", "id")


class Job(models.Model):
    """What a user submits, to be run to success.

    A job's few changes of state cost an entry in each index, and each reference a look at the
    other table: there are none but those that are worth it.
    """

    name = models.CharField(max_length=200, blank=True)
    spec = models.ForeignKey(Spec, on_delete=models.PROTECT, related_name="jobs")
    need = models.ForeignKey(
        Need, on_delete=models.PROTECT, db_index=False, db_constraint=False
    )  # the spec's: the claim reads it, by job_ready
    sweep = models.ForeignKey(
        Sweep,
        null=True,
        on_delete=models.CASCADE,
        related_name="jobs",
        db_index=False,
        db_constraint=False,
    )  # fmt: skip  job_sweep serves; written in one transaction with its jobs
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, db_constraint=False
    )
    args = models.TextField(default="{}")  # JSON text, carried as it is

    priority = models.SmallIntegerField(
        default=0, validators=[MinValueValidator(-100), MaxValueValidator(100)]
    )  # higher is more urgent
    max_attempts = models.PositiveSmallIntegerField(default=1)
    on_lost = models.CharField(max_length=5, choices=OnLost, default=OnLost.RETRY)
    strategy = models.CharField(max_length=20, blank=True)  # empty: the cluster's

    state = models.CharField(max_length=9, choices=State, default=State.QUEUED)
    run_at = models.DateTimeField()
    held = models.BooleanField(default=False)  # a person keeps it back
    waits = models.PositiveIntegerField(default=0)  # dependencies not yet met
    tried = models.PositiveIntegerField(default=0)  # attempts opened, the last one's number
    charged = models.PositiveSmallIntegerField(default=0)  # of them, those that count
    losses = models.PositiveSmallIntegerField(default=0)  # lost since the last requeue
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    run_seconds = models.FloatField(null=True, blank=True)
    node = models.ForeignKey(
        "cluster.Node", null=True, blank=True, on_delete=models.PROTECT, db_index=False,
        db_constraint=False,
    )  # fmt: skip
    result = models.TextField(null=True, blank=True)  # JSON text
    error = models.TextField(blank=True)
    exit_code = models.SmallIntegerField(null=True, blank=True)
    failure = models.CharField(max_length=16, null=True, blank=True)
    # The fingerprint of its last attempt, where that failed, until the next one or a requeue.

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="job_finished_at_iff_final",
                condition=Q(state__in=OPEN_STATES, finished_at=None)
                | Q(state__in=FINAL_STATES, finished_at__isnull=False),
            ),
        ]
        indexes = [
            # The claim's own order, kept to what is queued.
            models.Index(
                "need",
                F("priority").desc(),
                "run_at",
                "id",
                condition=Q(state="queued", held=False, waits=0),
                name="job_ready",
            ),
            models.Index(fields=["state", "-id"], name="job_state"),
            models.Index(fields=["state", "run_at"], condition=Q(state="queued"), name="job_due"),
            models.Index(
                fields=["sweep", "state", "finished_at"],
                condition=Q(sweep__isnull=False),
                name="job_sweep",
            ),
            models.Index(
                fields=["state", "finished_at"],
                condition=Q(finished_at__isnull=False),
                name="job_finished",
            ),
            models.Index(
                fields=["state", "cancel_requested_at"],
                condition=Q(state="running", cancel_requested_at__isnull=False),
                name="job_to_cancel",
            ),
            models.Index(
                fields=["failure", "-id"],
                condition=Q(failure__isnull=False),
                name="job_failure",
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"job {self.pk}"


class Tally(models.Model):
    """How many jobs of a sweep have come to an end of one kind: tally.py keeps and reads it."""

    slot = models.BigIntegerField()
    count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.count} in {self.slot}"


class AttemptTally(models.Model):
    """How many attempts failed in one way, in one hour, on one node, of one spec.

    failure_tally.py keeps and reads both: as differences, which are added up.
    """

    fingerprint = models.CharField(max_length=16)
    hour = models.BigIntegerField()  # in which they ended, since 1970; a day's first: of that day
    node = models.BigIntegerField()  # their ids: a reference would cost a look at each row
    spec = models.BigIntegerField()
    attempts = models.BigIntegerField()
    jobs = models.BigIntegerField()  # each counts where its latest attempt of this kind does

    class Meta:
        indexes = [models.Index(fields=["fingerprint", "hour"], name="attempt_tally")]

    def __str__(self) -> str:
        return f"{self.attempts} × {self.fingerprint}"


class JobTally(models.Model):
    """How many jobs, whose last attempt failed in one way, are in one state."""

    failure = models.CharField(max_length=16)
    hour = models.BigIntegerField()  # in which they ended; 0: they have not
    state = models.CharField(max_length=9, choices=State)
    owner = models.BigIntegerField()
    jobs = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["failure", "hour"], name="job_tally")]

    def __str__(self) -> str:
        return f"{self.jobs} {self.state} × {self.failure}"


class Dependency(models.Model):
    """A job waits for another; gone once it is met."""

    class Kind(models.TextChoices):
        OK = "ok"  # it must succeed; else the waiting job is cancelled
        ANY = "any"  # it must end, however

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="dependencies")
    on = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="dependants")
    kind = models.CharField(max_length=3, choices=Kind)

    class Meta:
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(fields=["job", "on"], name="dependency_once"),
            models.CheckConstraint(name="dependency_on_another", condition=~Q(job=F("on"))),
        ]

    def __str__(self) -> str:
        return f"job {self.job_id} after job {self.on_id} ({self.kind})"


class Event(models.Model):
    """One change in a job's life: when, by whom, why. Written with the change itself."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="events", db_constraint=False
    )
    at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, blank=True)  # after it; empty: a note
    attempt = models.PositiveIntegerField(null=True)  # its number
    who = models.CharField(max_length=150)  # a user's name, or dispatcher
    why = models.CharField(max_length=300)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"job {self.job_id}: {self.state} {self.why}"


class IdempotencyKey(models.Model):
    """A client's promise that two requests are one: kept for 24 hours."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)  # of path and body
    job = models.ForeignKey(Job, null=True, on_delete=models.CASCADE)
    sweep = models.ForeignKey(Sweep, null=True, on_delete=models.CASCADE)
    node = models.ForeignKey("cluster.Node", null=True, on_delete=models.CASCADE)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="key_once_per_owner")]

    def __str__(self) -> str:
        return self.key


class Attempt(models.Model):
    """One try of a job on one node; open while it has no outcome."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="attempts", db_index=False
    )  # attempt_number_once serves
    number = models.PositiveIntegerField()
    node = models.ForeignKey(
        "cluster.Node",
        on_delete=models.PROTECT,
        related_name="attempts",
        db_index=False,
        db_constraint=False,
    )  # fmt: skip  attempt_node serves
    bundle = models.BigIntegerField()  # the dispy job it travels in
    slots = models.PositiveSmallIntegerField(default=1)  # that its bundle takes on the node
    placement = models.JSONField(default=dict)  # strategy, candidates, ruled out

    claimed_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome, null=True, blank=True)
    exit_code = models.SmallIntegerField(null=True, blank=True)
    error_type = models.CharField(max_length=100, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=16, null=True, blank=True)  # of its failure
    run_seconds = models.FloatField(null=True, blank=True)
    cpu_seconds = models.FloatField(null=True, blank=True)
    max_rss_kb = models.BigIntegerField(null=True, blank=True)
    stdout_bytes = models.BigIntegerField(default=0)  # written; what is kept may be less
    stderr_bytes = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["job", "number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
            models.UniqueConstraint(
                fields=["job"], condition=Q(finished_at=None), name="attempt_one_open_per_job"
            ),
            models.CheckConstraint(
                name="attempt_outcome_iff_finished",
                condition=Q(outcome=None, finished_at=None)
                | Q(outcome__isnull=False, finished_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["bundle", "node", "slots"],
                condition=Q(finished_at=None),
                name="attempt_open",
            ),
            models.Index(
                fields=["outcome", "finished_at"], condition=Q(outcome="lost"), name="attempt_lost"
            ),
            models.Index(
                fields=["bundle"], condition=Q(outcome="lost"), name="attempt_lost_bundle"
            ),
            models.Index(fields=["node", "-id"], name="attempt_node"),
            models.Index(
                fields=["fingerprint", "finished_at"],
                condition=Q(fingerprint__isnull=False),
                name="attempt_failure",
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of job {self.job_id}"


class RunTime(models.Model):
    """How long a spec takes on a node, measured: exponential mean and variance of the logarithm."""

    spec = models.ForeignKey(Spec, on_delete=models.CASCADE)
    node = models.ForeignKey("cluster.Node", on_delete=models.CASCADE)
    count = models.PositiveIntegerField()
    log_mean = models.FloatField()  # of seconds
    log_variance = models.FloatField()
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["spec", "node"], name="run_time_once"),
        ]

    def __str__(self) -> str:
        return f"spec {self.spec_id} on node {self.node_id}"


class Output(models.Model):
    """A piece of what an attempt wrote, as it arrived. Bytes: nobody promised text."""

    class Stream(models.TextChoices):
        STDOUT = "stdout"
        STDERR = "stderr"

    attempt = models.ForeignKey(
        Attempt, on_delete=models.CASCADE, related_name="outputs", db_index=False
    )  # output_piece_once serves
    stream = models.CharField(max_length=6, choices=Stream)
    offset = models.BigIntegerField()  # in the whole stream; a gap was left out at the cap
    data = models.BinaryField()

    class Meta:
        ordering = ["attempt", "stream", "offset"]
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "stream", "offset"], name="output_piece_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream} of attempt {self.attempt_id} from byte {self.offset}"


class File(models.Model):
    """Bytes kept once per content under DISPYCLUSTER_HOME/files: uploads and artifacts."""

    digest = models.CharField(max_length=71, primary_key=True)  # sha256:…
    size = models.BigIntegerField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.digest


class Artifact(models.Model):
    """A file that an attempt left behind."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=300)  # its path in the scratch folder
    size = models.BigIntegerField()
    file = models.ForeignKey(File, null=True, on_delete=models.PROTECT)  # null: see error
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["attempt", "name"]

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """One process's right to do a duty, and its heartbeat."""

    name = models.CharField(max_length=20, primary_key=True)  # dispatcher, monitor
    holder = models.CharField(max_length=200)
    epoch = models.BigIntegerField(default=0)  # grows with each new holder: old ones are fenced
    taken_at = models.DateTimeField()
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    note = WordsField(blank=True)  # what keeps it from its duty

    def __str__(self) -> str:
        return f"{self.name} held by {self.holder}"

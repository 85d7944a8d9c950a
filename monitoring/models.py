"""What the watching keeps: samples, alerts and what was sent about them, changes by advice."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from cluster.models import Node


class Sample(models.Model):
    """What was read at one moment, of the cluster or of one node; thinned out as it ages."""

    node = models.ForeignKey(Node, null=True, on_delete=models.CASCADE)  # null: the cluster
    at = models.DateTimeField()  # the end of what it stands for
    seconds = models.PositiveIntegerField()  # how much time it stands for: 10, 60, 900
    values = models.JSONField()  # name -> number; docs/metrics.md has the names

    class Meta:
        indexes = [
            models.Index(fields=["node", "seconds", "at"], name="sample_series"),
            models.Index(fields=["seconds", "at"], name="sample_age"),
        ]

    def __str__(self) -> str:
        return f"{self.node_id or 'cluster'} at {self.at}"


class Totals(models.Model):
    """Running totals of attempts and jobs, each counted once: totals.py keeps them, in one row."""

    ONLY = 1

    attempt = models.BigIntegerField()  # the newest one looked at
    still_open = models.JSONField(default=list)  # those of them not counted yet
    values = models.JSONField(default=dict)  # cluster, nodes: name -> number
    moved_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "totals"

    def __str__(self) -> str:
        return f"up to attempt {self.attempt}"


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertState(models.TextChoices):
    PENDING = "pending"  # seen, not for long enough yet
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # somebody cares; still true
    RESOLVED = "resolved"


class Alert(models.Model):
    """One cause, from its first sight to its end. Words are made from `facts` where it is shown."""

    rule = models.CharField(max_length=40)  # rules.py knows them
    subject = models.CharField(max_length=200, blank=True)  # a node's name …; empty: the cluster
    severity = models.CharField(max_length=8, choices=Severity)
    state = models.CharField(max_length=12, choices=AlertState, default=AlertState.PENDING)
    value = models.FloatField(null=True, blank=True)
    threshold = models.FloatField(null=True, blank=True)
    facts = models.JSONField(default=dict)  # what its sentences name
    inside = models.JSONField(default=list)  # findings that are its consequences: rule, subject …
    started_at = models.DateTimeField()  # when it was first true
    fired_at = models.DateTimeField(null=True, blank=True)
    announced_at = models.DateTimeField(null=True, blank=True)  # a notice went out, or to nobody
    cleared_at = models.DateTimeField(null=True, blank=True)  # no longer true, not yet for long
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(resolved_at=None), name="alert_one_open"
            ),
            models.CheckConstraint(
                name="alert_resolved_iff_state",
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at=None)),
            ),
        ]
        indexes = [models.Index(fields=["state", "-id"], name="alert_state")]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject} ({self.state})"


class Pace(models.Model):
    """How long a spec took on a node so far: what `slow_node` holds the present against."""

    spec = models.ForeignKey("jobs.Spec", on_delete=models.CASCADE)
    node = models.ForeignKey(Node, on_delete=models.CASCADE)
    log_mean = models.FloatField()  # of seconds; follows slowly
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["spec", "node"], name="pace_once")]

    def __str__(self) -> str:
        return f"spec {self.spec_id} on node {self.node_id}"


class Silence(models.Model):
    """Nothing is sent about matching alerts until then. Empty rule and subject: maintenance."""

    rule = models.CharField(max_length=40, blank=True)  # empty: every rule
    subject = models.CharField(max_length=200, blank=True)  # empty: everything
    comment = models.CharField(max_length=300)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ["-ends_at"]

    def __str__(self) -> str:
        return f"{self.rule or 'all'} {self.subject} until {self.ends_at}"


class RuleSetting(models.Model):
    """What people changed about a rule; rules.py has the defaults."""

    rule = models.CharField(max_length=40, primary_key=True)
    enabled = models.BooleanField(default=True)
    threshold = models.FloatField(null=True, blank=True)
    hold_seconds = models.FloatField(null=True, blank=True)
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return self.rule


class Channel(models.Model):
    """Where notices go: an Apprise URL, which is a secret, or a mail address."""

    name = models.CharField(max_length=100, unique=True)
    url = models.TextField()  # mailto: goes by Django's mail settings; masked wherever shown
    least = models.CharField(max_length=8, choices=Severity, default=Severity.WARNING)
    tags = models.JSONField(default=list, blank=True)  # of the nodes it is about; empty: any
    allow_private = models.BooleanField(default=False)  # targets on private and loopback addresses
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """A notice to one channel: queued with the alert's own change, and what became of it."""

    class Kind(models.TextChoices):
        FIRING = "firing"
        RESOLVED = "resolved"
        TEST = "test"

    class State(models.TextChoices):
        QUEUED = "queued"
        SENT = "sent"
        FAILED = "failed"  # given up

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    alerts = models.ManyToManyField(Alert, related_name="deliveries")
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=6, choices=State, default=State.QUEUED)
    title = models.CharField(max_length=300)
    body = models.TextField()
    tries = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="queued"), name="delivery_due"),
            models.Index(fields=["due_at"], condition=Q(state="failed"), name="delivery_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.channel_id} ({self.state})"


class Change(models.Model):
    """A recommendation that somebody applied, and how to take it back."""

    kind = models.CharField(max_length=40)
    facts = models.JSONField(default=dict)  # what was recommended, with its evidence
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class Study(models.Model):
    """The advice as it was last computed: one row, since computing takes seconds."""

    at = models.DateTimeField()
    seconds = models.FloatField()  # that it took
    body = models.JSONField(default=dict)  # advice.py writes and reads it

    class Meta:
        verbose_name_plural = "studies"

    def __str__(self) -> str:
        return f"study at {self.at}"

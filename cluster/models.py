from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

from cluster.wording import WordsField


class Node(models.Model):
    """A machine running a node agent, as last heard of."""

    name = models.CharField(max_length=100, unique=True)
    address = models.CharField(max_length=255, unique=True)
    slots = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    slots_set = models.BooleanField(default=False)  # by a person; else as many as the agent has
    tags = models.JSONField(default=list, blank=True)  # given by people
    auto_tags = models.JSONField(default=list, blank=True)  # from the passport: arch:aarch64 …

    online = models.BooleanField(default=False)
    draining = models.BooleanField(default=False)
    drain_reason = WordsField(blank=True)
    trouble = WordsField(blank=True)  # why a listed node is not usable
    removed_at = models.DateTimeField(null=True, blank=True)  # kept for its history

    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=150, blank=True)  # empty: listed in DISPY_NODES
    last_seen_at = models.DateTimeField(null=True, blank=True)
    last_claim_at = models.DateTimeField(null=True, blank=True)  # for round_robin, least_recent

    cpus = models.PositiveSmallIntegerField(null=True, blank=True)
    platform = models.CharField(max_length=200, blank=True)
    version = models.CharField(max_length=40, blank=True)  # dispy's, as the node says
    patched = models.BooleanField(default=False)  # runs our agent, with the fixes
    passport = models.JSONField(default=dict, blank=True)

    cpu_percent = models.FloatField(null=True, blank=True)  # in use
    memory_free = models.BigIntegerField(null=True, blank=True)  # bytes
    disk_free = models.BigIntegerField(null=True, blank=True)  # bytes
    memory_total = models.BigIntegerField(null=True, blank=True)  # bytes
    swap_percent = models.FloatField(null=True, blank=True)  # in use
    reading = models.JSONField(default=dict, blank=True)  # load_1, temperature, throttled …

    # The circuit breaker (breaker.py): closed while opened_at is null, half-open after probe_at.
    breaker_opened_at = models.DateTimeField(null=True, blank=True)
    breaker_probe_at = models.DateTimeField(null=True, blank=True)
    breaker_openings = models.PositiveSmallIntegerField(default=0)  # in a row: the pause grows
    breaker_reason = WordsField(blank=True)
    breaker_reset_at = models.DateTimeField(null=True, blank=True)  # earlier losses do not count

    canary_at = models.DateTimeField(null=True, blank=True)  # when the last one ended
    canary_error = WordsField(blank=True)  # empty: it sang
    dispatch_ms = models.FloatField(null=True, blank=True)  # sent to answered, less the work

    speed = models.FloatField(null=True, blank=True)  # against the fleet's median; null: unknown
    speed_samples = models.PositiveIntegerField(default=0)
    speed_evidence = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Setting(models.Model):
    """A choice that people change while everything runs: setting.py knows the names."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.JSONField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150)

    def __str__(self) -> str:
        return f"{self.name} = {self.value}"


class Invitation(models.Model):
    """A one-time right to join as a node; the token itself is never stored."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the token
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)  # the secret was handed out
    revoked_at = models.DateTimeField(null=True, blank=True)
    name = models.CharField(max_length=90, blank=True)  # what the node is to be; empty: its own
    address = models.CharField(max_length=255, blank=True)
    slots = models.PositiveSmallIntegerField(null=True, blank=True)
    tags = models.JSONField(default=list, blank=True)
    node = models.ForeignKey(Node, null=True, blank=True, on_delete=models.SET_NULL)
    checks = models.JSONField(default=dict, blank=True)  # the pre-flight receipt, check by check
    welcome_job = models.BigIntegerField(null=True, blank=True)  # the number of its test job

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"invitation {self.pk}"

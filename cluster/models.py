from django.core.validators import MinValueValidator
from django.db import models


class Node(models.Model):
    """A machine running a node agent, as last heard of."""

    name = models.CharField(max_length=100, unique=True)
    address = models.CharField(max_length=255, unique=True)
    slots = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    tags = models.JSONField(default=list, blank=True)

    online = models.BooleanField(default=False)
    draining = models.BooleanField(default=False)
    drain_reason = models.CharField(max_length=200, blank=True)
    trouble = models.CharField(max_length=300, blank=True)  # why a listed node is not usable
    removed_at = models.DateTimeField(null=True, blank=True)  # kept for its history

    added_at = models.DateTimeField()
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
    swap_percent = models.FloatField(null=True, blank=True)  # in use

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

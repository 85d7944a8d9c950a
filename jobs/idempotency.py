"""Idempotency-Key: two requests with one key make one job, sweep or node. Kept for 24 hours."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from cluster.models import Node
from jobs.models import IdempotencyKey, Job, Sweep

HOURS = 24
LONGEST = 200  # characters

Made = Job | Sweep | Node
FIELDS: dict[type[Made], str] = {Job: "job", Sweep: "sweep", Node: "node"}


class OtherBody(Exception):
    """The key was used before, with another request."""


def once(
    key: str, owner: Any, request: bytes, now: datetime, make: Callable[[], Made]
) -> tuple[Made, bool]:
    """What `make` makes, or what it made when the key was first used; and whether it is new.

    The key is inserted in the transaction that makes it: both are there, or neither.
    """
    digest = hashlib.sha256(request).hexdigest()
    IdempotencyKey.objects.filter(
        owner=owner, key=key, created_at__lt=now - timedelta(hours=HOURS)
    ).delete()
    try:
        with transaction.atomic():
            row = IdempotencyKey.objects.create(owner=owner, key=key, digest=digest, created_at=now)
            made = make()
            field = FIELDS[type(made)]
            setattr(row, field, made)
            row.save(update_fields=[field])
            return made, True
    except IntegrityError:
        known = IdempotencyKey.objects.filter(owner=owner, key=key).first()
        if known is None:
            raise
    if known.digest != digest:
        raise OtherBody(key)
    found = known.job or known.sweep or known.node
    assert found, "a key is committed together with what it made"
    return found, False

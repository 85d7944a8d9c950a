"""Idempotency-Key: two requests with one key are one job. Kept for 24 hours."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from jobs.models import IdempotencyKey, Job, Sweep

HOURS = 24
LONGEST = 200  # characters


class OtherBody(Exception):
    """The key was used before, with another request."""


def once(
    key: str, owner: Any, request: bytes, now: datetime, submit: Callable[[], Job | Sweep]
) -> tuple[Job | Sweep, bool]:
    """What `submit` makes, or what it made when the key was first used; and whether it is new.

    The key is inserted in the transaction that makes the job: both are there, or neither.
    """
    digest = hashlib.sha256(request).hexdigest()
    IdempotencyKey.objects.filter(
        owner=owner, key=key, created_at__lt=now - timedelta(hours=HOURS)
    ).delete()
    try:
        with transaction.atomic():
            row = IdempotencyKey.objects.create(owner=owner, key=key, digest=digest, created_at=now)
            made = submit()
            row.job = made if isinstance(made, Job) else None
            row.sweep = made if isinstance(made, Sweep) else None
            row.save(update_fields=["job", "sweep"])
            return made, True
    except IntegrityError:
        known = IdempotencyKey.objects.filter(owner=owner, key=key).first()
        if known is None:
            raise
    if known.digest != digest:
        raise OtherBody(key)
    found = known.job or known.sweep
    assert found, "a key is committed together with what it made"
    return found, False

"""One process at a time does a duty. The lease doubles as that process's heartbeat."""

import os
import socket
from datetime import datetime, timedelta
from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from jobs.models import Lease

SECONDS = 10.0


class LeaseLost(Exception):
    """Somebody else holds the lease: stop writing at once."""


def me() -> str:
    """This process, told apart from a later one with the same number: host:pid:start."""
    return identity(os.getpid()) or f"{socket.gethostname()}:{os.getpid()}:"


def identity(pid: int) -> str | None:
    """host:pid:start of a process of this machine; None if there is none."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None
    return f"{socket.gethostname()}:{pid}:{started}"


def take(name: str, who: str, now: datetime, seconds: float = SECONDS) -> int | None:
    """Take a lease that is free, run out or already ours. The new epoch, or None: it is held."""
    fresh = {"holder": who, "taken_at": now, "renewed_at": now, "note": ""}
    fresh["expires_at"] = now + timedelta(seconds=seconds)
    with transaction.atomic():
        takeable = Lease.objects.filter(Q(expires_at__lte=now) | Q(holder=who), name=name)
        if takeable.update(epoch=F("epoch") + 1, **fresh):
            return Lease.objects.values_list("epoch", flat=True).get(name=name)
    try:
        with transaction.atomic():
            return Lease.objects.create(name=name, epoch=1, **fresh).epoch
    except IntegrityError:
        return None


def renew(name: str, epoch: int, now: datetime, seconds: float = SECONDS) -> None:
    """Say that we are alive. Raises LeaseLost if the lease is another's by now."""
    mine = Lease.objects.filter(name=name, epoch=epoch)
    if not mine.update(renewed_at=now, expires_at=now + timedelta(seconds=seconds)):
        raise LeaseLost(name)


def explain(name: str, epoch: int, note: str) -> None:
    """Say what keeps the holder from its duty; empty: nothing."""
    Lease.objects.filter(name=name, epoch=epoch).exclude(note=note).update(note=note[:300])


def fence(name: str, epoch: int) -> None:
    """Inside a transaction: no write of an old holder gets past this line."""
    if not Lease.objects.select_for_update().filter(name=name, epoch=epoch).exists():
        raise LeaseLost(name)


def give_back(name: str, epoch: int, now: datetime) -> None:
    """Leave on purpose, so that the next one need not wait."""
    Lease.objects.filter(name=name, epoch=epoch).update(expires_at=now)


def holder(name: str, now: datetime) -> Lease | None:
    """Who holds it, while the heartbeat is fresh."""
    return Lease.objects.filter(name=name, expires_at__gt=now).first()


def take_over_dead(name: str, who: str, now: datetime) -> int | None:
    """As `take`, and at once where the holder was a process of this machine that is gone."""
    held = holder(name, now)
    if held and dead_here(held.holder):
        Lease.objects.filter(name=name, epoch=held.epoch).update(expires_at=now)
    return take(name, who, now)


def dead_here(who: str) -> bool:
    """Was it a process of this machine that is gone? False where that cannot be known."""
    host, pid, _ = (who.split(":") + ["", ""])[:3]
    return host == socket.gethostname() and pid.isdigit() and identity(int(pid)) != who

"""One process at a time does a duty. The lease doubles as that process's heartbeat."""

import os
import socket
from datetime import datetime, timedelta
from pathlib import Path

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q

from jobs.models import Lease
from jobs.rows import select

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


def take(
    name: str,
    who: str,
    now: datetime,
    silent_since: datetime | None = None,
    seconds: float = SECONDS,
) -> int | None:
    """Take a lease that is free, given back or already ours. The new epoch; None: it is held.

    `silent_since`: its renewed_at, where the caller has watched that stay the same for the
    lease's length by a clock of its own. Clocks of two machines are never compared.
    """
    fresh = {"holder": who, "taken_at": now, "renewed_at": now, "note": ""}
    fresh["expires_at"] = now + timedelta(seconds=seconds)
    free = Q(holder=who) | Q(expires_at__lte=F("renewed_at")) | Q(renewed_at=silent_since)
    with transaction.atomic():
        if Lease.objects.filter(free, name=name).update(epoch=F("epoch") + 1, **fresh):
            return Lease.objects.values_list("epoch", flat=True).get(name=name)
    try:
        with transaction.atomic():
            return Lease.objects.create(name=name, epoch=1, **fresh).epoch
    except IntegrityError:
        return None


class Turn:
    """Waits for a lease: watches its holder, by our own clock."""

    def __init__(self, name: str, seconds: float = SECONDS) -> None:
        self.name, self.seconds = name, seconds
        self.held: Lease | None = None
        self.unchanged_since = 0.0
        self.holder_lives = False  # it renewed the lease while we watched

    def ask(self, now: datetime, clock: float) -> int | None:
        """Take it if it may be taken. `clock`: monotonic seconds."""
        held = Lease.objects.filter(name=self.name).first()
        if self.held is None or held is None or held.renewed_at != self.held.renewed_at:
            self.holder_lives = bool(self.held and held and held.epoch == self.held.epoch)
            self.held, self.unchanged_since = held, clock
        silent = clock - self.unchanged_since >= self.seconds
        dead = held is not None and dead_here(held.holder)
        since = held.renewed_at if held and (silent or dead) else None
        return take(self.name, me(), now, since, self.seconds)


def renew(name: str, epoch: int, now: datetime, seconds: float = SECONDS) -> None:
    """Say that we are alive. Raises LeaseLost if the lease is another's by now."""
    mine = Lease.objects.filter(name=name, epoch=epoch)
    if not mine.update(renewed_at=now, expires_at=now + timedelta(seconds=seconds)):
        raise LeaseLost(name)


def explain(name: str, epoch: int, note: str) -> None:
    """Say what keeps the holder from its duty; empty: nothing."""
    Lease.objects.filter(name=name, epoch=epoch).exclude(note=note).update(note=note)


def fence(name: str, epoch: int) -> None:
    """Inside a transaction: no write of an old holder gets past this line."""
    lock = "FOR UPDATE" if connection.features.has_select_for_update else ""
    sql = f"SELECT 1 FROM jobs_lease WHERE name = %s AND epoch = %s {lock}"  # noqa: S608
    if not select(sql, [name, epoch]):
        raise LeaseLost(name)


def give_back(name: str, epoch: int, now: datetime) -> None:
    """Leave on purpose, so that the next one need not wait."""
    mine = Lease.objects.filter(name=name, epoch=epoch)
    mine.update(renewed_at=now, expires_at=now)


def holder(name: str, now: datetime) -> Lease | None:
    """Who holds it, while the heartbeat is fresh."""
    return Lease.objects.filter(name=name, expires_at__gt=now).first()


def dead_here(who: str) -> bool:
    """Was it a process of this machine that is gone? False where that cannot be known."""
    host, pid, _ = (who.split(":") + ["", ""])[:3]
    return host == socket.gethostname() and pid.isdecimal() and identity(int(pid)) != who

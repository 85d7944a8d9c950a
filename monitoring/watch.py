"""What the monitor does, and when: each duty by itself, so that one that fails stops no other."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from jobs import failure_tally, lease
from monitoring import advice, alerts, retention, samples, snapshot
from monitoring.postman import Postman
from schedules import due

logger = logging.getLogger(__name__)

LEASE = 20.0  # seconds
BEAT_SECONDS = 5.0
LOOK_SECONDS = 10.0
ADVICE_SECONDS = 300.0  # between two looks whether it is to be made anew
THIN_SECONDS = 300.0
SAID_AGAIN_SECONDS = 60.0  # of a duty that goes on failing
AWAY = (OperationalError, InterfaceError)


@dataclass
class Duty:
    """Something to be done every so often. slow: in a thread of its own, never twice at once."""

    name: str
    every: float
    do: Callable[[datetime], Any]
    slow: bool = False
    due_at: float = 0.0  # monotonic
    thread: threading.Thread | None = None
    said_at: float | None = None  # when its failing was logged last

    def is_due(self, clock: float) -> bool:
        return clock >= self.due_at and not (self.thread and self.thread.is_alive())


@dataclass
class Watch:
    """The monitor's duties, step by step. It may die at any line: all it knows is in the rows."""

    duties: Sequence[Duty]
    close: Callable[[datetime], Any]  # what is to be ended with it
    away: bool = False  # the database

    def step(self, now: datetime, clock: float) -> int:
        """Do what is due; returns how much. Raises LeaseLost where another monitor took over."""
        done = 0
        for duty in self.duties:
            if not duty.is_due(clock):
                continue
            duty.due_at = clock + duty.every
            if duty.slow:
                duty.thread = threading.Thread(
                    target=self.aside, args=(duty, now, clock), name=duty.name, daemon=True
                )
                duty.thread.start()
            elif not self.guarded(duty, now, clock):
                return done  # the rest would fail likewise, each after its time-out
            done += 1
        return done

    def guarded(self, duty: Duty, now: datetime, clock: float) -> bool:
        """False: the database is away."""
        try:
            duty.do(now)
        except lease.LeaseLost:
            raise
        except AWAY as error:
            connection.close()
            if not self.away:
                logger.warning("the database does not answer; trying again: %s", error)
            self.away, duty.due_at = True, clock
            return False
        except Exception:
            if duty.said_at is None or clock - duty.said_at >= SAID_AGAIN_SECONDS:
                duty.said_at = clock
                logger.exception("%s failed; the other duties go on", duty.name)
            return True
        if self.away:
            self.away = False
            logger.info("the database answers again")
        duty.said_at = None
        return True

    def aside(self, duty: Duty, now: datetime, clock: float) -> None:
        close_old_connections()
        try:
            self.guarded(duty, now, clock)
        finally:
            connection.close()


@dataclass
class Look:
    """Reads the cluster and judges: every ten seconds, earlier where an alert falls due."""

    next_sample: datetime | None = None
    next_alert: datetime | None = None

    def __call__(self, now: datetime) -> None:
        sample = self.next_sample is None or now >= self.next_sample
        if not sample and not (self.next_alert and now >= self.next_alert):
            return
        seen = snapshot.read(now)
        failed: Exception | None = None
        if sample:
            self.next_sample = following(self.next_sample, now)
            try:
                samples.keep(seen, now)
            except AWAY:
                raise
            except Exception as error:  # told once the alerts are judged
                failed = error
        self.next_alert = alerts.judge(snapshot.judged(seen), now)
        if failed:
            raise failed


def following(last: datetime | None, now: datetime) -> datetime:
    """Every ten seconds, without running ahead or catching up after a pause."""
    step = timedelta(seconds=LOOK_SECONDS)
    return last + step if last and now - last < step else now + step


def clean(now: datetime) -> None:
    """Retention, as the settings have it."""
    gone = retention.clean(now, settings.RETENTION_DAYS or None)
    if gone.anything:
        files = {kind: found.count for kind, found in gone.files.items() if found.count}
        logger.info("cleanup: %s", {**{k: n for k, n in gone.rows.items() if n}, **files})


def watch(epoch: int) -> Watch:
    """All duties of the monitor that holds the lease with this epoch."""
    postman = Postman()
    duties = [
        Duty("heartbeat", BEAT_SECONDS, lambda now: lease.renew("monitor", epoch, now, LEASE)),
        Duty("schedules", 1.0, due.run),
        Duty("samples and alerts", 1.0, Look()),
        Duty("notices", 1.0, postman.step),
        Duty("advice", ADVICE_SECONDS, advice.duty, slow=True),
        Duty("thinning", THIN_SECONDS, samples.thin, slow=True),
        Duty("sums of failures", THIN_SECONDS, failure_tally.thin, slow=True),
        Duty("retention", settings.DISPY_CLEANUP_INTERVAL, clean, slow=True),
    ]
    return Watch(duties, postman.close)

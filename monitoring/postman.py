"""Sends what is due: taken and recorded by the monitor's own thread, carried by others.

Taking counts the try and moves `due_at` past the time-out, in one commit, before anything is sent.
So a monitor that dies in between leaves the row to be sent again: once normally, at least once
across a crash. The threads wait for couriers and touch no database.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, QuerySet

from monitoring import carrying
from monitoring.carrying import DIED, LEVELS, OFF, Notice
from monitoring.models import Delivery

logger = logging.getLogger(__name__)

PAUSES = (30, 120, 600, 3600)  # seconds after the first, second … try that failed
MOST_TRIES = len(PAUSES) + 1
MARGIN = timedelta(seconds=15)  # beyond the time-out, until a row may be taken again
State = Delivery.State


@dataclass(frozen=True)
class Trip:
    """One try of a delivery."""

    delivery: int
    channel: int
    tries: int  # counting this one: a late answer of an earlier one finds another number
    notice: Notice


class Postman:
    def __init__(self, threads: int = 4, timeout: float = carrying.TIMEOUT) -> None:
        self.threads, self.timeout = threads, timeout
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="postman")
        self.out: dict[Future[str], Trip] = {}

    def step(self, now: datetime) -> int:
        """Record what came back, send what is due. Returns how many things it did."""
        back = {future: trip for future, trip in self.out.items() if future.done()}
        free = self.threads - len(self.out) + len(back)
        # Without anything to do this is one look by the index, and no commit.
        if not back and not (free and due(now).exists()):
            return 0
        away = {trip.channel for future, trip in self.out.items() if future not in back}
        with transaction.atomic():
            for future, trip in back.items():
                record(trip, future.result(), now)
            trips = self.take(now, free, away)
        for future in back:
            del self.out[future]
        for trip in trips:
            self.out[self.pool.submit(carrying.send, trip.notice, self.timeout)] = trip
        return len(back) + len(trips)

    def take(self, now: datetime, free: int, away: set[int]) -> list[Trip]:
        """Mark as many as there are hands; one of each channel, so that none takes them all."""
        ready = due(now).exclude(channel__in=away)
        off = ready.filter(channel__enabled=False).exclude(kind=Delivery.Kind.TEST)
        Delivery.objects.filter(pk__in=off.values("pk")).update(state=State.FAILED, error=OFF)
        worn = Delivery.objects.filter(pk__in=ready.filter(tries__gte=MOST_TRIES).values("pk"))
        worn.filter(error="").update(error=DIED)
        worn.update(state=State.FAILED)
        firsts = ready.order_by().values("channel").annotate(first=Min("due_at"))
        trips = list[Trip]()
        for one in firsts.order_by("first", "channel")[:free]:
            mine = ready.filter(channel=one["channel"]).select_related("channel")
            if trip := self.mark(mine.order_by("due_at", "id").first(), now):
                trips.append(trip)
        return trips

    def mark(self, row: Delivery | None, now: datetime) -> Trip | None:
        """Count the try, and keep everybody else off the row until it must have ended."""
        if row is None:
            return None
        same = Delivery.objects.filter(pk=row.pk, state=State.QUEUED, tries=row.tries)
        until = now + timedelta(seconds=self.timeout) + MARGIN
        if not same.update(tries=row.tries + 1, due_at=until):
            return None
        return Trip(row.pk, row.channel_id, row.tries + 1, notice_of(row))

    def close(self, now: datetime, seconds: float = 3) -> None:
        """Wait a little for what is on its way; what is not back by then is sent again later."""
        try:
            wait(self.out, timeout=seconds)
            back = [(future, trip) for future, trip in self.out.items() if future.done()]
            with transaction.atomic():
                for future, trip in back:
                    record(trip, future.result(), now)
        finally:
            self.out.clear()
            self.pool.shutdown(wait=False, cancel_futures=True)
            carrying.end_all()


def due(now: datetime) -> QuerySet[Delivery]:
    """Those to be sent now. That an alert is over waits until its channel heard that it fires."""
    earlier = Delivery.objects.filter(
        channel=OuterRef("channel"), state=State.QUEUED, pk__lt=OuterRef("pk"),
        alerts__deliveries=OuterRef("pk"),
    )  # fmt: skip
    rows = Delivery.objects.filter(state=State.QUEUED, due_at__lte=now)
    return rows.exclude(Exists(earlier))


def notice_of(row: Delivery) -> Notice:
    level = LEVELS["resolved"] if row.kind == Delivery.Kind.RESOLVED else "info"
    if row.kind == Delivery.Kind.FIRING:
        worst = {one.severity for one in row.alerts.all()}
        level = next((LEVELS[name] for name in ("critical", "warning") if name in worst), "info")
    return Notice(row.channel.url, row.channel.allow_private, row.title, row.body, level)


def record(trip: Trip, error: str, now: datetime) -> None:
    """What became of a try; of a row that has moved on meanwhile nothing."""
    row = Delivery.objects.filter(pk=trip.delivery, state=State.QUEUED, tries=trip.tries)
    if not error:
        row.update(state=State.SENT, sent_at=now, error="")
        return
    pause = PAUSES[trip.tries - 1] if trip.tries < MOST_TRIES else None
    kind = Delivery.objects.filter(pk=trip.delivery).values_list("kind", flat=True).first()
    if pause is None or kind == Delivery.Kind.TEST:  # somebody waits for a test's answer
        row.update(state=State.FAILED, error=error)
        logger.warning("notice %d is given up after %d tries: %s", trip.delivery, trip.tries, error)
    else:
        row.update(due_at=now + timedelta(seconds=pause), error=error)
        logger.info("notice %d did not arrive, again in %d s: %s", trip.delivery, pause, error)

"""The health checker: losses that open breakers, canaries that test idle nodes, speeds."""

import logging
import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from cluster import breaker, canary, checkup, speed
from cluster.breaker import Loss
from cluster.canary import Song
from cluster.engine.events import BundleEnded, BundleGone, Event
from cluster.models import Node
from cluster.words import Words, gettext_noop
from jobs.models import Attempt, Outcome
from jobs.runtimes import RunTimes

logger = logging.getLogger(__name__)

CANARY = 0  # among the specs whose run times are known
GIVEN_UP_AFTER = timedelta(seconds=60)
RESTART_GRACE = timedelta(seconds=5)  # losses of a dispatcher's own restart are nobody's fault


def unanswered(seconds: int) -> Words:
    return Words(gettext_noop("no answer within %(seconds)s s"), seconds=seconds)


def lost(why: str) -> Words:
    return Words(gettext_noop("lost: %(why)s"), why=why)


class Carrier(Protocol):
    def send(self, bundle: int, address: str, text: str) -> bool: ...
    def cancel(self, bundle: int) -> None: ...


@dataclass(frozen=True)
class Flight:
    """A canary on its way."""

    node: int
    address: str
    sent_at: datetime


@dataclass
class Health:
    """Kept in the dispatcher's memory; may be lost."""

    started_at: datetime
    flights: dict[int, Flight] = field(default_factory=dict)  # by bundle
    learnt: bool = False  # run times changed since the speeds were computed

    def busy(self) -> Counter[int]:
        """Slots that canaries take, by node."""
        return Counter(flight.node for flight in self.flights.values())


def judge(health: Health, nodes: Collection[int], now: datetime) -> None:
    """After losses on these nodes: whose fault were they?"""
    since = max(now - breaker.WINDOW, health.started_at + RESTART_GRACE)
    lost = Attempt.objects.filter(outcome=Outcome.LOST, finished_at__gte=since)
    rows = lost.order_by().values_list("node", "job", "finished_at")
    losses = [Loss(node, job, at) for node, job, at in rows if at]
    for node in checkup.judge(losses, nodes, now):
        logger.warning("node %s is quarantined: %s", node.name, node.breaker_reason)


def send_canaries(engine: Carrier, health: Health, busy: Counter[int], now: datetime) -> None:
    """To idle nodes, and to those whose breaker is half-open."""
    for bundle, flight in list(health.flights.items()):
        if flight.sent_at + GIVEN_UP_AFTER <= now:
            engine.cancel(bundle)
            del health.flights[bundle]
            seconds = int(GIVEN_UP_AFTER.total_seconds())
            checkup.heard(flight.node, Song(unanswered(seconds)), None, now)
    on_their_way = health.busy()
    for node in Node.objects.filter(online=True, removed_at=None):
        if busy[node.pk] or on_their_way[node.pk] or not checkup.wants_canary(node, now):
            continue
        bundle = secrets.randbits(62)
        if engine.send(bundle, node.address, canary.parcel(bundle)):
            health.flights[bundle] = Flight(node.pk, node.address, now)


def hear(events: list[Event], health: Health, times: RunTimes, now: datetime) -> list[Event]:
    """Note what the canaries told; returns the other events."""
    others = []
    for event in events:
        bundle = getattr(event, "bundle", None)
        flight = health.flights.get(bundle) if bundle is not None else None
        if flight is None or flight.address != event.address:
            others.append(event)
        elif isinstance(event, BundleEnded | BundleGone):
            song = (
                canary.hear(event.text)
                if isinstance(event, BundleEnded)
                else Song(lost(event.reason))
            )
            took = (now - flight.sent_at).total_seconds() - song.run_seconds
            checkup.heard(flight.node, song, None if song.error else 1000 * max(0.0, took), now)
            if song.seconds is not None:
                times.note(CANARY, flight.node, song.seconds)
                health.learnt = True
            health.flights.pop(event.bundle)
    return others


def keep_speeds(health: Health, times: RunTimes) -> None:
    """Measure the nodes against each other, if there is anything new."""
    if not health.learnt:
        return
    health.learnt = False
    work = times.shared()
    checkup.keep_speeds(speed.speeds(work, work.pop(CANARY, {})))

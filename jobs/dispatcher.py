"""The dispatcher's pass: record, cancel, claim, send. All the waiting is in the command."""

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction

from cluster import nodes
from cluster.engine import reasons
from cluster.engine.events import (
    BundleEnded,
    BundleGone,
    Event,
    NodeGone,
    NodeReading,
    NodeSeen,
    NodeTrouble,
    Progress,
)
from cluster.words import Words, gettext_noop
from jobs import catalog, failpoints, files, health, lease, lifecycle, tally
from jobs.ahead import Ahead, Flight
from jobs.claim import Bundle, busy, claim
from jobs.health import Health
from jobs.lifecycle import Closing
from jobs.models import Attempt, Job, Outcome, Spec, State
from jobs.record import News, Recorded, record
from jobs.rows import select
from jobs.runtimes import RunTimes

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0  # lease and node readings share one commit
REST_SECONDS = 1.0  # for a node that turned a bundle away
SPEED_SECONDS = 20.0  # between two comparisons of the nodes
RESCUE_SECONDS = 15.0  # between two looks for overdue attempts
OVERDUE = timedelta(seconds=60)  # beyond what a bundle's members may take together
ENOUGH_SPACE = 64 * 2**20  # bytes free in the home folder, below which nothing is claimed


class Carrier(Protocol):
    """What the dispatcher needs of an engine."""

    def send(
        self, bundle: int, address: str, text: str, files: Sequence[tuple[str, Path]] = (),
        after: int | None = None,
    ) -> bool: ...  # fmt: skip
    def cancel(self, bundle: int) -> None: ...
    def take_events(self, recorded: bool = True) -> list[Event]: ...
    def incoming(self, name: str) -> Path | None: ...
    def add_node(self, address: str) -> None: ...
    def remove_node(self, address: str) -> None: ...


@dataclass
class Desk:
    """What the dispatcher keeps in memory: all of it can be lost."""

    epoch: int
    health: Health
    listed: set[str] = field(default_factory=set)  # addresses the engine has
    times: RunTimes = field(default_factory=RunTimes)
    events: list[Event] = field(default_factory=list)  # taken, not yet committed
    readings: dict[str, NodeReading] = field(default_factory=dict)
    ahead: Ahead = field(default_factory=Ahead)
    unsent: set[int] = field(default_factory=set)  # bundles claimed, as far as we know
    resting: dict[int, datetime] = field(default_factory=dict)  # node -> until
    cancelling: set[int] = field(default_factory=set)  # bundles
    next_beat: datetime | None = None
    next_rescue: datetime | None = None
    next_speeds: datetime | None = None
    note: str = ""  # what keeps us from claiming


def run_once(engine: Carrier, desk: Desk, now: datetime) -> int:
    """One pass: what came back, what is to stop, what can go out. Returns things done."""
    done = take_news(engine, desk, now)
    done += rescue(engine, desk, now)
    done += cancel(engine, desk)
    try:
        done += dispatch(engine, desk, now)
    except OSError as error:  # a full disk, of which the beat will tell
        logger.warning("not sent, to be taken back: %s", error)
    beat(engine, desk, now)
    return done


def take_news(engine: Carrier, desk: Desk, now: datetime) -> int:
    """Record the engine's events in one transaction; kept in memory until it commits."""
    for event in engine.take_events(recorded=not desk.events):
        if isinstance(event, NodeReading):
            desk.readings[event.address] = event
        else:
            desk.events.append(event)
    if not desk.events:
        return 0
    ended = {event.bundle for event in desk.events if isinstance(event, BundleEnded)}
    if ended - desk.health.flights.keys():
        failpoints.reach("before-record")
    try:
        write_news(desk.events, engine, desk, now)
    except Exception as error:
        if not is_the_events(error):
            raise
        logger.exception("an event could not be recorded; taking them one by one")
        for event in desk.events:
            write_alone(event, engine, desk, now)
    done = len(desk.events)
    desk.events.clear()
    return done


def is_the_events(error: Exception) -> bool:
    """Its own values are at fault: neither is the database away, nor the lease another's."""
    if isinstance(error, DataError | IntegrityError):
        return True
    return not isinstance(error, Error | lease.LeaseLost)


def write_alone(event: Event, engine: Carrier, desk: Desk, now: datetime) -> None:
    """One event that may be the bad one: set aside, so that it cannot jam the pass."""
    try:
        write_news([event], engine, desk, now)
    except Exception as error:
        if not is_the_events(error):
            raise
        logger.exception("set aside: %r", event)
        if isinstance(event, BundleEnded):
            gone = BundleGone(event.bundle, event.address, reasons.NOT_RECORDED)
            write_news([gone], engine, desk, now)


def write_news(events: list[Event], engine: Carrier, desk: Desk, now: datetime) -> None:
    news: list[News] = []
    with transaction.atomic():
        lease.fence("dispatcher", desk.epoch)
        for event in health.hear(events, desk.health, desk.times, now):
            if isinstance(event, Progress | BundleEnded | BundleGone):
                news.append(event)
            else:
                write_node(event, now)
        recorded = record(news, engine, now) if news else Recorded()
        if recorded.lost_on:
            health.judge(desk.health, recorded.lost_on, now)
    for spec, node, run_seconds in recorded.run_times:
        desk.times.note(spec, node, run_seconds)
        desk.health.learnt = True
    ended = {event.bundle for event in news if not isinstance(event, Progress)}
    desk.cancelling -= ended
    desk.ahead.ended(ended, now)


def write_node(event: Event, now: datetime) -> None:
    match event:
        case NodeSeen():
            nodes.seen(
                event.address, event.name, event.cpus, event.platform, event.version,
                event.patched, event.passport, now,
            )  # fmt: skip
            logger.info("node %s is up", event.name)
        case NodeGone():
            nodes.gone(event.address, event.reason, now)
            logger.warning("node %s is gone: %s", event.address, event.reason)
        case NodeTrouble():
            nodes.troubled(event.address, event.reason, now)
            logger.warning("node %s: %s", event.address, event.reason)


def rescue(engine: Carrier, desk: Desk, now: datetime) -> int:
    """The last net: attempts long past their time, of which the engine never said a word."""
    if desk.next_rescue and now < desk.next_rescue:
        return 0
    desk.next_rescue = now + timedelta(seconds=RESCUE_SECONDS)
    bundles = overdue(now)
    for bundle, address in bundles.items():
        logger.warning("bundle %d on %s is long overdue; given up", bundle, address)
        engine.cancel(bundle)
        desk.events.append(BundleGone(bundle, address, reasons.LONG_OVERDUE))
    return len(bundles)


def overdue(now: datetime) -> dict[int, str]:
    """Open bundles, with their addresses, whose members must all have timed out by now."""
    rows = Attempt.objects.filter(finished_at=None, claimed_at__lt=now - OVERDUE).order_by()
    limits: dict[tuple[int, str], datetime | None] = {}
    for bundle, address, claimed_at, body in rows.values_list(
        "bundle", "node__address", "claimed_at", "job__spec__body"
    ):
        seconds = body.get("timeout_seconds")
        known = limits.setdefault((bundle, address), claimed_at + OVERDUE)
        limits[bundle, address] = known and seconds and known + timedelta(seconds=seconds)
    return {bundle: address for (bundle, address), end in limits.items() if end and end < now}


def cancel(engine: Carrier, desk: Desk) -> int:
    """Pass on what people asked to stop; the engine repeats it until the bundle ends."""
    jobs = [pk for [pk] in select(
        "SELECT id FROM jobs_job WHERE state = 'running' AND cancel_requested_at IS NOT NULL"
    )]  # fmt: skip
    if not jobs:
        return 0
    wanted = Attempt.objects.filter(finished_at=None, job__in=jobs)
    fresh = set(wanted.values_list("bundle", flat=True)) - desk.cancelling
    for bundle in fresh:
        engine.cancel(bundle)
    desk.cancelling |= fresh
    return len(fresh)


def dispatch(engine: Carrier, desk: Desk, now: datetime) -> int:
    """Claim, commit, then send."""
    if desk.unsent:
        take_back(desk, set(desk.unsent), "the database went away before it was sent", now)
    if desk.note:
        return 0
    desk.resting = {node: until for node, until in desk.resting.items() if until > now}
    packed = claim(
        desk.epoch, now, desk.times, set(desk.resting), desk.health.busy(), desk.unsent, desk.ahead
    )
    if not packed:
        return 0
    failpoints.reach("after-claim")
    for bundle in packed:
        text, needed = parcel(bundle)
        if engine.send(bundle.id, bundle.choice.node.address, text, needed, bundle.after):
            desk.unsent.discard(bundle.id)
            desk.ahead.sent(bundle.id, flight_of(bundle, desk.times))
        else:
            desk.resting[bundle.node] = now + timedelta(seconds=REST_SECONDS)
            take_back(desk, {bundle.id}, "the node had no free slot after all", now)
    failpoints.reach("after-send")
    return sum(len(bundle.jobs) for bundle in packed)


def flight_of(bundle: Bundle, times: RunTimes) -> Flight:
    pace = times.pace(bundle.jobs[0].spec, bundle.node)
    seconds = None if pace is None else pace * len(bundle.jobs)
    return Flight(bundle.node, bundle.slots, seconds, bundle.after)


@lru_cache(maxsize=16)  # a script may have a megabyte
def body_of(spec: int) -> dict[str, Any]:
    """A spec's body; it never changes."""
    return dict(Spec.objects.values_list("body", flat=True).get(pk=spec))


def parcel(bundle: Bundle) -> tuple[str, list[tuple[str, Path]]]:
    """The bundle as the runner takes it, and the files it needs on the node."""
    bodies = {str(spec): body_of(spec) for spec in {job.spec for job in bundle.jobs}}
    if not bundle.choice.node.patched:  # a stock dispynode: nothing is shared there
        bodies = {spec: body | {"isolation": "fork"} for spec, body in bodies.items()}
    digests = {digest for body in bodies.values() for digest in body.get("files", {}).values()}
    tasks = None
    if any(body["kind"] == "function" for body in bodies.values()):
        tasks = catalog.archive()
        digests.add(tasks)
    head = {"bundle": bundle.id, "tasks": tasks, "specs": bodies}
    members = ",".join(
        f'{{"attempt":{bundle.attempts[job.id]},"spec":"{job.spec}","args":{job.args},'
        f'"job":{job.id},"number":{job.tried + 1}}}'
        for job in bundle.jobs
    )
    text = f'{json.dumps(head)[:-1]}, "members": [{members}]}}'
    return text, [(digest, files.path(digest)) for digest in sorted(digests)]


def take_back(desk: Desk, bundles: set[int], why: str, now: datetime) -> None:
    """Bundles that were never sent, if they were claimed at all: into the queue at no cost."""
    with transaction.atomic():
        lease.fence("dispatcher", desk.epoch)
        attempts = Attempt.objects.filter(bundle__in=bundles, finished_at=None)
        back = [
            Closing(pk, Outcome.RELEASED, error=why) for pk in attempts.values_list("pk", flat=True)
        ]
        lifecycle.close(back, now)
    desk.unsent -= bundles


def beat(engine: Carrier, desk: Desk, now: datetime) -> None:
    """Every few seconds, in one commit: we are alive, and the nodes read so."""
    if desk.next_beat and now < desk.next_beat:
        return
    desk.next_beat = now + timedelta(seconds=BEAT_SECONDS)
    look_at_disk(desk)
    with transaction.atomic():
        lease.renew("dispatcher", desk.epoch, now)
        lease.explain("dispatcher", desk.epoch, desk.note)
        for address, event in desk.readings.items():
            nodes.reading(
                address, now, cpu_percent=event.cpu_percent_used, memory_free=event.memory_free,
                disk_free=event.disk_free, swap_percent=event.swap_percent_used,
                memory_total=event.memory_total, reading=event.extras,
            )  # fmt: skip
        health.send_canaries(engine, desk.health, busy(), now)
        desk.times.save(now)
        if desk.next_speeds is None or now >= desk.next_speeds:
            desk.next_speeds = now + timedelta(seconds=SPEED_SECONDS)
            health.keep_speeds(desk.health, desk.times)
            tally.compact()
    desk.readings.clear()
    follow_the_list(engine, desk)


def follow_the_list(engine: Carrier, desk: Desk) -> None:
    """Use the nodes that people added, let go those that they removed."""
    wanted = set(nodes.listed_addresses())
    for address in wanted - desk.listed:
        engine.add_node(address)
    for address in desk.listed - wanted:
        engine.remove_node(address)
    desk.listed = wanted


def look_at_disk(desk: Desk) -> None:
    """Claim nothing whose answer there may be no room for."""
    free = shutil.disk_usage(settings.HOME).free
    note: str = ""
    if free < ENOUGH_SPACE:
        text = gettext_noop("nothing is started: only %(free)s MB free for %(folder)s")
        note = Words(text, free=free // 2**20, folder=str(settings.HOME))
    if note != desk.note:
        logger.warning(note or "there is space again; going on")
    desk.note = note


def open_bundles() -> dict[int, str]:
    """What an earlier dispatcher left running: bundle -> node address."""
    rows = Attempt.objects.filter(finished_at=None)
    return dict(rows.values_list("bundle", "node__address").distinct().order_by())


def idle() -> bool:
    """Nothing queued that could start, nothing running."""
    return not Job.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists()

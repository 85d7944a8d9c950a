"""The engine's books: which bundles are on their way where, and what happened to them.

Called from the caller's thread and from dispy's two; everything is under one lock.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import dispy

from cluster.engine import reasons
from cluster.engine.events import (
    BundleEnded,
    BundleGone,
    NodeGone,
    NodeSeen,
    NodeTrouble,
    Progress,
)
from cluster.engine.hearsay import MOST_NAME, MOST_PLATFORM, clean, plain, read, slots
from cluster.engine.inbox import Inbox
from cluster.engine.names import Names
from node.fixes import DISPY_VERSION

STOPPED = "it was stopped on the node before it could answer"
CANCEL_AGAIN_SECONDS = 1.0
UNTRACKED_SECONDS = 5.0  # in flight for us, but not for dispy
AUDITS_SHARE = 10  # a tenth of the nodes are asked at once
SETTLED_SECONDS = 3.0  # a bundle sent more recently may be missing from a node's list


@dataclass
class Flight:
    """A bundle on a slot, as far as we know."""

    address: str
    ip: str
    sent_at: float | None = None  # None: files are being copied, or the node has not answered
    cancelled_at: float | None = None
    unknown: int = 0  # times in a row that the node did not list it
    untracked_at: float | None = None
    after: int | None = None  # the bundle whose slot it gets
    ours: bool = True  # False: runs on the node, but nobody waits for it


class Desk:
    def __init__(self) -> None:
        self.inbox = Inbox()
        self.lock = threading.RLock()
        self.flights: dict[int, Flight] = {}
        self.up: set[str] = set()  # nodes that the caller was told of
        self.open: set[str] = set()  # of these, the ones saved in our identity
        self.passports: dict[str, dict[str, Any]] = {}
        self.asked_at: dict[str, float] = {}  # of the audits
        self.round_trips: dict[str, float] = {}  # milliseconds
        self.troubles: dict[str, str] = {}
        self.names: Names
        self.link: Any

    # Bundles

    def begin(
        self, bundle: int, address: str, ip: str, sent: bool = False, after: int | None = None
    ) -> None:
        with self.lock:
            sent_at = time.monotonic() if sent else None
            self.flights[bundle] = Flight(address, ip, sent_at, after=after)

    def has_room(self, ip: str, slots: int, after: int | None) -> bool:
        """For one more bundle: on a free slot, or on the one that the bundle `after` will free."""
        with self.lock:
            there = [flight for flight in self.flights.values() if flight.ip == ip]
            if after in self.flights:
                return all(flight.after != after for flight in there)
            return sum(flight.after not in self.flights for flight in there) < slots

    def sent(self, bundle: int) -> None:
        with self.lock:
            flight = self.flights.get(bundle)
            if flight:
                flight.sent_at = time.monotonic()

    def gone(self, bundle: int, reason: str, never_started: bool = False) -> None:
        with self.lock:
            flight = self.flights.pop(bundle, None)
            if flight and flight.ours:
                self.inbox.put(BundleGone(bundle, flight.address, reason, never_started))

    def ended(self, bundle: int, ip: str, text: str | None, error: str) -> None:
        """Also for a bundle that was given up before: the caller knows what it waits for."""
        with self.lock:
            flight = self.flights.pop(bundle, None)
            address = flight.address if flight else self.names.address_of(ip) or ip
            self.inbox.put(BundleEnded(bundle, address, text, error))

    def progress(self, bundle: int, ip: str, text: str) -> None:
        self.inbox.put(Progress(bundle, self.names.address_of(ip) or ip, text))

    def cancel(self, bundle: int) -> bool:
        with self.lock:
            flight = self.flights.get(bundle)
            if flight:
                flight.cancelled_at = time.monotonic()
            return flight is not None

    def to_cancel(self, now: float) -> list[int]:
        with self.lock:
            due = []
            for bundle, flight in self.flights.items():
                asked = flight.cancelled_at
                if asked is not None and now - asked >= CANCEL_AGAIN_SECONDS:
                    flight.cancelled_at = now
                    due.append(bundle)
            return due

    def is_cancelled(self, bundle: int) -> bool:
        flight = self.flights.get(bundle)
        return flight is not None and flight.cancelled_at is not None

    def give_up_untracked(self, now: float) -> None:
        """dispy drops jobs without a word; those it no longer has are lost."""
        with self.lock:
            for bundle, flight in list(self.flights.items()):
                if flight.sent_at is None or bundle in self.link._sched_jobs:
                    flight.untracked_at = None
                elif flight.untracked_at is None:
                    flight.untracked_at = now
                elif now - flight.untracked_at > UNTRACKED_SECONDS:
                    self.gone(bundle, reasons.DISPY_LOST)

    def to_audit(self, now: float, often: float, seldom: float) -> list[str]:
        """Nodes that were not asked for so long: often those with bundles, seldom the idle.

        A few at a time: of those asked together, each would seem as slow as all of them.
        """
        with self.lock:
            at_work = {flight.ip for flight in self.flights.values()}
            due = []
            for ip in self.up:
                waited = now - self.asked_at.get(ip, -math.inf)
                if waited >= (often if ip in at_work else seldom):
                    due.append((waited, ip))
            due.sort(reverse=True)
            few = [ip for _, ip in due[: 1 + len(self.up) // AUDITS_SHARE]]
            self.asked_at |= dict.fromkeys(few, now)
            return few

    def timed(self, ip: str, seconds: float | None) -> None:
        """How long the node took to answer a question, connecting included; None: it did not."""
        with self.lock:
            self.round_trips.pop(ip, None)
            if seconds is not None and ip in self.up:
                self.round_trips[ip] = round(1000 * seconds, 1)

    def in_doubt(self, ip: str) -> list[int]:
        """Bundles that the node did not list when it was last asked."""
        with self.lock:
            return [b for b, flight in self.flights.items() if flight.ip == ip and flight.unknown]

    def audited(self, ip: str, known: set[int], never: set[int], asked_at: float) -> None:
        with self.lock:
            for bundle, flight in list(self.flights.items()):
                settled = flight.sent_at is not None and asked_at - flight.sent_at > SETTLED_SECONDS
                if flight.ip != ip or not settled:
                    continue
                flight.unknown = 0 if bundle in known else flight.unknown + 1
                if bundle in never:
                    self.gone(bundle, reasons.NEVER_REACHED, never_started=True)
                elif flight.unknown >= 2:
                    self.gone(bundle, reasons.UNKNOWN_THERE)
                else:
                    continue
                self.link._sched_jobs.pop(bundle, None)

    def adopted(self, ip: str, running: set[int]) -> None:
        """The node goes on with us. What it runs that nobody waits for is stopped."""
        with self.lock:
            for bundle, flight in self.flights.items():
                if flight.ip == ip and bundle not in running:
                    flight.unknown = 1
                    flight.sent_at = time.monotonic() - SETTLED_SECONDS
            for bundle in running - self.flights.keys():
                past = time.monotonic() - CANCEL_AGAIN_SECONDS
                address = self.names.address_of(ip) or ip
                self.flights[bundle] = Flight(address, ip, past, cancelled_at=past, ours=False)
        self.seen(ip)

    # Nodes

    def seen(self, ip: str) -> None:
        node = self.link.usable(ip)
        address = self.names.address_of(ip)
        if node is None or address is None:
            return
        passport = plain(getattr(node.avail_info, "passport", None))
        passport = passport or self.passports.get(ip, {})
        with self.lock:
            self.passports[ip] = passport
            self.up.add(ip)
            self.troubles.pop(address, None)
            self.inbox.put(
                NodeSeen(
                    address, clean(str(node.name), MOST_NAME), slots(node.cpus),
                    clean(str(node.platform), MOST_PLATFORM), DISPY_VERSION,
                    bool(passport.get("agent")), passport,
                )
            )  # fmt: skip

    def closed(self, ip: str) -> None:
        with self.lock:
            self.open.discard(ip)
            self.asked_at.pop(ip, None)
            self.round_trips.pop(ip, None)
            if ip in self.up:
                self.up.discard(ip)
                reason = self.link.reasons.get(ip, reasons.CLOSED)
                self.inbox.put(NodeGone(self.names.address_of(ip) or ip, reason))
            reason = reasons.node_lost(self.link.reasons.get(ip, reasons.CLOSED))
            for bundle, flight in list(self.flights.items()):
                if flight.ip == ip and flight.sent_at is not None:
                    self.gone(bundle, reason)

    def trouble(self, ip: str, reason: str) -> None:
        self.trouble_at(self.names.address_of(ip), reason)

    def trouble_at(self, address: str | None, reason: str) -> None:
        with self.lock:
            if address and self.troubles.get(address) != reason:
                self.troubles[address] = reason
                self.inbox.put(NodeTrouble(address, reason))

    def reading(self, ip: str, info: Any) -> None:
        address = self.names.address_of(ip)
        if address:
            trip = self.round_trips.get(ip)
            self.inbox.put_reading(read(address, info, time.time(), trip))

    # What dispy calls, in its worker thread, with copies

    def on_job(self, job: Any) -> None:
        ip, result = str(job.ip_addr), job.result
        text = result if isinstance(result, str) else None
        if job.status == dispy.DispyJob.ProvisionalResult:
            if text is not None:
                self.progress(job.id, ip, text)
        elif job.status in (dispy.DispyJob.Finished, dispy.DispyJob.Terminated):
            self.ended(job.id, ip, text, "" if text is not None else last_line(job.exception))
        else:
            self.gone(job.id, reasons.DISPY_CANCELLED)

    def on_node(self, status: int, dispy_node: Any, job: Any) -> None:
        if status == dispy.DispyNode.Initialized:
            self.seen(dispy_node.ip_addr)
        elif status == dispy.DispyNode.Closed:
            self.closed(dispy_node.ip_addr)
        elif status == dispy.DispyNode.AvailInfo:
            self.reading(dispy_node.ip_addr, dispy_node.avail_info)
        elif status == dispy.DispyJob.Abandoned:
            self.gone(job.id, reasons.LOST)


def last_line(text: Any) -> str:
    lines = str(text or "").strip().splitlines()
    return lines[-1][:500] if lines else STOPPED

"""Sending ahead: a slot's next bundle travels while its present one runs.

Without it a slot waits, at every bundle's end, for an answer to be recorded and a claim to be
made. Only what is expected to end soon is followed so: a job sent ahead cannot go elsewhere.
"""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

PAUSE = timedelta(seconds=0.5)  # without an answer
SOON_SECONDS = 1.0  # what may be followed takes no longer than this, as far as we know


@dataclass(frozen=True)
class Flight:
    """A bundle on its way or at work."""

    node: int
    slots: int
    seconds: float | None  # expected
    after: int | None  # the bundle whose slot it gets


@dataclass
class Ahead:
    """Bundles sent by this process that have not ended. Forgotten, they merely go unfollowed."""

    flights: dict[int, Flight] = field(default_factory=dict)
    ended_at: datetime | None = None

    def sent(self, bundle: int, flight: Flight) -> None:
        self.flights[bundle] = flight

    def rested(self, now: datetime) -> bool:
        return self.ended_at is None or now - self.ended_at > PAUSE

    def ended(self, bundles: Collection[int], now: datetime) -> None:
        if bundles:
            self.ended_at = now
        for bundle in bundles:
            self.flights.pop(bundle, None)

    def waits(self, flight: Flight) -> bool:
        return flight.after in self.flights

    def correct(self, taken: Counter[int]) -> None:
        """Slots taken, by node, as the open attempts have it: a bundle that waits has none yet, and
        one whose members have all ended has its own until it ends itself."""
        at_work: Counter[int] = Counter()
        for flight in self.flights.values():
            if self.waits(flight):
                taken[flight.node] -= flight.slots
            else:
                at_work[flight.node] += flight.slots
        for node, slots in at_work.items():
            taken[node] = max(taken[node], slots)

    def to_follow(self) -> dict[int, list[int]]:
        """Node -> bundles at work on one slot that end soon and that nothing follows yet."""
        followed = {flight.after for flight in self.flights.values()}
        found = defaultdict(list)
        for bundle, flight in self.flights.items():
            soon = flight.seconds is not None and flight.seconds <= SOON_SECONDS
            if soon and flight.slots == 1 and bundle not in followed and not self.waits(flight):
                found[flight.node].append(bundle)
        return dict(found)

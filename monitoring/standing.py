"""Placement that stands through many passes: the choices of cluster.placement.Placer. Pure.

A Placer is made for one pass and looks at every node once; in a replay of a million passes that
would be all there is to it. This one keeps its races, and looks again at nodes that changed.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cluster.placement import (
    BEFORE_SLOTS,
    MEGABYTE,
    Choice,
    Need,
    NodeView,
    Placer,
    first_reason,
    short_of_memory,
    short_of_slots,
)
from cluster.strategies import FORESEEING, GUESS_SECONDS, STRATEGIES

LATE = 0.1  # of a member's time: an overdue slot is free so soon, but not now (claim.foresee_ends)
LOGGED = 20_000  # changes remembered for races that have not looked yet
Entry = tuple[float, str, int, int, int]  # score, name, version, stamp, place
Seconds = Callable[[int], float | None]


@dataclass(eq=False)
class StandingView(NodeView):
    """A node whose slots are taken and given back; its ends are moments, not lengths."""

    place: int = 0
    version: int = 0  # counts the changes for which its score may fall
    clock: float = 0.0
    each: float = 0.0  # seconds of a member of what was placed last
    late: float = 0.0  # an overdue slot is free after so long

    def free_in(self) -> float:
        """The moment, where it is not at once."""
        if self.busy < self.slots or not self.ends:
            return 0.0
        end, soonest = self.ends[0], self.clock + self.late
        return end if end > soonest else soonest

    def book(self, need: Need, seconds: float) -> None:
        for _ in range(min(need.slots, len(self.ends))):
            soonest = max(self.ends[0], self.clock + self.late)
            heapq.heapreplace(self.ends, soonest + seconds)
        self.placed += 1

    def stamp(self, passes: int) -> int:
        """Tells apart how often it was given a job in which pass; 0: not in this one."""
        return (passes << 20) + self.placed if self.placed else 0

    def give_back(self, need: Need, end: float) -> None:
        self.busy -= need.slots
        self.memory_promised -= (need.memory_mb or 0) * MEGABYTE
        for _ in range(need.slots):
            self.ends.remove(end)
        heapq.heapify(self.ends)


@dataclass
class StandingRace:
    """The nodes that fit one kind of job. Busy ones apart, where they count too."""

    fits: list[bool]
    free: list[Entry] = field(default_factory=list)
    busy: list[Entry] = field(default_factory=list)
    local: list[Entry] = field(default_factory=list)  # busy ones, as booked in this pass
    aside: list[Entry] = field(default_factory=list)  # of `busy`, until the pass ends
    seen: int = -1  # changes of the log that it knows
    drawn: float = 0.0  # the last winning draw


class StandingPlacer(Placer):
    """`place` until a pass ends, `end_pass`; `give_back` when a slot is free again."""

    def __init__(self, nodes: Sequence[StandingView]) -> None:
        super().__init__(nodes)
        self.views = list(nodes)
        for place, view in enumerate(self.views):
            view.place = view.turn = place
        self.standing: dict[Any, StandingRace] = {}
        self.log: list[int] = []
        self.forgotten = 0  # changes that the log had before
        self.now = 0.0
        self.passes = 1
        self.first = 0  # where the round goes on: only ever rises
        self.used: set[int] = set()  # in this pass
        self.stirred: list[StandingRace] = []  # with something in local or aside
        self.booked: dict[int, list[float]] = {}  # place -> its ends without this pass's bookings
        self.free_slots = sum(view.free for view in self.views)

    def place(
        self, need: Need, strategy: str, seconds: Seconds, kind: Any = None,
        avoid: int | None = None,
    ) -> Choice | None:  # fmt: skip
        foresees = strategy in FORESEEING
        key = (need, strategy, kind if foresees else None)
        race = self.standing.get(key)
        if race is None:
            tests = [first_reason(BEFORE_SLOTS, need, view) is None for view in self.views]
            race = self.standing[key] = StandingRace(tests)
        self.catch_up(race, need, strategy, seconds)
        entry = self.top(race, race.free, need, strategy, seconds)
        if foresees:
            best = (self.now + entry[0], entry[1]) if entry else (math.inf, "")
            for heap in (race.busy, race.local):
                later = self.top(race, heap, need, strategy, seconds, best)
                if later and later[:2] < best:
                    entry, best = later, later[:2]
        if entry is None:
            return None
        view = self.views[entry[4]]
        if strategy == "random_weighted":
            race.drawn = entry[0]
        expected = seconds(view.id)
        if expected is None:
            expected = GUESS_SECONDS / view.speed
        now = not (short_of_slots(need, view) or short_of_memory(need, view))
        if now:
            view.each = expected
            view.take(need, self.now + expected)
            if kept := self.booked.get(view.place):
                kept += [self.now + expected] * need.slots
            self.free_slots -= need.slots
            self.used.add(view.place)
        else:
            self.booked.setdefault(view.place, list(view.ends))
            view.book(need, expected)
        return Choice(view, now, {})

    def extend(self, view: StandingView, need: Need, expected: float, end: float) -> None:
        """What was placed last there is a bundle, and will be done at `end`."""
        for ends in (view.ends, self.booked.get(view.place)):
            for _ in range(need.slots if ends is not None else 0):
                ends.remove(self.now + expected)  # type: ignore[union-attr]
                ends.append(end)  # type: ignore[union-attr]
        heapq.heapify(view.ends)

    def give_back(self, place: int, need: Need, end: float) -> None:
        view = self.views[place]
        view.give_back(need, end)
        self.free_slots += need.slots
        self.changed(view)

    def end_pass(self) -> None:
        """What a pass counts starts anew; what it booked was for its own sake."""
        for place, ends in self.booked.items():
            view = self.views[place]
            view.ends, view.placed = ends, 0
            heapq.heapify(ends)
        self.booked.clear()
        for race in self.stirred:
            for entry in race.aside:
                heapq.heappush(race.busy, entry)
            race.aside.clear()
            race.local.clear()
        self.stirred.clear()
        self.passes += 1
        if not self.used:
            return
        moment = datetime.fromtimestamp(self.now, UTC)
        for place in self.used:
            view = self.views[place]
            view.placed, view.last_claim_at, view.late = 0, moment, LATE * view.each
            self.changed(view)
        count = len(self.views)  # as fleet.in_turn
        ends_of_runs = [place for place in self.used if (place + 1) % count not in self.used]
        first = min(ends_of_runs) + 1 if ends_of_runs else 0
        self.first += (first - self.first) % count
        self.used.clear()

    def changed(self, view: StandingView) -> None:
        view.version += 1
        self.log.append(view.place)
        if len(self.log) > LOGGED:
            self.forgotten += len(self.log)
            self.log.clear()

    def catch_up(self, race: StandingRace, need: Need, strategy: str, seconds: Seconds) -> None:
        """Enter anew what changed since this race was last looked at."""
        seen, race.seen = race.seen, self.forgotten + len(self.log)
        if seen == race.seen:
            return
        count = len(self.views)
        bloated = len(race.free) + len(race.busy) > 4 * count + 64
        places: Sequence[int]
        if bloated or seen < self.forgotten or race.seen - seen > count:
            places = range(count)
            race.free.clear()
            race.busy.clear()
        else:
            places = self.log[seen - self.forgotten :]
            if len(places) > 1:
                places = list(dict.fromkeys(places))
        for place in places:
            if race.fits[place]:
                self.enter(race, self.views[place], need, strategy, seconds)

    def enter(
        self, race: StandingRace, view: StandingView, need: Need, strategy: str, seconds: Seconds,
        former: Entry | None = None,
    ) -> None:  # fmt: skip
        """With its present score; `former`: what it was entered with."""
        foresees = strategy in FORESEEING
        if not foresees and (short_of_slots(need, view) or short_of_memory(need, view)):
            return  # until it changes
        entry = (
            self.score(race, view, strategy, seconds), view.name, view.version,
            view.stamp(self.passes), view.place,
        )  # fmt: skip
        if not foresees or view.busy < view.slots:
            heapq.heappush(race.free, entry)
        elif view.placed:
            if not race.local and not race.aside:
                self.stirred.append(race)
            heapq.heappush(race.local, entry)
            if former is None:  # a bound will do: it is looked at anew when it comes up
                former = (0.0, view.name, view.version, 0, view.place)
            if former[3] == 0:
                race.aside.append(former)
        else:
            heapq.heappush(race.busy, entry)

    def score(
        self, race: StandingRace, view: StandingView, strategy: str, seconds: Seconds
    ) -> float:
        view.clock = self.now
        if strategy in FORESEEING:
            return STRATEGIES[strategy](view, seconds(view.id))
        if strategy == "round_robin":
            view.turn = self.first + (view.place - self.first) % len(self.views)
        elif strategy == "random_weighted":
            view.drawn = race.drawn
        return STRATEGIES[strategy](view, None)

    def top(
        self, race: StandingRace, heap: list[Entry], need: Need, strategy: str, seconds: Seconds,
        limit: tuple[float, str] = (math.inf, ""),
    ) -> Entry | None:  # fmt: skip
        """The best entry, left where it is, if it can be below the limit. Without a change a score
        only rises: with time."""
        rises = strategy == "round_robin" or heap is not race.free
        bound, passes = limit[0], self.passes
        while heap:
            entry = heap[0]
            if entry[0] >= bound and entry[:2] >= limit:
                return None
            view = self.views[entry[4]]
            if entry[2] != view.version:
                heapq.heappop(heap)
            elif entry[3] != ((passes << 20) + view.placed if view.placed else 0):
                heapq.heappop(heap)
                self.enter(race, view, need, strategy, seconds, entry)
            elif rises and (score := self.score(race, view, strategy, seconds)) > entry[0]:
                heapq.heapreplace(heap, (score, *entry[1:]))
            else:
                return entry
        return None

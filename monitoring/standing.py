"""Placement that stands through many passes: the choices of cluster.placement.Placer. Pure.

A Placer is made for one pass and looks at every node once; in a replay of a million passes that
would be all there is to it. This one keeps its races, and looks again at nodes that changed.
"""

import bisect
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import compress
from operator import add
from typing import Any

from cluster.placement import (
    BEFORE_SLOTS,
    MEGABYTE,
    Choice,
    Entry,
    Need,
    NodeView,
    Placer,
    Race,
    Seconds,
    asks_more,
    first_reason,
    short_of_memory,
    short_of_slots,
)
from cluster.strategies import FORESEEING, STRATEGIES

LATE = 0.1  # of a member's time: an overdue slot is free so soon, but not now (claim.foresee_ends)
WIDER = 1.05  # than what the look before reached
LOGGED = 20_000  # changes remembered for races that have not looked yet
Places = Sequence[int]


@dataclass(eq=False)
class StandingView(NodeView):
    """A node whose slots are taken and given back; its ends are moments, not lengths."""

    place: int = 0
    mark: int = 0  # counts what happened to it
    each: float = 0.0  # seconds of a member of what was placed last
    late: float = 0.0  # an overdue slot is free after so long

    def free_from(self, now: float) -> float:
        """The moment when it has a slot."""
        if self.busy < self.slots or not self.ends:
            return now
        return max(self.ends[0], now + self.late)

    def give_back(self, need: Need, end: float) -> None:
        self.busy -= need.slots
        self.memory_promised -= (need.memory_mb or 0) * MEGABYTE
        for _ in range(need.slots):
            self.ends.remove(end)
        heapq.heapify(self.ends)

    def lengthen(self, need: Need, expected: float, end: float) -> None:
        for _ in range(need.slots):
            self.ends[self.ends.index(expected)] = end
        heapq.heapify(self.ends)


@dataclass
class Log:
    """Places in the order in which something happened there, for races that look now and then."""

    places: list[int] = field(default_factory=list)
    forgotten: int = 0  # how many there were before

    @property
    def written(self) -> int:
        return self.forgotten + len(self.places)

    def write(self, place: int) -> None:
        self.places.append(place)
        if len(self.places) > LOGGED:
            self.forgotten += len(self.places)
            self.places.clear()

    def since(self, seen: int, most: int) -> Places | None:
        """None: forgotten, or more than `most`."""
        if seen < self.forgotten or self.written - seen > most:
            return None
        news = self.places[seen - self.forgotten :]
        return list(dict.fromkeys(news)) if len(news) > 1 else news


@dataclass
class StandingRace(Race):
    fits: Sequence[bool] = ()  # by place; `lasts` is infinite where it does not
    order: Sequence[int] = ()  # the places where it fits, the quickest first, if foreseeing
    ordered: Sequence[float] = ()  # and how long it lasts there
    seen: int = -1  # of the log
    drawn: float = 0.0  # the last winning draw
    passes: int = 0  # the one that `heap` is for, if foreseeing
    began: float = 0.0  # when that was


class StandingPlacer(Placer):
    """`place` until a pass ends, `end_pass`; `give_back` when a slot is free again."""

    def __init__(self, nodes: Sequence[StandingView]) -> None:
        super().__init__(nodes)
        self.views: list[StandingView] = self.nodes  # type: ignore[assignment]
        for place, view in enumerate(self.views):
            view.place = view.turn = place
        self.standing: dict[Any, StandingRace] = {}
        self.changes = Log()
        self.sooner = [(view, True) for view in self.views]
        self.later = [(view, False) for view in self.views]
        self.scores = False  # some race goes by more than the time
        self.passes = 1
        self.looks_ahead = False  # in this pass
        self.first = 0  # where the round goes on: only ever rises
        self.used: set[int] = set()  # in this pass
        self.booked: dict[int, list[float]] = {}  # place -> its ends without this pass's bookings
        self.longer: list[tuple[StandingView, Need, float, float]] = []
        self.free_slots = sum(view.free for view in self.views)
        self.ends = [-math.inf] * len(self.views)  # by place: the first, where no slot is free
        self.lates = [0.0] * len(self.views)  # by place: its `late`, where no slot is free

    def place(
        self, need: Need, strategy: str, seconds: Seconds, kind: Any = None,
        avoid: int | None = None,
    ) -> Choice | None:  # fmt: skip
        chosen = self.choose(self.race(need, strategy, seconds, kind), seconds)
        return chosen and Choice(*chosen, {})

    def race(self, need: Need, strategy: str, seconds: Seconds, kind: Any) -> StandingRace:
        foresees = strategy in FORESEEING
        key = (need, strategy, kind if foresees else None)
        race = self.standing.get(key)
        if race is None:
            race = self.standing[key] = StandingRace(need, strategy)
            race.fits = [first_reason(BEFORE_SLOTS, need, view) is None for view in self.views]
            if foresees:
                race.lasts = [
                    view.lasts(seconds(view.id)) if fits else math.inf
                    for view, fits in zip(self.views, race.fits, strict=True)
                ]
                fitting = compress(range(len(self.views)), race.fits)
                race.order = sorted(fitting, key=race.lasts.__getitem__)
                race.ordered = [race.lasts[place] for place in race.order]
            self.scores |= not foresees
        return race

    def choose(self, race: StandingRace, seconds: Seconds) -> tuple[StandingView, bool] | None:
        """As `place`, for a job of this race: the node, and whether it starts there now."""
        if not race.lasts:
            entry = self.at_once(race)
        elif race.passes != self.passes or not (entry := self.soonest(race)):
            entry = self.look_wider(race)
        if entry is None:
            return None
        score, place, _ = entry
        view, need = self.views[place], race.need
        if view.busy >= view.slots or short_of_slots(need, view) or short_of_memory(need, view):
            chosen = self.later[place]
            self.book(view, need.slots, race.lasts[place])
        else:
            chosen = self.sooner[place]
            self.take(view, need, (
                race.lasts[place] if race.lasts else view.lasts(seconds(view.id))
            ))  # fmt: skip
            race.drawn = score  # for the strategy that draws
        if self.scores:
            self.changed(view)
        return chosen

    def take(self, view: StandingView, need: Need, seconds: float) -> None:
        view.each = seconds
        view.take(need, self.now + seconds)
        if (kept := self.booked.get(view.place)) is not None:
            kept += [self.now + seconds] * need.slots
        self.free_slots -= need.slots
        self.used.add(view.place)
        if self.looks_ahead:
            self.free_at[view.place] = view.free_from(self.now)
        else:
            self.note(view)

    def book(self, view: StandingView, slots: int, seconds: float) -> None:
        """Let a job wait for the slots that are free next, until this pass ends."""
        ends, place = view.ends, view.place
        if place not in self.booked:
            self.booked[place] = ends.copy()
        soonest = self.now + view.late
        for _ in range(min(slots, len(ends))):
            heapq.heapreplace(ends, max(ends[0], soonest) + seconds)
        view.placed += 1
        if view.busy >= view.slots and ends:
            self.free_at[place] = max(ends[0], soonest)

    def extend(self, view: StandingView, need: Need, expected: float, end: float) -> None:
        """What was placed last there is a bundle, and will be done at `end`: the next pass knows
        it, this one does not."""
        self.longer.append((view, need, self.now + expected, end))

    def give_back(self, place: int, need: Need, end: float) -> None:
        view = self.views[place]
        view.give_back(need, end)
        self.free_slots += need.slots
        self.settle(view)

    def end_pass(self) -> None:
        """What a pass counts starts anew; what it booked was for its own sake."""
        for place, ends in self.booked.items():
            view = self.views[place]
            view.ends, view.placed = ends, 0
            if place in self.used:
                heapq.heapify(ends)
            self.changed(view)
        self.booked.clear()
        for view, need, expected, end in self.longer:
            view.lengthen(need, expected, end)
        self.longer.clear()
        self.passes += 1
        self.looks_ahead = False
        if not self.used:
            return
        moment = datetime.fromtimestamp(self.now, UTC)
        for place in self.used:
            view = self.views[place]
            view.placed, view.last_claim_at, view.late = 0, moment, LATE * view.each
            self.settle(view)
        count = len(self.views)  # as fleet.in_turn
        ends_of_runs = [place for place in self.used if (place + 1) % count not in self.used]
        first = min(ends_of_runs) + 1 if ends_of_runs else 0
        self.first += (first - self.first) % count
        self.used.clear()

    def changed(self, view: StandingView) -> None:
        if self.scores:
            view.mark += 1
            self.changes.write(view.place)

    def settle(self, view: StandingView) -> None:
        """Something changed there that outlasts the pass."""
        self.note(view)
        self.changed(view)

    def note(self, view: StandingView) -> None:
        full = view.busy >= view.slots and bool(view.ends)
        self.ends[view.place] = view.ends[0] if full else -math.inf
        self.lates[view.place] = view.late if full else 0.0

    def look_wider(self, race: StandingRace) -> Entry | None:
        """As soonest, and the first time in a pass: enters the nodes that may come up in it.

        Most will not. How far it may go, the last pass tells.
        """
        if not self.looks_ahead:
            self.looks_ahead = True
            late = map(partial(add, self.now), self.lates)
            self.free_at = list(map(max, self.ends, late))
        if not race.order:
            return None
        if race.passes == self.passes:
            window = 1.2 * (race.limit - self.now)
        else:  # what was chosen last is still the first in the heap
            reached = race.heap[0][0] - race.began if race.heap else 0.0
            window = WIDER * max(reached, race.ordered[0], LATE)
        race.passes, race.began, race.heap = self.passes, self.now, []
        free_at = self.free_at
        while True:
            race.limit = limit = self.now + window
            near = race.order[: bisect.bisect_right(race.ordered, window)]
            race.heap = [
                (score, place, 0) for place, last in zip(near, race.ordered, strict=False)
                if (score := free_at[place] + last) < limit
            ]  # fmt: skip
            heapq.heapify(race.heap)
            if entry := self.soonest(race):
                return entry
            if asks_more(race.need):  # when a node has that, `free_at` does not say
                return self.look_at_all(race)
            window *= 2.0

    def look_at_all(self, race: StandingRace) -> Entry | None:
        race.limit = math.inf
        ready = ((self.free_for(race.need, place), place) for place in race.order)
        race.heap = [
            (at + race.lasts[place], place, 0) for at, place in ready if at < math.inf
        ]  # fmt: skip
        heapq.heapify(race.heap)
        return race.heap[0] if race.heap else None

    def end_of(self, node: StandingView, count: int) -> float:
        return max(super().end_of(node, count), self.now + node.late)

    def at_once(self, race: StandingRace) -> Entry | None:
        """The best entry of those that can take the job now, left where it is."""
        if race.seen != self.changes.written:
            self.catch_up(race)
        heap, rises = race.heap, race.strategy == "round_robin"  # while the node is as it was
        while heap:
            entry = heap[0]
            view = self.views[entry[1]]
            if entry[2] != view.mark:
                heapq.heappop(heap)
            elif rises and (score := self.score(race, view)) > entry[0]:
                heapq.heapreplace(heap, (score, *entry[1:]))
            else:
                return entry
        return None

    def catch_up(self, race: StandingRace) -> None:
        """Enter anew what changed since this race was last looked at."""
        count = len(self.views)
        places = self.changes.since(race.seen, count)
        race.seen = self.changes.written
        if places is None or len(race.heap) > 4 * count + 64:
            places = range(count)
            race.heap.clear()
        for place in places:
            view = self.views[place]
            if not race.fits[place] or view.busy >= view.slots:
                continue  # until it changes
            if not (short_of_slots(race.need, view) or short_of_memory(race.need, view)):
                heapq.heappush(race.heap, (self.score(race, view), place, view.mark))

    def score(self, race: StandingRace, view: StandingView) -> float:
        if race.strategy == "round_robin":
            view.turn = self.first + (view.place - self.first) % len(self.views)
        elif race.strategy == "random_weighted":
            view.drawn = race.drawn
        return STRATEGIES[race.strategy](view, None)

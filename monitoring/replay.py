"""Jobs of the past, or made up, through any strategy and fleet, on a clock of events. Pure.

A discrete event simulation: time jumps from one event to the next. Which job goes where is decided
by the placement, the order and the bundles that the dispatcher has.
"""

import heapq
import itertools
import math
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cluster.placement import Need, Seconds, never
from cluster.strategies import FORESEEN
from jobs import bundles
from jobs.ahead import PAUSE, SOON_SECONDS
from monitoring.standing import StandingPlacer, StandingRace, StandingView

REST_SECONDS = PAUSE.total_seconds()
# How long the dispatcher's claim takes, as benchmarks.fleet measures it with jobs of 24 specs.
CLAIM_SECONDS = 56e-6  # for each node
AHEAD_SECONDS = 115e-6  # for each node, where it is looked ahead
LOOK_SECONDS = 10e-6  # for each job looked at, and left waiting


class Work(NamedTuple):
    """A job as the replay takes it; to come in the order of `at`."""

    at: float  # seconds, when it could start
    need: int  # in Scene.needs
    priority: int
    spec: int
    share: float  # of the seconds that its spec is expected to take: 1.2 is a fifth more
    strategy: str = ""  # its own; empty: the cluster's
    alone: bool = False  # on_lost=fail: travels alone, and is not sent ahead


@dataclass(frozen=True)
class Machine:
    """A node. `like`: whose run times it has, where it is made up."""

    id: int
    name: str
    slots: int
    speed: float = 1.0
    tags: frozenset[str] = frozenset()
    memory_total: int | None = None  # bytes
    like: int | None = None

    @property
    def paced(self) -> int:
        return self.id if self.like is None else self.like


@dataclass(frozen=True)
class Overheads:
    """Seconds that are not work, measured where there is a history."""

    bundle: float = 0.02  # a slot is taken for so much longer than its jobs run
    ahead: float = 0.003  # the same, where the bundle was sent ahead
    member: float = 0.001  # between two jobs of a bundle
    turn: float = 0.005  # from an end, or an arrival, to the claim


Pace = Callable[[int, int], float | None]  # seconds of a spec on the node of that id


@dataclass(frozen=True)
class Scene:
    """What the jobs meet."""

    machines: Sequence[Machine]
    needs: Sequence[Need]
    pace: Pace
    strategy: str
    overheads: Overheads = Overheads()


@dataclass
class Load:
    """What one node did."""

    jobs: int = 0
    seconds: float = 0.0


@dataclass
class Outcome:
    """What came of it. Seconds."""

    jobs: int = 0
    never: int = 0  # that no node could take, ever
    makespan: float = 0.0  # from the first arrival to the last end
    open_seconds: float = 0.0  # while at least one job was waiting or running
    mean_wait: float = 0.0
    p95_wait: float = 0.0
    mean_turnaround: float = 0.0  # from arrival to end
    utilisation: float = 0.0  # the share of all slots' time that went into work
    bundles: int = 0
    load: dict[str, Load] = field(default_factory=dict)


@dataclass(eq=False)
class Lane:
    """Jobs that may ride together (claim.Ready.likeness), in the order of their arrival."""

    priority: int
    need: int
    alone: bool
    race: StandingRace
    seconds: Seconds
    jobs: deque[tuple[float, int, float]] = field(default_factory=deque)  # at, number, share
    passed: int = 0  # looked at in this pass, and to wait: the first so many of them

    @property
    def head(self) -> "Head":
        at, number, _ = self.jobs[self.passed]
        return -self.priority, at, number, self


Head = tuple[int, float, int, Lane]  # the rank of a lane's next job: the claim's order
End = tuple[float, int, int, int, int, float, bool]


class Run:
    """One replay under way."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.placer = StandingPlacer([view_of(machine) for machine in scene.machines])
        self.views = self.placer.views
        self.paced = {machine.id: machine.paced for machine in scene.machines}
        self.slots = sum(machine.slots for machine in scene.machines)
        self.needs = scene.needs
        self.fits = [[never(need, view) is None for view in self.views] for need in scene.needs]
        self.possible = [any(fits) for fits in self.fits]
        self.lanes: dict[tuple[Any, ...], Lane] = {}
        self.heads: list[Head] = []
        self.blocked: dict[int, list[Head]] = {}  # need -> lanes that no node can take now
        self.waiting = 0
        self.numbers = itertools.count()
        self.ends: list[End] = []
        self.followable: dict[int, int] = {}  # place -> slots whose next bundle was sent ahead
        self.ended_at = -math.inf
        self.due = False  # something changed since the last pass
        self.resume_at = -math.inf  # until then a pass is at work
        self.paces: dict[int, Seconds] = {}
        self.waits = array("d")
        self.turnaround = 0.0
        self.work = 0.0
        self.last_end = 0.0
        self.count = self.never = self.bundles = 0
        self.loads = [Load() for _ in self.views]

    def seconds(self, spec: int) -> Seconds:
        """Expected on each node, by id; looked up once."""
        known = self.paces.get(spec)
        if known is None:
            by_id = {id: self.scene.pace(spec, paced) for id, paced in self.paced.items()}
            known = self.paces[spec] = by_id.__getitem__
        return known

    def lane(self, job: Work) -> Lane:
        key = (job.priority, job.need, job.spec, job.strategy, job.alone)
        lane = self.lanes.get(key)
        if lane is None:
            name, seconds = job.strategy or self.scene.strategy, self.seconds(job.spec)
            race = self.placer.race(self.needs[job.need], name, seconds, job.spec)
            lane = self.lanes[key] = Lane(job.priority, job.need, job.alone, race, seconds)
        return lane

    def arrive(self, job: Work) -> None:
        if not self.possible[job.need]:
            self.never += 1
            return
        lane = self.lane(job)
        lane.jobs.append((job.at, next(self.numbers), job.share))
        self.waiting += 1
        if len(lane.jobs) == 1:
            if job.need in self.blocked:
                self.blocked[job.need].append(lane.head)
            else:
                heapq.heappush(self.heads, lane.head)

    def end(self, event: End) -> None:
        """A bundle has ended: its slots are free again."""
        _, _, place, need, slots, planned, soon = event
        self.placer.give_back(place, self.needs[need], planned)
        self.ended_at = self.placer.now
        if soon and self.waiting:
            self.followable[place] = self.followable.get(place, 0) + slots
        for other in [other for other in self.blocked if self.fits[other][place]]:
            for head in self.blocked.pop(other):
                heapq.heappush(self.heads, head)

    def claim(self) -> None:
        """One pass: the most urgent job to its best node, its likes with it, and so on."""
        passed: list[Lane] = []
        looked, self.due = 0, False
        heads, placer = self.heads, self.placer
        while heads and placer.free_slots > 0 and looked < FORESEEN:
            lane = heads[0][3]
            choice = placer.choose(lane.race, lane.seconds)
            if choice is None:
                self.blocked.setdefault(lane.need, []).append(heapq.heappop(heads))
                continue
            view, now = choice
            if now:
                self.start(lane, view)
            else:  # it waits for a node that will have done it sooner than any free one
                looked += 1
                if not lane.passed:
                    passed.append(lane)
                lane.passed += 1
            if lane.passed == len(lane.jobs):
                heapq.heappop(heads)
            else:
                at, number, _ = lane.jobs[lane.passed]
                heapq.heapreplace(heads, (-lane.priority, at, number, lane))
        if passed:
            self.go_back(passed)
        each = CLAIM_SECONDS + (AHEAD_SECONDS if placer.looks_ahead else 0.0)
        self.resume_at = placer.now + each * len(self.views) + LOOK_SECONDS * looked
        placer.end_pass()
        self.followable.clear()

    def go_back(self, passed: Sequence[Lane]) -> None:
        """To the first job of each lane in which some were passed over."""
        self.heads = [head for head in self.heads if not head[3].passed]
        for need, heads in self.blocked.items():
            self.blocked[need] = [head for head in heads if not head[3].passed]
        for lane in passed:
            lane.passed = 0
            self.blocked.get(lane.need, self.heads).append(lane.head)
        heapq.heapify(self.heads)

    def start(self, lane: Lane, view: StandingView) -> None:
        placer, place, now = self.placer, view.place, self.placer.now
        need, jobs, expected = lane.race.need, lane.jobs, lane.seconds(view.id)
        first = now - self.ended_at > REST_SECONDS
        size = 1 if lane.alone else bundles.size(expected, self.waiting, self.slots, first)
        each = view.lasts(expected)
        overheads, clock = self.scene.overheads, now
        if not lane.alone and self.followable.get(place, 0) >= need.slots == 1:
            self.followable[place] -= 1
            clock += overheads.ahead
        else:
            clock += overheads.bundle
        worked, load, size = 0.0, self.loads[place], min(size, len(jobs) - lane.passed)
        jobs.rotate(-lane.passed)
        for number in range(size):
            at, _number, share = jobs.popleft()
            clock += overheads.member if number else 0.0
            self.waits.append(clock - at)
            clock += each * share
            worked += each * share
            self.turnaround += clock - at
        jobs.rotate(lane.passed)
        self.work += worked * need.slots
        load.jobs += size
        load.seconds += worked * need.slots
        self.count += size
        self.waiting -= size
        self.bundles += 1
        if clock > self.last_end:
            self.last_end = clock
        planned = now + each
        if size > 1:
            planned = now + each * size
            placer.extend(view, need, each, planned)
        soon = need.slots == 1 and expected is not None and each * size <= SOON_SECONDS
        turn = 0.0 if soon and self.waiting else overheads.turn
        event = (clock + turn, self.bundles, place, lane.need, need.slots, planned, soon)
        heapq.heappush(self.ends, event)


def view_of(machine: Machine) -> StandingView:
    return StandingView(
        id=machine.id, name=machine.name, address=machine.name, slots=machine.slots,
        tags=machine.tags, memory_total=machine.memory_total, speed=machine.speed,
    )  # fmt: skip


def replay(jobs: Iterable[Work], scene: Scene, seed: int = 0) -> Outcome:
    """Run the jobs through the scene. `seed`: for the strategy that draws."""
    state = random.getstate()
    random.seed(seed)
    try:
        return carry_out(iter(jobs), scene)
    finally:
        random.setstate(state)


def carry_out(arrivals: Iterator[Work], scene: Scene) -> Outcome:
    run = Run(scene)
    turn = scene.overheads.turn
    coming = next(arrivals, None)
    began = open_since = coming.at if coming else 0.0
    open_seconds = 0.0
    while coming is not None or run.ends:
        moment = min(
            coming.at + turn if coming else math.inf,
            run.ends[0][0] if run.ends else math.inf,
            max(run.placer.now, run.resume_at) if run.due else math.inf,
        )
        if coming and not run.ends and not run.waiting and coming.at > run.last_end:
            if run.count:
                open_seconds += run.last_end - open_since  # idle until it comes
            open_since = coming.at
        run.placer.now = moment
        while run.ends and run.ends[0][0] <= moment:
            run.end(heapq.heappop(run.ends))
        while coming is not None and coming.at + turn <= moment:
            run.arrive(coming)
            coming = next(arrivals, None)
        run.due = bool(run.heads) and run.placer.free_slots > 0
        if not run.due:
            run.followable.clear()
        elif moment >= run.resume_at:
            run.claim()
    if run.count:
        open_seconds += run.last_end - open_since
    return outcome(run, run.last_end - began if run.count else 0.0, open_seconds)


def outcome(run: Run, makespan: float, open_seconds: float) -> Outcome:
    waits = sorted(run.waits)
    count = max(1, run.count)
    return Outcome(
        jobs=run.count,
        never=run.never,
        makespan=makespan,
        open_seconds=open_seconds,
        mean_wait=sum(waits) / count,
        p95_wait=waits[min(len(waits) - 1, int(len(waits) * 0.95))] if waits else 0.0,
        mean_turnaround=run.turnaround / count,
        utilisation=run.work / (run.slots * makespan) if run.slots and makespan > 0 else 0.0,
        bundles=run.bundles,
        load={view.name: load for view, load in zip(run.views, run.loads, strict=True)},
    )

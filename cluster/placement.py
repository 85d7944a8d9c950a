"""Which node takes which job. Pure: values in, values out."""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from cluster.strategies import FORESEEING, GUESS_SECONDS, STRATEGIES
from cluster.words import Stored, Words, gettext_noop, stored

SHOWN = 10  # candidates, and nodes ruled out, that a receipt names
MEGABYTE = 2**20


@dataclass(frozen=True)
class Need:
    """What a job asks of a node."""

    tags: frozenset[str] = frozenset()
    memory_mb: int | None = None
    slots: int = 1
    nodes: frozenset[str] = frozenset()  # names; empty: any
    exclude: frozenset[str] = frozenset()  # names


@dataclass(eq=False)
class NodeView:
    """A node as placement sees it; what is taken counts up while a pass hands out slots."""

    id: int
    name: str
    address: str
    slots: int
    busy: int = 0  # slots
    online: bool = True
    draining: bool = False
    breaker: str = ""  # why it is open; empty: closed
    patched: bool = True
    tags: frozenset[str] = frozenset()
    memory_free: int | None = None  # bytes
    memory_total: int | None = None  # bytes
    memory_promised: int = 0  # bytes asked for by what runs there
    last_claim_at: datetime | None = None
    speed: float = 1.0  # against the fleet's median; 1 while unknown
    turn: int = 0  # place in the round, counted from the node after the last one used
    ends: list[float] = field(default_factory=list)  # seconds until each taken slot is free: a heap
    placed: int = 0  # in this pass
    drawn: float = 0.0  # its last score in this pass

    @property
    def takes_work(self) -> bool:
        return self.online and not self.draining and not self.breaker

    @property
    def free(self) -> int:
        return max(0, self.slots - self.busy)

    @property
    def memory_left(self) -> int | None:
        """Bytes; what is promised counts as used, whether or not it is used yet."""
        left = [self.memory_free] if self.memory_free is not None else []
        if self.memory_total is not None:
            left.append(self.memory_total - self.memory_promised)
        return min(left, default=None)

    def free_in(self) -> float:
        """Seconds until a slot is free, by what is known of the jobs on it."""
        if self.busy < self.slots or not self.ends:
            return 0.0
        return max(0.0, self.ends[0])

    def lasts(self, expected: float | None) -> float:
        """Seconds of a job here; by its speed alone where nothing is known of such jobs."""
        return GUESS_SECONDS / self.speed if expected is None else expected

    def take(self, need: Need, seconds: float) -> None:
        """Give a job its slots now."""
        self.busy += need.slots
        self.memory_promised += (need.memory_mb or 0) * MEGABYTE
        for _ in range(need.slots):
            heapq.heappush(self.ends, seconds)
        self.placed += 1

    def book(self, need: Need, seconds: float) -> None:
        """Let a job have the slots that are free next: it waits for them."""
        for _ in range(min(need.slots, len(self.ends))):
            heapq.heapreplace(self.ends, self.ends[0] + seconds)
        self.placed += 1


def need_of(body: dict[str, Any]) -> Need:
    """A Need row's body as a value."""
    return Need(
        tags=frozenset(body.get("tags", ())),
        memory_mb=body.get("memory_mb"),
        slots=body.get("slots") or 1,
        nodes=frozenset(body.get("nodes", ())),
        exclude=frozenset(body.get("exclude", ())),
    )


Tell = Callable[[Need, NodeView], Words | None]


@dataclass(frozen=True)
class Test:
    """One thing that a node must be for a job to start there."""

    name: str
    reason: Tell  # why it fails; None: it passes
    value: Callable[[Need, NodeView], Words]  # what it is now
    lasting: bool = False  # waiting does not help: the job, or the node, has to be changed


def is_away(need: Need, node: NodeView) -> Words | None:
    return None if node.online else Words(gettext_noop("offline"))


def is_draining(need: Need, node: NodeView) -> Words | None:
    return Words(gettext_noop("draining")) if node.draining else None


def is_quarantined(need: Need, node: NodeView) -> Words | None:
    if not node.breaker:
        return None
    return Words(gettext_noop("quarantined: %(reason)s"), reason=node.breaker)


def is_unwanted(need: Need, node: NodeView) -> Words | None:
    if not need.nodes or node.name in need.nodes:
        return None
    return Words(gettext_noop("not among the wanted nodes"))


def is_excluded(need: Need, node: NodeView) -> Words | None:
    return Words(gettext_noop("excluded by the job")) if node.name in need.exclude else None


def lacks_tags(need: Need, node: NodeView) -> Words | None:
    missing = sorted(need.tags - node.tags)
    return (
        Words(gettext_noop("lacks the tag %(tags)s"), tags=", ".join(missing)) if missing else None
    )


def too_small(need: Need, node: NodeView) -> Words | None:
    if need.slots > node.slots:
        text = gettext_noop("has %(has)s slots, %(needed)s needed")
        return Words(text, has=node.slots, needed=need.slots)
    wanted = (need.memory_mb or 0) * MEGABYTE
    if node.memory_total is not None and wanted > node.memory_total:
        text = gettext_noop("has %(has)s MB of memory, %(needed)s MB needed")
        return Words(text, has=node.memory_total // MEGABYTE, needed=need.memory_mb)
    return None


def short_of_memory(need: Need, node: NodeView) -> Words | None:
    if not lacks_memory(need, node):
        return None
    text = gettext_noop("%(free)s MB of memory free, %(needed)s MB needed")
    return Words(text, free=max(0, node.memory_left or 0) // MEGABYTE, needed=need.memory_mb)


def lacks_memory(need: Need, node: NodeView) -> bool:
    left = node.memory_left if need.memory_mb else None
    return left is not None and left < (need.memory_mb or 0) * MEGABYTE


def short_of_slots(need: Need, node: NodeView) -> Words | None:
    if node.free >= need.slots:
        return None
    if need.slots > 1:
        text = gettext_noop("%(free)s slots free, %(needed)s needed")
        return Words(text, free=node.free, needed=need.slots)
    if node.slots > 1:
        return Words(gettext_noop("every slot is taken"))
    return Words(gettext_noop("its slot is taken"))


def memory_now(need: Need, node: NodeView) -> Words:
    left = node.memory_left
    if left is None:
        return Words(gettext_noop("unknown"))
    return Words(gettext_noop("%(free)s MB free"), free=max(0, left) // MEGABYTE)


def tags_now(need: Need, node: NodeView) -> Words:
    if not node.tags:
        return Words(gettext_noop("none"))
    return Words("%(tags)s", tags=", ".join(sorted(node.tags)))


def size_now(need: Need, node: NodeView) -> Words:
    return Words(gettext_noop("%(slots)s slots"), slots=node.slots)


def slots_now(need: Need, node: NodeView) -> Words:
    return Words(gettext_noop("%(free)s of %(slots)s free"), free=node.free, slots=node.slots)


def always(text: str) -> Callable[[Need, NodeView], Words]:
    return lambda need, node: Words(text)


TESTS = [
    Test("online", is_away, always(gettext_noop("online"))),
    Test("draining", is_draining, always(gettext_noop("takes work"))),
    Test("breaker", is_quarantined, always(gettext_noop("closed"))),
    Test("wanted", is_unwanted, always(gettext_noop("fits")), lasting=True),
    Test("excluded", is_excluded, always(gettext_noop("fits")), lasting=True),
    Test("tags", lacks_tags, tags_now, lasting=True),
    Test("size", too_small, size_now, lasting=True),
    Test("memory", short_of_memory, memory_now),
    Test("slots", short_of_slots, slots_now),
]
LASTING = [test for test in TESTS if test.lasting]
BEFORE_SLOTS = [test for test in TESTS if test.name not in ("memory", "slots")]


def never(need: Need, node: NodeView) -> Words | None:
    """Why this node will not take it even when it is up and idle, in words."""
    return first_reason(LASTING, need, node)


def why_not(need: Need, node: NodeView) -> Words | None:
    """Why this node cannot take it now, in words; None if it can."""
    return first_reason(TESTS, need, node)


def first_reason(tests: Sequence[Test], need: Need, node: NodeView) -> Words | None:
    for test in tests:
        if reason := test.reason(need, node):
            return reason
    return None


class Choice(NamedTuple):
    """A node chosen, with the receipt that explains it."""

    node: NodeView
    now: bool  # False: it is worth waiting for this one
    receipt: dict[str, Any]  # empty where it waits: nobody will ask


Entry = tuple[float, int, int]  # score, place in Placer.nodes, how many it had been given
Seconds = Callable[[int], float | None]  # of this job on the node with that id; None: unknown


@dataclass
class Race:
    """The nodes that fit one kind of job: a heap, best first. Entries may be too low, never too
    high: they are scored anew when they come up."""

    need: Need
    strategy: str
    heap: list[Entry] = field(default_factory=list)
    ruled_out: dict[str, Stored] = field(default_factory=dict)
    lasts: list[float] = field(default_factory=list)  # seconds of the job, by place; if foreseeing
    limit: float = math.inf  # what does not score below is left out, if foreseeing


class Placer:
    """One pass. Places jobs one by one; scores anew only what changed since and comes up."""

    now = 0.0  # what the nodes' ends are counted from

    def __init__(self, nodes: Sequence[NodeView]) -> None:
        self.nodes = sorted(nodes, key=lambda node: node.name)  # of equals the first by name
        self.races: dict[Any, Race] = {}
        self.fits: dict[Need, tuple[list[int], dict[str, Stored]]] = {}  # but for slots and memory
        self.free_at: list[float] = []  # by place, when a slot is free; empty: nobody asked yet

    def place(
        self,
        need: Need,
        strategy: str,
        seconds: Seconds,
        kind: Any = None,
        avoid: int | None = None,
    ) -> Choice | None:
        """The best node for the job, its slots taken there. None: no node can take it.

        `kind`: equal for jobs of equal run times. `avoid`: a node to use only if no other can.
        """
        foresees = strategy in FORESEEING
        key = (need, strategy, kind if foresees else None)
        race = self.races.get(key)
        if race is None:
            start = self.look_ahead if foresees else self.start
            race = self.races[key] = start(Race(need, strategy), seconds)
        best = self.soonest if foresees else self.best
        entry = best(race)
        if entry and self.nodes[entry[1]].id == avoid:
            heapq.heappop(race.heap)
            other = best(race)
            heapq.heappush(race.heap, entry)
            entry = other or entry
        return self.give(entry, race, seconds) if entry else None

    def give(self, entry: Entry, race: Race, seconds: Seconds) -> Choice:
        score, place, _ = entry
        node, need, receipt = self.nodes[place], race.need, dict[str, Any]()
        now = node.busy < node.slots and not (  # else there is no need to find words for it
            short_of_slots(need, node) or short_of_memory(need, node)
        )
        if now:
            expected = seconds(node.id)
            receipt = self.receipt(entry, race, expected)
            node.take(need, node.lasts(expected))
            if race.strategy == "random_weighted":
                node.drawn = score
        else:
            node.book(need, race.lasts[place])
        if self.free_at:
            self.free_at[place] = node.free_in()
        return Choice(node, now, receipt)

    def receipt(self, entry: Entry, race: Race, expected: float | None) -> dict[str, Any]:
        best = lowest(race.heap, SHOWN)
        candidates = {self.nodes[place].name: round(score, 4) for score, place, _ in best}
        candidates.setdefault(self.nodes[entry[1]].name, round(entry[0], 4))
        found: dict[str, Any] = {
            "strategy": race.strategy,
            "candidates": candidates,
            "ruled_out": race.ruled_out,
        }
        if expected is not None:
            found["expected_seconds"] = round(expected, 3)
        return found

    def start(self, race: Race, seconds: Seconds) -> Race:
        places, race.ruled_out = self.sift(TESTS, race.need)
        race.heap = [self.entry(race, place) for place in places]
        heapq.heapify(race.heap)
        return race

    def look_ahead(self, race: Race, seconds: Seconds) -> Race:
        """As start, with the busy nodes: a score is when one has a slot + what the job lasts."""
        if race.need not in self.fits:
            self.fits[race.need] = self.sift(BEFORE_SLOTS, race.need)
        places, race.ruled_out = self.fits[race.need]
        if not self.free_at:
            self.free_at = [free_in(node) for node in self.nodes]
        race.lasts = [0.0] * len(self.nodes)
        for place in places:
            node = self.nodes[place]
            race.lasts[place] = node.lasts(seconds(node.id))
        scored = [
            (self.free_for(race.need, place) + race.lasts[place], place, 0) for place in places
        ]
        race.heap = [entry for entry in scored if entry[0] < math.inf]
        heapq.heapify(race.heap)
        return race

    def free_for(self, need: Need, place: int) -> float:
        """When the node has room for such a job; infinite where nothing that is known of ends."""
        at, node = self.free_at[place], self.nodes[place]
        if need.slots == 1 and (node.busy >= node.slots or not need.memory_mb):
            return at  # the first one that ends is enough
        missing = need.slots + min(0, node.busy - node.slots)
        if missing <= 0 and lacks_memory(need, node):
            missing = 1  # at the soonest
        return max(at, self.end_of(node, missing)) if missing > 0 else at

    def end_of(self, node: Any, count: int) -> float:
        """When so many more of its slots are free."""
        ends = node.ends if count == 1 else sorted(node.ends)
        return ends[min(count, len(ends)) - 1] if ends else math.inf

    def sift(self, tests: Sequence[Test], need: Need) -> tuple[list[int], dict[str, Stored]]:
        """The places of the nodes that pass, and why the others do not."""
        places, ruled_out = list[int](), dict[str, Stored]()
        for place, node in enumerate(self.nodes):
            if not (reason := first_reason(tests, need, node)):
                places.append(place)
            elif len(ruled_out) < SHOWN:
                ruled_out[node.name] = stored(reason)
        return places, ruled_out

    def best(self, race: Race) -> Entry | None:
        """The best entry, left where it is."""
        while race.heap:
            entry = race.heap[0]
            node = self.nodes[entry[1]]
            if short_of_slots(race.need, node) or short_of_memory(race.need, node):
                heapq.heappop(race.heap)  # for the rest of the pass
            elif entry[2] == node.placed:
                return entry
            else:
                heapq.heapreplace(race.heap, self.entry(race, entry[1]))
        return None

    def entry(self, race: Race, place: int) -> Entry:
        node = self.nodes[place]
        return STRATEGIES[race.strategy](node, None), place, node.placed

    def soonest(self, race: Race) -> Entry | None:
        """As best, where it is looked ahead: thousands of times in a pass."""
        heap, lasts, free_at, need = race.heap, race.lasts, self.free_at, race.need
        exactly = asks_more(need)
        while heap:
            entry = heap[0]
            place = entry[1]
            score = (self.free_for(need, place) if exactly else free_at[place]) + lasts[place]
            if score == entry[0]:
                return entry
            if score < race.limit:
                heapq.heapreplace(heap, (score, place, 0))
            else:
                heapq.heappop(heap)
        return None


def free_in(node: NodeView) -> float:
    while len(node.ends) < node.busy:  # a job of which nothing is known
        heapq.heappush(node.ends, node.lasts(None))
    return node.free_in()


def asks_more(need: Need) -> bool:
    """Than a slot."""
    return need.slots > 1 or bool(need.memory_mb)


def lowest(heap: list[Entry], count: int) -> Iterator[Entry]:
    """The `count` smallest entries of a heap, in order, without taking them off."""
    ahead = [(heap[0], 0)] if heap else []
    while ahead and count:
        entry, place = heapq.heappop(ahead)
        yield entry
        count -= 1
        for child in (2 * place + 1, 2 * place + 2):
            if child < len(heap):
                heapq.heappush(ahead, (heap[child], child))

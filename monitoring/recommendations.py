"""What would make the cluster better, and how sure that is. Pure: facts in, advice out.

A recommendation has facts, not words: advice_words.py says them in the reader's language.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.words import stored
from monitoring.resampling import Compared, Range, spread

LEAST_JOBS = 50  # that ran, for anything that rests on replays
LEAST_RESAMPLES = 20
LEAST_RUNS = 20  # of a spec, for its size
LEAST_OLD = 500  # jobs, worth a clean-up
LEAST_QUEUED = 20  # jobs, that wait for few nodes
WORTH = 0.03  # of the time: below it a change is not worth the doing
WORTH_NODE = 0.05
HARMLESS = 0.01  # of the time, that one node less may cost
DECISIVE = ("open_seconds", "mean_turnaround")
ROOM = 1.25  # on top of the most that was used
TIGHT, LAX = 0.8, 20.0  # share of the time limit that runs use; the limit over the longest run
LEAST_SPARED_MB, LEAST_LIMIT_SECONDS = 64, 600


@dataclass(frozen=True)
class Evidence:
    """A table: names of columns, which advice_words.py knows, and rows of plain values."""

    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Recommendation:
    id: str  # the same as long as it says the same
    kind: str
    facts: dict[str, Any]
    evidence: Evidence
    sample_size: int
    gain: Range | None = None  # of the time; none where it is counted, not estimated
    change: dict[str, Any] | None = None  # what applying it does; none: it is for people to do
    undoable: bool = True


@dataclass(frozen=True)
class Refusal:
    """Nothing is said about this, and why."""

    kind: str
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


Said = Recommendation | Refusal


@dataclass(frozen=True)
class Waiting:
    """A need of queued jobs that few nodes meet."""

    need: int
    words: str
    queued: int
    oldest_seconds: float
    fits: list[str]  # nodes
    slots: int  # of these
    others: Sequence[tuple[str, int, str]]  # (node, free slots, why it does not fit)


@dataclass(frozen=True)
class Drained:
    name: str
    slots: int
    queued: int  # ready jobs that it could take
    reason: str = ""


@dataclass(frozen=True)
class Used:
    """What a spec asked for, and what its runs used."""

    spec: int
    title: str
    runs: int
    timed_out: int
    memory_mb: int | None
    slots: int
    timeout_seconds: float | None
    rss_mb: list[float]
    cores: list[float]
    seconds: list[float]


@dataclass(frozen=True)
class Facts:
    """All that advice rests on."""

    jobs: int
    nodes: int
    strategy: str
    strategies: list[Compared]  # the present one first
    sizes: list[Compared]  # the present one, "more", "less"
    model: str = ""  # the node that one more would be like
    weakest: str = ""  # the node that could go
    weakest_drains: bool = True
    old_jobs: int = 0
    old_days: float = 30.0
    old_bytes: int | None = None
    waiting: list[Waiting] = field(default_factory=list)
    drained: list[Drained] = field(default_factory=list)
    free_slots: int = 0
    used: list[Used] = field(default_factory=list)


def recommend(facts: Facts) -> list[Said]:
    found: list[Said] = [*strategy(facts), *more(facts), *less(facts), *clean_up(facts)]
    return [*found, *rebalance(facts), *right_size(facts)]


def unsure(kind: str, facts: Facts, compared: Sequence[Compared]) -> Refusal | None:
    """Why nothing can be said from replays."""
    if facts.jobs < LEAST_JOBS:
        return Refusal(kind, "few_jobs", {"jobs": facts.jobs, "needed": LEAST_JOBS})
    if not facts.nodes:
        return Refusal(kind, "no_nodes")
    done = min((one.resamples for one in compared), default=0)
    if done < LEAST_RESAMPLES:
        return Refusal(kind, "few_resamples", {"resamples": done, "needed": LEAST_RESAMPLES})
    return None


def sure_gain(compared: Compared, worth: float) -> tuple[str, Range] | None:
    """The measure in which it surely gains, while the other surely does not lose."""
    for measure, other in (DECISIVE, DECISIVE[::-1]):
        gain, beside = compared.gains[measure], compared.gains[other]
        if gain.value >= worth and gain.low > 0 and beside.high >= 0 and beside.value > -worth:
            return measure, gain
    return None


def table(compared: Sequence[Compared], names: Sequence[str]) -> Evidence:
    rows: list[list[Any]] = []
    for one, name in zip(compared, names, strict=True):
        ranges, outcome = one.ranges, one.outcome
        gain = one.gains[DECISIVE[0]] if one is not compared[0] else None
        rows.append([
            name, round(outcome.makespan, 3), triple(ranges["open_seconds"]),
            triple(ranges["mean_turnaround"]), triple(ranges["p95_wait"]),
            round(outcome.utilisation, 4), gain and triple(gain),
        ])  # fmt: skip
    columns = ["case", "makespan", "open_seconds", "mean_turnaround", "p95_wait", "utilisation",
               "gain"]  # fmt: skip
    return Evidence(columns, rows)


def triple(found: Range) -> list[float | None]:
    """Value, low, high; a range that is not known is empty."""
    return [round(v, 4) if math.isfinite(v) else None for v in (found.value, found.low, found.high)]


def strategy(facts: Facts) -> Iterator[Said]:
    kind = "strategy"
    if 0 < facts.nodes < 2:
        yield Refusal(kind, "one_node")
        return
    if refusal := unsure(kind, facts, facts.strategies):
        yield refusal
        return
    found = []
    for compared in facts.strategies[1:]:
        if sure := sure_gain(compared, WORTH):
            found.append((sure[0] == DECISIVE[0], sure[1].value, compared, sure))
    if not found:
        yield Refusal(kind, "none_better", {"strategy": facts.strategy, "jobs": facts.jobs})
        return
    _, _, best, (measure, gain) = max(found, key=lambda entry: entry[:2])
    names = [facts.strategy, *(one.name for one in facts.strategies[1:])]
    yield Recommendation(
        id=f"strategy:{best.name}",
        kind=kind,
        facts={
            "strategy": best.name, "present": facts.strategy, "measure": measure,
            "jobs": facts.jobs, "before": getattr(facts.strategies[0].outcome, measure),
            "after": getattr(best.outcome, measure), "makespan": best.outcome.makespan,
            "makespan_before": facts.strategies[0].outcome.makespan,
        },
        evidence=table(facts.strategies, names),
        sample_size=facts.jobs,
        gain=gain,
        change={"strategy": best.name},
    )  # fmt: skip


def more(facts: Facts) -> Iterator[Said]:
    kind = "add_workers"
    if refusal := unsure(kind, facts, facts.sizes):
        yield refusal
        return
    another = next((one for one in facts.sizes if one.name == "more"), None)
    sure = another and sure_gain(another, WORTH_NODE)
    if not another or not sure:
        yield Refusal(kind, "no_help", {"jobs": facts.jobs})
        return
    measure, gain = sure
    yield Recommendation(
        id="add_workers:1",
        kind=kind,
        facts={
            "model": facts.model, "measure": measure, "jobs": facts.jobs, "nodes": facts.nodes,
            "before": getattr(facts.sizes[0].outcome, measure),
            "after": getattr(another.outcome, measure),
        },
        evidence=table(facts.sizes, [one.name or "present" for one in facts.sizes]),
        sample_size=facts.jobs,
        gain=gain,
    )  # fmt: skip


def less(facts: Facts) -> Iterator[Said]:
    kind = "remove_worker"
    if facts.nodes < 2:
        return
    if refusal := unsure(kind, facts, facts.sizes):
        yield refusal
        return
    fewer = next((one for one in facts.sizes if one.name == "less"), None)
    if fewer is None:
        return
    gains = [fewer.gains[measure] for measure in DECISIVE]
    if fewer.outcome.never > facts.sizes[0].outcome.never or any(
        gain.low < -HARMLESS for gain in gains
    ):
        yield Refusal(kind, "needed", {"node": facts.weakest, "jobs": facts.jobs})
        return
    yield Recommendation(
        id=f"drain:{facts.weakest}",
        kind=kind,
        facts={
            "node": facts.weakest, "jobs": facts.jobs, "nodes": facts.nodes,
            "utilisation": facts.sizes[0].outcome.utilisation,
        },
        evidence=table(facts.sizes, [one.name or "present" for one in facts.sizes]),
        sample_size=facts.jobs,
        gain=gains[0],
        change={"drain": facts.weakest},
    )  # fmt: skip


def clean_up(facts: Facts) -> Iterator[Said]:
    kind = "clean_up"
    told = {"old": facts.old_jobs, "days": facts.old_days, "needed": LEAST_OLD}
    if facts.old_jobs < LEAST_OLD:
        yield Refusal(kind, "little_old", told)
        return
    yield Recommendation(
        id=f"clean_up:{facts.old_days:g}",
        kind=kind,
        facts=told | {"bytes": facts.old_bytes},
        evidence=Evidence(
            ["old_jobs", "older_than_days", "bytes"],
            [[facts.old_jobs, facts.old_days, facts.old_bytes]],
        ),
        sample_size=facts.old_jobs,
        change={"clean_up": facts.old_days},
        undoable=False,
    )


def rebalance(facts: Facts) -> Iterator[Said]:
    kind, found = "rebalance", False
    for node in facts.drained:
        if node.queued >= LEAST_QUEUED and node.queued > 2 * facts.free_slots:
            found = True
            yield Recommendation(
                id=f"resume:{node.name}",
                kind="resume",
                facts={"node": node.name, "queued": node.queued, "reason": stored(node.reason),
                       "slots": node.slots},
                evidence=Evidence(
                    ["node", "slots", "queued"], [[node.name, node.slots, node.queued]]
                ),
                sample_size=node.queued,
                change={"resume": node.name},
            )  # fmt: skip
    for wait in facts.waiting:
        idle = sum(free for _, free, _ in wait.others)
        if wait.queued >= LEAST_QUEUED and wait.queued >= 5 * wait.slots and idle > wait.slots / 2:
            found = True
            yield Recommendation(
                id=f"rebalance:{wait.need}",
                kind=kind,
                facts={"need": wait.words, "queued": wait.queued, "fits": wait.fits,
                       "slots": wait.slots, "idle": idle, "oldest": wait.oldest_seconds},
                evidence=Evidence(
                    ["node", "free_slots", "why"],
                    [[name, free, stored(why)] for name, free, why in wait.others],
                ),
                sample_size=wait.queued,
            )  # fmt: skip
    if not found:
        yield Refusal(kind, "balanced", {"needed": LEAST_QUEUED})


def right_size(facts: Facts) -> Iterator[Said]:
    kind, found = "right_size", False
    enough = [used for used in facts.used if used.runs >= LEAST_RUNS]
    for used in enough:
        for said in (memory(used), slots(used), time_limit(used)):
            if said:
                found = True
                yield said
    if not enough:
        most = max((used.runs for used in facts.used), default=0)
        yield Refusal(kind, "few_runs", {"runs": most, "needed": LEAST_RUNS})
    elif not found:
        yield Refusal(kind, "fits", {"specs": len(enough)})


def memory(used: Used) -> Recommendation | None:
    if not used.memory_mb or len(used.rss_mb) < LEAST_RUNS:
        return None
    peak = high_of(used.rss_mb)
    wanted = 16 * math.ceil(max(peak.high, max(used.rss_mb)) * ROOM / 16)
    if used.memory_mb - wanted < LEAST_SPARED_MB or used.memory_mb < 2 * wanted:
        return None
    return sized(used, "memory_mb", used.memory_mb, wanted, peak)


def slots(used: Used) -> Recommendation | None:
    if used.slots < 2 or len(used.cores) < LEAST_RUNS:
        return None
    busy = high_of(used.cores)
    wanted = max(1, math.ceil(busy.high - 0.1))
    return sized(used, "slots", used.slots, wanted, busy) if wanted < used.slots else None


def time_limit(used: Used) -> Recommendation | None:
    limit = used.timeout_seconds
    if not limit or len(used.seconds) < LEAST_RUNS:
        return None
    longest = high_of(used.seconds)
    if longest.low > TIGHT * limit:
        wanted = math.ceil(2 * max(longest.high, limit))
        return sized(used, "timeout_seconds", limit, wanted, longest)
    wanted = math.ceil(5 * max(longest.high, max(used.seconds)))
    if limit >= LEAST_LIMIT_SECONDS and limit > LAX * max(longest.high, max(used.seconds)):
        return sized(used, "timeout_seconds", limit, max(60, wanted), longest)
    return None


def sized(used: Used, what: str, asked: float, wanted: float, seen: Range) -> Recommendation:
    return Recommendation(
        id=f"right_size:{used.spec}:{what}",
        kind="right_size",
        facts={"spec": used.spec, "title": used.title, "what": what, "asked": asked,
               "wanted": wanted, "used": round(seen.value, 3), "runs": used.runs,
               "timed_out": used.timed_out},
        evidence=Evidence(
            ["asked_for", "asked", "used_p95", "runs", "timed_out", "wanted"],
            [[what, asked, triple(seen), used.runs, used.timed_out, wanted]],
        ),
        sample_size=used.runs,
    )  # fmt: skip


def high_of(values: Sequence[float], resamples: int = 200) -> Range:
    """The 95th percentile, with its bootstrap range."""
    rng = random.Random(1979)
    again = [percentile(rng.choices(values, k=len(values))) for _ in range(resamples)]
    return spread(percentile(values), again)


def percentile(values: Sequence[float], share: float = 0.95) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

"""The soak's figures: memory, pauses, and the table."""

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.models import Attempt, Event
from tests.faults.soak_check import Findings
from tests.faults.soak_faults import Strike
from tests.faults.work import family, memory_kb

Finish = tuple[datetime, str]  # when it was recorded, and on which node
SETTLED = {"dispatcher": 60.0, "web": 20.0, "node": 20.0}  # seconds of a life until its first look


@dataclass
class Life:
    """A process's memory in kB, from when it had settled to its end."""

    role: str
    began: float
    first: int = 0
    last: int = 0
    most: int = 0
    seconds: float = 0.0


@dataclass
class Memory:
    lives: dict[tuple[str, int], Life] = field(default_factory=dict)

    def look(self, role: str, pid: int, clock: float) -> int:
        """The web's workers are counted with it; a node's jobs are not its own."""
        kb = sum(map(memory_kb, family(pid))) if role == "web" else memory_kb(pid)
        if kb:
            life = self.lives.setdefault((role, pid), Life(role, clock))
            life.seconds = clock - life.began
            life.last, life.most = kb, max(kb, life.most)
            if not life.first and life.seconds >= SETTLED[role]:
                life.first = kb
        return kb

    def rows(self) -> list[list[str]]:
        rows = [["memory", "lives", "longest (min)", "settled (MB)", "at the end (MB)",
                 "largest growth", "highest (MB)"]]  # fmt: skip
        for role in SETTLED:
            lives = [life for life in self.lives.values() if life.role == role]
            settled = [life for life in lives if life.first]
            if not settled:
                rows.append([role, str(len(lives)), *["–"] * 5])
                continue
            longest = max(settled, key=lambda life: life.seconds)
            grown = max(settled, key=lambda life: life.last - life.first)
            rows.append([
                role, str(len(lives)), f"{longest.seconds / 60:.1f}", mb(longest.first),
                mb(longest.last), growth(grown), mb(max(life.most for life in lives)),
            ])  # fmt: skip
        return rows


def mb(kb: int) -> str:
    return f"{kb / 1024:.1f}"


def growth(life: Life) -> str:
    more = life.last - life.first
    return f"{more / 1024:+.1f} MB ({more / life.first:+.0%}) in {life.seconds / 60:.1f} min"


def finishes() -> list[Finish]:
    """When successes were recorded, by the dispatcher's clock."""
    attempts = Attempt.objects.filter(outcome="succeeded")
    nodes = {(job, n): at for job, n, at in attempts.values_list("job", "number", "node__address")}
    events = Event.objects.filter(state="succeeded", attempt__isnull=False).order_by("at")
    rows = events.values_list("at", "job", "attempt")
    return [(at, nodes.get((job, number or 0), "")) for at, job, number in rows]


def pauses(done: Sequence[Finish], start: datetime, end: datetime, but: str = "") -> list[float]:
    """Seconds from `start` to the first success, and between any two until `end`."""
    first = bisect.bisect_left(done, (start, ""))
    times = [start]
    for at, node in done[first:]:
        if at > end:
            break
        if node != but:
            times.append(at)
    times.append(end)
    return [(b - a).total_seconds() for a, b in zip(times, times[1:], strict=False)]


def strike_rows(
    strikes: Sequence[Strike], done: Sequence[Finish], end: datetime
) -> list[list[str]]:
    """A line for each kind: on other nodes than the one that was hit, and until all was well."""
    by_kind: dict[str, list[tuple[float, float, float | None]]] = defaultdict(list)
    ends = [strike.at for strike in strikes[1:]] + [end]
    for strike, until in zip(strikes, ends, strict=True):
        gaps = pauses(done, strike.at, until, strike.node)
        by_kind[strike.kind].append((gaps[0], max(gaps), strike.healed))
    rows = [["fault", "times", "next job done after (s, slowest)", "longest pause (s)",
             "all well again after (s, slowest)"]]  # fmt: skip
    for kind, group in sorted(by_kind.items()):
        healed = [each[2] for each in group if each[2] is not None]
        slowest = f"{max(healed):.1f}" if len(healed) == len(group) else "never"
        figures = [f"{max(each[0] for each in group):.1f}", f"{max(each[1] for each in group):.1f}"]
        rows.append([kind, str(len(group)), *figures, slowest])
    return rows


def job_rows(minutes: float, accepted: int, found: Findings, longest: float) -> list[list[str]]:
    count = found.counts
    figures: dict[str, Any] = {
        "minutes": f"{minutes:.1f}",
        "jobs accepted": accepted,
        "succeeded": count["succeeded"],
        "failed as meant": count["failed"] - count["lost as asked"] - count["lost too often"],
        "lost as asked": count["lost as asked"],
        "lost 3 times": count["lost too often"],
        "cancelled": count["cancelled"],
        "executions": count["executions"],
        "lost": count["lost"],
        "recorded twice": count["twice"],
        "double runs under on_lost=fail": count["double"],
        "longest time without progress (s)": f"{longest:.1f}",
    }
    return [list(figures), [str(value) for value in figures.values()]]


def markdown(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

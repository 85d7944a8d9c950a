"""The alert rules: what is looked at, from where on it is an alert, what it is a consequence of.

Pure: a snapshot in, findings out. causes.py puts findings of one cause together, alerts.py gives
them a memory, alert_words.py the words.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from monitoring import looks
from monitoring.looks import Reading, SnapshotLike


@dataclass(frozen=True)
class Finding:
    """A rule that holds now."""

    rule: str
    subject: str
    value: float | None
    threshold: float | None
    facts: Mapping[str, Any]
    since: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.subject


@dataclass(frozen=True)
class Rule:
    """hold: seconds until it fires; clear_hold: until it is over. clear: of the threshold."""

    name: str
    severity: str  # info, warning, critical
    look: Callable[[SnapshotLike], Iterable[Reading]]
    threshold: float | None = None
    unit: str = ""
    least: float = 0.0  # what people may set the threshold to
    most: float = 1e9
    below: bool = False  # it holds below the threshold, not from it on
    clear: float = 1.0
    hold: float = 60.0
    clear_hold: float = 60.0
    consequence_of: tuple[str, ...] = ()
    echoes: bool = False  # it looks back in time: a cause that is over may still be seen in it
    enabled: bool = True

    @property
    def clear_threshold(self) -> float | None:
        return None if self.threshold is None else self.threshold * self.clear

    def holds(self, reading: Reading, is_open: bool) -> bool | None:
        """None: not known. An open alert holds on until its clearing threshold is passed."""
        if reading.holds is not None:
            return reading.holds
        limit = self.clear_threshold if is_open else self.threshold
        if reading.value is None or limit is None:
            return None
        return reading.value < limit if self.below else reading.value >= limit


Key = tuple[str, str]  # rule, subject


@dataclass(frozen=True)
class Found:
    findings: list[Finding]
    unknown: frozenset[Key]  # nobody can tell now: what is open stays


def find(snapshot: SnapshotLike, rules: Mapping[str, Rule], is_open: Collection[Key] = ()) -> Found:
    """Every rule against the snapshot, those alone that hold. `is_open`: with hysteresis."""
    findings, unknown = list[Finding](), set[Key]()
    for rule in rules.values():
        for reading in rule.look(snapshot) if rule.enabled else ():
            key = rule.name, reading.subject
            holds = rule.holds(reading, key in is_open)
            if holds is None:
                unknown.add(key)
            elif holds:
                findings.append(Finding(
                    rule.name, reading.subject, rounded(reading.value), rule.threshold,
                    dict(reading.facts), reading.since,
                ))  # fmt: skip
    return Found(findings, frozenset(unknown))


def rounded(value: float | None) -> float | None:
    """Four digits are more than anybody reads."""
    return None if value is None else float(f"{value:.4g}")


DOWN = ("dispatcher_silent", "nodes_down", "node_down")
TABLE = [
    # Causes come before their consequences.
    Rule("monitor_silent", "critical", looks.elsewhere, 60, "s", 25, 86400, hold=0, clear_hold=0),
    Rule(
        "dispatcher_silent",
        "critical",
        looks.dispatcher_silent,
        looks.DISPATCHER_SILENT,
        "s",
        15,
        86400,
        hold=10,
        clear_hold=30,
    ),
    Rule("home_disk_low", "critical", looks.home_disk, 1, "GB", 0.1, 1e5, below=True, clear=1.2),
    Rule(
        "dispatcher_halted",
        "critical",
        looks.dispatcher_halted,
        hold=5,
        clear_hold=30,
        consequence_of=("dispatcher_silent", "home_disk_low"),
    ),
    Rule(
        "nodes_down",
        "critical",
        looks.elsewhere,
        3,
        "nodes",
        2,
        1000,
        hold=12,
        clear_hold=20,
        consequence_of=("dispatcher_silent",),
    ),
    Rule(
        "node_down",
        "warning",
        looks.node_down,
        hold=12,
        clear_hold=20,
        consequence_of=("dispatcher_silent", "nodes_down"),
    ),
    Rule(
        "breaker_open",
        "warning",
        looks.per_node(looks.breaker),
        hold=60,
        consequence_of=DOWN,
        echoes=True,
    ),
    Rule(
        "dispatch_errors",
        "warning",
        looks.lost_attempts,
        5,
        "attempts",
        1,
        1e5,
        clear=0.5,
        hold=30,
        consequence_of=(*DOWN, "breaker_open"),
        echoes=True,
    ),
    Rule(
        "disk_low",
        "warning",
        looks.per_node(looks.disk),
        1,
        "GB",
        0.01,
        1e5,
        below=True,
        clear=1.2,
        consequence_of=DOWN,
    ),
    Rule(
        "memory_low",
        "warning",
        looks.per_node(looks.memory),
        5,
        "%",
        0.1,
        90,
        below=True,
        clear=1.5,
        hold=120,
        consequence_of=DOWN,
    ),
    Rule(
        "hot_node",
        "warning",
        looks.per_node(looks.heat),
        80,
        "°C",
        30,
        150,
        clear=0.94,
        hold=60,
        clear_hold=120,
        consequence_of=DOWN,
    ),
    Rule(
        "throttled_node",
        "warning",
        looks.per_node(looks.throttled),
        hold=30,
        clear_hold=600,
        consequence_of=(*DOWN, "hot_node"),
    ),
    Rule(
        "slow_node",
        "warning",
        looks.per_node(looks.slow),
        1.5,
        "×",
        1.1,
        100,
        clear=0.87,
        hold=120,
        clear_hold=300,
        consequence_of=(*DOWN, "hot_node", "throttled_node", "memory_low"),
    ),
    Rule(
        "clock_skew",
        "info",
        looks.per_node(looks.skew),
        5,
        "s",
        0.5,
        86400,
        clear=0.8,
        hold=120,
        consequence_of=DOWN,
    ),
    Rule(
        "stuck_jobs",
        "warning",
        looks.stuck,
        1,
        "jobs",
        1,
        1e6,
        hold=600,
        consequence_of=("dispatcher_silent", "nodes_down"),
    ),
    Rule(
        "overload",
        "warning",
        looks.overload,
        900,
        "s",
        10,
        1e7,
        clear=0.8,
        hold=60,
        clear_hold=300,
        consequence_of=("dispatcher_silent", "dispatcher_halted", "nodes_down"),
        echoes=True,
    ),
    Rule(
        "no_free_slot",
        "info",
        looks.no_free_slot,
        1,
        "jobs",
        1,
        1e7,
        hold=4 * 3600,
        clear_hold=600,
        consequence_of=("dispatcher_silent", "dispatcher_halted", "nodes_down", "overload"),
    ),
    Rule(
        "success_falling",
        "warning",
        looks.success,
        75,
        "%",
        1,
        100,
        below=True,
        clear=1.07,
        hold=60,
        clear_hold=300,
        consequence_of=("dispatcher_silent", "nodes_down"),
        echoes=True,
    ),
    Rule("schedule_failing", "warning", looks.schedules, 3, "runs", 1, 20, hold=0),
    Rule(
        "database_growing",
        "warning",
        looks.database,
        14,
        "days",
        0.5,
        3650,
        below=True,
        clear=1.2,
        hold=600,
        clear_hold=600,
        consequence_of=("home_disk_low",),
    ),
    Rule("undelivered_notices", "warning", looks.undelivered, 1, "notices", 1, 1e5, hold=0),
]
RULES = {rule.name: rule for rule in TABLE}


@dataclass(frozen=True)
class Changed:
    """What people set of a rule; None: as it comes."""

    enabled: bool = True
    threshold: float | None = None
    hold: float | None = None


def with_changes(changes: Mapping[str, Changed]) -> dict[str, Rule]:
    """The table as people have set it."""
    found = {}
    for name, rule in RULES.items():
        change = changes.get(name, Changed())
        threshold = rule.threshold if change.threshold is None else change.threshold
        hold = rule.hold if change.hold is None else change.hold
        found[name] = replace(rule, enabled=change.enabled, threshold=threshold, hold=hold)
    return found

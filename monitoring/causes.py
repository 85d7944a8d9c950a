"""Findings of one cause put together: what is told is the cause, its consequences inside. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from monitoring.rules import Finding, Found, Key, Rule

WINDOW = timedelta(seconds=30)  # nodes lost within it were lost together
FEWEST = 2  # half of the fleet counts as many from here on
MOST_INSIDE = 50
MANY_SCHEDULES = 6  # that fail: from here on new ones are told together


@dataclass(frozen=True)
class Known:
    """An alert as it was left: open, or over for a short while."""

    rule: str
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    is_open: bool = True
    fired: bool = True

    @property
    def key(self) -> Key:
        return self.rule, self.subject


@dataclass(frozen=True)
class Cause:
    """A finding to tell of, and those that follow from it."""

    finding: Finding
    inside: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Causes:
    told: list[Cause]
    swallowed: frozenset[Key]  # true, and told inside another
    unknown: frozenset[Key]


def put_together(
    found: Found, rules: Mapping[str, Rule], known: Sequence[Known], fleet: int
) -> Causes:
    """Each finding is told once: by itself, or inside its cause. `fleet`: how many nodes."""
    findings = {finding.key: finding for finding in found.findings}
    lost = nodes_down(found, rules["nodes_down"], known, fleet)
    if lost:
        findings[lost.key] = lost
    swallowed = set[Key]()
    if many := schedules_failing(found, known):
        swallowed |= {one.key for one in many}
        findings = {key: one for key, one in findings.items() if key not in swallowed}
        together = put_into_one(many)
        findings[together.key] = together
    past = {one.key: one for one in known if one.fired and one.key not in findings}
    inside: dict[Key, list[Finding]] = {key: [] for key in findings}
    for key, finding in findings.items():
        top = finding
        while cause := cause_of(top, findings, rules):
            top = cause
        if top is not finding:
            inside[top.key].append(finding)
            swallowed.add(key)
        elif rules[finding.rule].echoes and cause_of(finding, past, rules):
            swallowed.add(key)  # what is over, or about to be, may be seen in it for a while
    told = [
        Cause(finding, tuple(inside[key][:MOST_INSIDE]))
        for key, finding in findings.items()
        if key not in swallowed
    ]
    unknown = set(found.unknown)
    if any(rule == "node_down" for rule, _ in unknown):
        unknown.add(("nodes_down", ""))
    if any(rule == "schedule_failing" for rule, _ in unknown):
        unknown.add(("schedule_failing", ""))
    return Causes(told, frozenset(swallowed), frozenset(unknown - findings.keys()))


T = TypeVar("T", Finding, Known)


def cause_of(finding: Finding, among: Mapping[Key, T], rules: Mapping[str, Rule]) -> T | None:
    """What it may be a consequence of: of the same node, or of the whole cluster."""
    for rule in rules[finding.rule].consequence_of:
        for subject in dict.fromkeys((finding.subject, "")):
            found = among.get((rule, subject))
            if found and (rule != "nodes_down" or concerns(found.facts, finding.subject)):
                return found
    return None


def concerns(facts: Mapping[str, Any], node: str) -> bool:
    return not node or node in facts.get("nodes", ())


def nodes_down(found: Found, rule: Rule, known: Sequence[Known], fleet: int) -> Finding | None:
    """Many nodes lost at once are one finding. Who was lost with them stays in it until back."""
    if not rule.enabled:
        return None
    down = {one.subject: one for one in found.findings if one.rule == "node_down"}
    before = set[str]()
    for one in known:
        if one.rule == "nodes_down" and one.is_open:
            before |= set(one.facts.get("nodes", ()))
    together = set[str]()
    for group in groups(list(down.values())):
        names = {one.subject for one in group}
        if is_many(len(names), rule, fleet) or names & before:
            together |= names
    away = sorted(together)
    if not away:
        return None
    named = sorted(before | together)
    moments = [moment for name in away if (moment := down[name].since)]
    facts = {"nodes": named, "away": away, "fleet": fleet}
    threshold = rule.threshold
    since = min(moments, default=None)
    return Finding("nodes_down", "", float(len(away)), threshold, facts, since)


def groups(down: list[Finding]) -> list[list[Finding]]:
    """Those whose moments follow each other within the window."""
    found: list[list[Finding]] = []
    end: datetime | None = None
    for one in sorted(down, key=moment_of):
        if end is not None and moment_of(one) - end <= WINDOW:
            found[-1].append(one)
        else:
            found.append([one])
        end = moment_of(one)
    return found


def moment_of(finding: Finding) -> datetime:
    assert finding.since is not None  # node_down always knows
    return finding.since


def is_many(count: int, rule: Rule, fleet: int) -> bool:
    return count >= (rule.threshold or 3) or (count >= FEWEST and 2 * count >= fleet)


def schedules_failing(found: Found, known: Sequence[Known]) -> list[Finding]:
    """Those to be told together: of many what has no alert of its own, and who is among them."""
    failing = [one for one in found.findings if one.rule == "schedule_failing"]
    still_open = {one.key: one for one in known if one.is_open}
    together = still_open.get(("schedule_failing", ""))
    before = set(together.facts.get("schedules", ())) if together else set()
    many = len(failing) >= MANY_SCHEDULES
    return [
        one
        for one in failing
        if one.key not in still_open and (many or one.facts["schedule"] in before)
    ]


def put_into_one(failing: Sequence[Finding]) -> Finding:
    facts = {
        "schedules": [one.facts["schedule"] for one in failing],
        "names": [one.facts["name"] for one in failing[:MOST_INSIDE]],
    }
    value = max(one.value or 0.0 for one in failing)
    since = min((one.since for one in failing if one.since), default=None)
    return Finding("schedule_failing", "", value, failing[0].threshold, facts, since)


def told_inside(cause: Cause) -> list[dict[str, Any]]:
    """As the alert's row keeps it."""
    found = [
        {"rule": one.rule, "subject": one.subject, "value": one.value, "facts": dict(one.facts)}
        for one in cause.inside
    ]
    return sorted(found, key=lambda one: (one["rule"], one["subject"]))

"""The memory of findings: pending, firing, acknowledged, resolved; and who is told when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from monitoring import notify, pace, rule_settings, silences
from monitoring.causes import Cause, Causes, Known, put_together, told_inside
from monitoring.looks import SnapshotLike
from monitoring.models import Alert, AlertState, Silence
from monitoring.rules import Key, Rule, find

ECHO = timedelta(minutes=10)  # a cause that is over may be seen in what looks back
CHANGED = 0.1  # of a value, to be worth a write
NAMING = ("job", "sweep")  # facts that are numbers, and name what their page links to
PATIENCE = 1.5  # holds: where two nodes were lost, a third may follow
OPEN_TO_PEOPLE = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


@dataclass
class Plan:
    """What is to be written. Alerts as they are to be; each in one list at most, but for news."""

    made: list[Alert] = field(default_factory=list)
    gone: list[Alert] = field(default_factory=list)  # pending ones that came to nothing
    fired: list[Alert] = field(default_factory=list)
    back: list[Alert] = field(default_factory=list)  # was clearing, is true again
    clearing: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    absorbed: list[Alert] = field(default_factory=list)  # resolved, since another tells of it
    grown: list[Alert] = field(default_factory=list)  # became the alert of a wider cause
    news: list[Alert] = field(default_factory=list)  # value, facts, inside
    next_at: datetime | None = None  # when the next one is due

    def wake(self, moment: datetime) -> None:
        self.next_at = moment if self.next_at is None else min(self.next_at, moment)

    def __bool__(self) -> bool:
        return any((self.made, self.gone, self.fired, self.back, self.clearing, self.resolved,
                    self.absorbed, self.grown, self.news))  # fmt: skip


def judge(snapshot: SnapshotLike, now: datetime) -> datetime | None:
    """Fold what the rules find into the alerts. Returns when to judge again at the latest.

    To be called by the one monitor. People acknowledge meanwhile: each write names what it needs.
    """
    rules = rule_settings.read()
    kept = list(Alert.objects.filter(Q(resolved_at=None) | Q(resolved_at__gt=now - ECHO)))
    still_open = {(one.rule, one.subject): one for one in kept if one.resolved_at is None}
    found = find(snapshot, rules, {key for key, one in still_open.items() if one.fired_at})
    known = [Known(one.rule, one.subject, one.facts, one.resolved_at is None,
                   one.fired_at is not None) for one in kept]  # fmt: skip
    causes = put_together(found, rules, known, len(snapshot.nodes))
    plan = fold(causes, still_open, rules, now)
    write(plan, still_open.values(), now)
    pace.keep(now)
    return plan.next_at


def fold(
    causes: Causes, still_open: Mapping[Key, Alert], rules: Mapping[str, Rule], now: datetime
) -> Plan:
    """What each alert becomes. Changes the alerts in memory alone."""
    plan = Plan()
    told = {cause.finding.key: cause for cause in causes.told}
    several = sum(key[0] == "node_down" for key in told) > 1  # others may follow them
    grown = grow(told, still_open, rules, plan)
    for key, cause in told.items():
        rule, alert = rules[key[0]], still_open.get(key)
        if alert is None and key in grown:
            alert = grown[key]
        if alert is None:
            alert = new(cause, rule, now)
            plan.made.append(alert)
        else:
            renew(alert, cause, plan)
        if alert.state == AlertState.PENDING:
            patience = PATIENCE if several and key[0] == "node_down" else 1.0
            due = alert.started_at + timedelta(seconds=patience * rule.hold)
            if due <= now:
                fire(alert, plan, now)
            else:
                plan.wake(due)
    taken = {id(alert) for alert in grown.values()}
    for key, alert in still_open.items():
        if key not in told and id(alert) not in taken:
            leave(alert, key, causes, rules, plan, now)
    return plan


def grow(
    told: Mapping[Key, Cause], still_open: Mapping[Key, Alert], rules: Mapping[str, Rule],
    plan: Plan,
) -> dict[Key, Alert]:  # fmt: skip
    """An alert of one lost node becomes that of many; those of the others end in it."""
    key = ("nodes_down", "")
    cause = told.get(key)
    if cause is None:
        return {}
    members = {("node_down", name) for name in cause.finding.facts["nodes"]}
    fired = [one for k, one in still_open.items() if k in members and one.fired_at]
    fired.sort(key=lambda one: (one.started_at, one.pk))
    if key not in still_open and fired:
        first = fired.pop(0)
        first.rule, first.subject = key
        if first.severity != rules[key[0]].severity:
            first.severity = rules[key[0]].severity
            first.announced_at = None  # worse than what was told
            first.state = AlertState.FIRING
            first.acknowledged_at, first.acknowledged_by = None, ""
        plan.grown.append(first)
        plan.absorbed += fired
        return {key: first, **{(one.rule, one.subject): one for one in fired}}
    plan.absorbed += fired
    return {(one.rule, one.subject): one for one in fired}


def new(cause: Cause, rule: Rule, now: datetime) -> Alert:
    finding = cause.finding
    return Alert(
        rule=finding.rule, subject=finding.subject, severity=rule.severity, value=finding.value,
        threshold=finding.threshold, facts=dict(finding.facts), inside=told_inside(cause),
        started_at=min(now, finding.since or now), state=AlertState.PENDING,
    )  # fmt: skip


def renew(alert: Alert, cause: Cause, plan: Plan) -> None:
    """True still, or again; what it says is brought up to date where that is worth a write."""
    if alert.cleared_at is not None:
        alert.cleared_at = None
        plan.back.append(alert)
    finding, inside = cause.finding, told_inside(cause)
    if (
        alert.threshold != finding.threshold
        or (finding.threshold is not None and differs(alert.value, finding.value))
        or words_of(alert.facts) != words_of(finding.facts)
        or names_of(alert.inside) != names_of(inside)
    ):
        alert.value, alert.threshold = finding.value, finding.threshold
        alert.facts, alert.inside = dict(finding.facts), inside
        plan.news.append(alert)


def differs(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(new - old) > CHANGED * max(abs(old), abs(new))


def words_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without the numbers that count: they move all the time."""
    return {
        name: value
        for name, value in facts.items()
        if name in NAMING or isinstance(value, bool) or not isinstance(value, int | float)
    }


def names_of(inside: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(one["rule"], one["subject"]) for one in inside]


def fire(alert: Alert, plan: Plan, now: datetime) -> None:
    alert.state, alert.fired_at = AlertState.FIRING, now
    if alert.pk:
        plan.fired.append(alert)


def leave(
    alert: Alert, key: Key, causes: Causes, rules: Mapping[str, Rule], plan: Plan, now: datetime
) -> None:
    """An open alert that is not told of now."""
    if alert.state == AlertState.PENDING:
        plan.gone.append(alert)
    elif key not in causes.swallowed and key not in causes.unknown:
        rule = rules.get(alert.rule)
        hold = timedelta(seconds=rule.clear_hold if rule else 0)
        if now >= (alert.cleared_at or now) + hold:
            alert.state, alert.resolved_at = AlertState.RESOLVED, now
            plan.resolved.append(alert)
            return
        if alert.cleared_at is None:
            alert.cleared_at = now
            plan.clearing.append(alert)
        plan.wake(alert.cleared_at + hold)


def write(plan: Plan, still_open: Iterable[Alert], now: datetime) -> None:
    """One transaction, a few statements however many alerts; none where nothing changed."""
    ended = {id(one) for one in (*plan.gone, *plan.resolved, *plan.absorbed)}
    firing = [
        one
        for one in (*still_open, *plan.made)
        if one.state == AlertState.FIRING and one.announced_at is None and id(one) not in ended
    ]
    over = [one for one in plan.resolved if one.announced_at]
    quiet = silences.active(now) if firing or over else []
    firing = [one for one in firing if not silences.silenced(one, quiet)]
    over = [one for one in over if not silences.silenced(one, quiet)]
    if not (plan or firing):
        return
    with transaction.atomic():
        set_all(plan.absorbed, state=AlertState.RESOLVED, resolved_at=now, cleared_at=now)
        set_all(plan.resolved, state=AlertState.RESOLVED, resolved_at=now)
        if plan.gone:
            pending = Alert.objects.filter(pk__in=ids(plan.gone), state=AlertState.PENDING)
            pending.delete()
        if plan.grown:
            Alert.objects.bulk_update(plan.grown, [
                "rule", "subject", "severity", "state", "announced_at", "acknowledged_at",
                "acknowledged_by",
            ])  # fmt: skip
        if plan.news:
            Alert.objects.bulk_update(plan.news, ["value", "threshold", "facts", "inside"])
        set_all(plan.back, cleared_at=None)
        set_all(plan.clearing, cleared_at=now)
        if plan.fired:
            pending = Alert.objects.filter(pk__in=ids(plan.fired), state=AlertState.PENDING)
            pending.update(state=AlertState.FIRING, fired_at=now)
        if plan.made:
            Alert.objects.bulk_create(plan.made)
        if firing:
            set_all(firing, announced_at=now)
            for one in firing:
                one.announced_at = now
            notify.announce("firing", firing, now)
        if over:
            notify.announce("resolved", over, now)


def set_all(alerts: Sequence[Alert], **values: Any) -> None:
    """Of those that are open still."""
    if alerts:
        Alert.objects.filter(pk__in=ids(alerts), resolved_at=None).update(**values)


def ids(alerts: Sequence[Alert]) -> list[int]:
    return [one.pk for one in alerts]


# What people do, and see


def acknowledge(alert: Alert, who: str, now: datetime) -> bool:
    """Somebody cares. Again: the first one stands. False: it is over, or not an alert yet."""
    acknowledge_all(Alert.objects.filter(pk=alert.pk), who, now)
    alert.refresh_from_db()
    return alert.state == AlertState.ACKNOWLEDGED


def acknowledge_all(among: QuerySet[Alert], who: str, now: datetime) -> int:
    """Those of them that fire. Returns how many they were."""
    firing = among.filter(state=AlertState.FIRING).order_by()
    return firing.update(
        state=AlertState.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=who[:150]
    )  # fmt: skip


def open_now() -> list[Alert]:
    """Those that people should look at, the worst and newest first."""
    found = Alert.objects.filter(state__in=OPEN_TO_PEOPLE)
    return sorted(found, key=lambda one: (-notify.ORDER[one.severity], -one.pk))


def quiet_about(alerts: Sequence[Alert], active: Sequence[Silence]) -> set[int]:
    """The ids of those that a silence covers."""
    return {one.pk for one in alerts if silences.silenced(one, active)}

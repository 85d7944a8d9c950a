"""Advice: computed now and then, kept in a row, applied by people and taken back."""

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from cluster import nodes, setting
from cluster.models import Node
from cluster.strategies import STRATEGIES
from cluster.words import Words, gettext_noop, recalled, stored
from jobs import cleanup
from jobs.models import FINAL_STATES, Job
from monitoring import advice_facts, history
from monitoring.models import Change, Study
from monitoring.recommendations import Recommendation, Refusal, recommend

DAYS = 7.0
EVERY = timedelta(hours=1)
MOST, SECONDS = 3_000, 60.0  # jobs and time of a study by the monitor
SHORT_MOST, SHORT_SECONDS = 1_500, 15.0  # … of one that somebody waits for
CLEANING_SECONDS = 10.0  # in one request; what is left is advised again
SHOWN_CHANGES = 20


class Refused(Exception):
    """It cannot be applied, or taken back: why."""


def study(now: datetime, days: float = DAYS, most: int = MOST, seconds: float = SECONDS) -> Study:
    """Compute the advice from the last days' jobs and keep it."""
    started = time.monotonic()
    found = history.read(now, days, most)
    facts = advice_facts.gather(found, now, seconds)
    said = recommend(facts)
    body = {
        "window": {
            "since": found.since.isoformat(),
            "until": found.until.isoformat(),
            "days": days,
            "cut": found.cut,
            "jobs": len(found.ran),
            "studied": facts.jobs,
            "away": found.away,
            "overheads": asdict(found.overheads),
            "resamples": min((one.resamples for one in facts.strategies), default=0),
        },
        "recommendations": [asdict(one) for one in said if isinstance(one, Recommendation)],
        "refusals": [asdict(one) for one in said if isinstance(one, Refusal)],
    }
    took = time.monotonic() - started
    kept, _made = Study.objects.update_or_create(
        pk=1, defaults={"at": now, "seconds": took, "body": body}
    )
    return kept


def duty(now: datetime) -> bool:
    """For the monitor: a new study where the last one is old. True if it made one."""
    last = latest()
    if last and (now - last.at < EVERY or not news(last, now)):
        return False
    study(now)
    return True


def news(last: Study, now: datetime) -> bool:
    """Something ended since, or waits."""
    ended = Job.objects.filter(state__in=FINAL_STATES, finished_at__gt=last.at)
    return ended.exists() or Job.objects.ready(now).order_by().exists()


def latest() -> Study | None:
    return Study.objects.filter(pk=1).first()


def applied(last: Study) -> set[str]:
    """Ids of this study that somebody has applied since."""
    rows = Change.objects.filter(at__gte=last.at, undone_at=None)
    return {facts.get("id", "") for facts in rows.values_list("facts", flat=True)}


def apply(id: str, user: Any, now: datetime) -> Change:
    """Do what was recommended, and write down how it was before."""
    with transaction.atomic():
        last = Study.objects.select_for_update().filter(pk=1).first()
        found = next(
            (one for one in last.body["recommendations"] if one["id"] == id) if last else iter(()),
            None,
        )
        if last is None or found is None:
            raise Refused(_("There is no such recommendation any more: look again."))
        if found["change"] is None:
            raise Refused(_("This is for people to do: it cannot be applied from here."))
        if id in applied(last):
            raise Refused(_("It is applied already."))
        [[what, value]] = found["change"].items()
        before, after = APPLY[what](value, user.get_username(), now)
        return Change.objects.create(
            kind=found["kind"], facts=found, before=before, after=after, at=now, by=user
        )


def undo(pk: int, user: Any, now: datetime) -> Change:
    """As it was before, unless somebody changed it since."""
    with transaction.atomic():
        change = Change.objects.select_for_update().filter(pk=pk).first()
        if change is None:
            raise Change.DoesNotExist
        if change.undone_at:
            raise Refused(_("It is taken back already."))
        if not change.facts.get("undoable", True):
            raise Refused(_("What was deleted cannot be brought back."))
        if now_of(change.after) != change.after:
            raise Refused(_("Somebody has changed it since: it is left as it is."))
        restore(change.before, user.get_username(), now)
        change.undone_at, change.undone_by = now, user.get_username()[:150]
        change.save(update_fields=["undone_at", "undone_by"])
    return change


Done = tuple[dict[str, Any], dict[str, Any]]  # before, after


def choose_strategy(name: str, who: str, now: datetime) -> Done:
    before = {"strategy": setting.read("strategy")}
    if name not in STRATEGIES or before["strategy"] == name:
        raise Refused(_("It is so already."))
    setting.choose("strategy", name, who, now)
    return before, {"strategy": name}


def drain(name: str, who: str, now: datetime) -> Done:
    node = locked(name)
    if node.draining:
        raise Refused(_("It is so already."))
    before = drained_of(node)
    nodes.drain(Node.objects.filter(pk=node.pk), Words(gettext_noop("not needed, by advice")))
    return before, drained_of(locked(name))


def resume(name: str, who: str, now: datetime) -> Done:
    node = locked(name)
    if not node.draining:
        raise Refused(_("It is so already."))
    before = drained_of(node)
    nodes.resume(Node.objects.filter(pk=node.pk))
    return before, drained_of(locked(name))


def clean_up(days: float, who: str, now: datetime) -> Done:
    """Old jobs, as many as can go while somebody waits."""
    old = Job.objects.filter(state__in=FINAL_STATES, finished_at__lt=now - timedelta(days=days))
    deadline, gone = time.monotonic() + CLEANING_SECONDS, 0
    for count in cleanup.delete(old):
        gone += count
        if time.monotonic() > deadline:
            break
    return {"days": days}, {"jobs": gone}


def locked(name: str) -> Node:
    node = Node.objects.select_for_update().filter(name=name, removed_at=None).first()
    if node is None:
        raise Refused(_("There is no node %(name)s any more.") % {"name": name})
    return node


def drained_of(node: Node) -> dict[str, Any]:
    return {"node": node.pk, "draining": node.draining, "drain_reason": stored(node.drain_reason)}


def now_of(after: dict[str, Any]) -> dict[str, Any]:
    """The same things as they are now."""
    if "strategy" in after:
        return {"strategy": setting.read("strategy")}
    node = Node.objects.select_for_update().filter(pk=after.get("node", 0), removed_at=None).first()
    return drained_of(node) if node else {}


def restore(before: dict[str, Any], who: str, now: datetime) -> None:
    if "strategy" in before:
        setting.choose("strategy", before["strategy"], who, now)
        return
    rows = Node.objects.filter(pk=before["node"])
    if before["draining"]:
        nodes.drain(rows, recalled(before["drain_reason"]))
    else:
        nodes.resume(rows)


APPLY: dict[str, Callable[[Any, str, datetime], Done]] = {
    "strategy": choose_strategy,
    "drain": drain,
    "resume": resume,
    "clean_up": clean_up,
}


def changes() -> list[Change]:
    return list(Change.objects.select_related("by")[:SHOWN_CHANGES])

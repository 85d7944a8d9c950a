"""Times in which nothing is sent: about some alerts, or in maintenance about all."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from cluster.nodes import Refused
from monitoring.models import Alert, Silence
from monitoring.rules import RULES

LONGEST = timedelta(days=365)
MAINTENANCE = timedelta(hours=2)


def active(now: datetime) -> list[Silence]:
    return list(Silence.objects.filter(ends_at__gt=now))


def silenced(alert: Alert, silences: Sequence[Silence]) -> bool:
    """What tells of many is covered, too, where each one that it tells of is."""
    if any(covers(one, alert.rule, alert.subject) for one in silences):
        return True
    many = told_together(alert)
    return bool(many) and all(any(covers(one, *key) for one in silences) for key in many)


def told_together(alert: Alert) -> list[tuple[str, str]]:
    """The rule and the subject of each, were it told by itself."""
    if alert.rule == "nodes_down":
        return [("node_down", str(name)) for name in several(alert, "away")]
    if alert.rule == "schedule_failing":
        return [(alert.rule, f"schedule {pk}") for pk in several(alert, "schedules")]
    return []


def several(alert: Alert, name: str) -> list[Any]:
    found = alert.facts.get(name)
    return found if isinstance(found, list) else []


def covers(silence: Silence, rule: str, subject: str) -> bool:
    return silence.rule in ("", rule) and silence.subject in ("", subject)


def is_maintenance(silence: Silence) -> bool:
    return not (silence.rule or silence.subject)


def maintenance(now: datetime) -> Silence | None:
    """The one that lasts longest."""
    whole = Silence.objects.filter(rule="", subject="", ends_at__gt=now)
    return whole.order_by("-ends_at").first()


def add(
    rule: str, subject: str, comment: str, ends_at: datetime, who: str, now: datetime
) -> Silence:  # fmt: skip
    if rule and rule not in RULES:
        message = _("There is no rule %(rule)s. Known rules: %(known)s.")
        raise Refused(message % {"rule": rule, "known": ", ".join(RULES)}, "rule")
    if not (rule or subject):
        raise Refused(
            _("Name a rule or a subject; for silence about everything switch maintenance on."),
            "rule",
        )
    return Silence.objects.create(
        rule=rule, subject=subject, comment=comment, ends_at=checked_end(ends_at, now),
        created_at=now, created_by=who[:150],
    )  # fmt: skip


def checked_end(ends_at: datetime, now: datetime) -> datetime:
    if ends_at <= now:
        raise Refused(_("Its end is over already: give a moment in the future."), "ends_at")
    if ends_at - now > LONGEST:
        raise Refused(_("A year at most."), "ends_at")
    return ends_at


def change(silence: Silence, comment: str | None, ends_at: datetime | None, now: datetime) -> None:
    if silence.ends_at <= now:
        raise Refused(_("It has ended already; make a new one."))
    if comment is not None:
        silence.comment = comment
    if ends_at is not None:
        silence.ends_at = checked_end(ends_at, now)
    silence.save(update_fields=["comment", "ends_at"])


def end(silence: Silence, now: datetime) -> None:
    """Over from now on; it stays as history. Ended already: nothing changes."""
    end_all(Silence.objects.filter(pk=silence.pk), now)


def end_all(among: QuerySet[Silence], now: datetime) -> int:
    """Those of them that last. Returns how many they were."""
    return among.filter(ends_at__gt=now).order_by().update(ends_at=now)


def start_maintenance(comment: str, ends_at: datetime, who: str, now: datetime) -> Silence:
    """On, until then. On already: with the new end."""
    ends_at = checked_end(ends_at, now)
    on = maintenance(now)
    if on is None:
        return Silence.objects.create(
            comment=comment, ends_at=ends_at, created_at=now, created_by=who[:150]
        )
    on.comment, on.ends_at = comment or on.comment, ends_at
    on.save(update_fields=["comment", "ends_at"])
    return on


def stop_maintenance(now: datetime) -> int:
    """Off. How many it ended: 0 where it was off."""
    return Silence.objects.filter(rule="", subject="", ends_at__gt=now).update(ends_at=now)

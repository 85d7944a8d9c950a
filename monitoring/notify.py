"""Notices: what is told to whom, written as rows with the alerts' own change. postman.py sends."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cluster.models import Node
from jobs.terminal import plain
from monitoring import alert_words
from monitoring.models import Alert, Channel, Delivery, Severity

ORDER = {Severity.INFO.value: 0, Severity.WARNING.value: 1, Severity.CRITICAL.value: 2}
SEVERITIES = {
    "info": gettext_lazy("Information"),
    "warning": gettext_lazy("Warning"),
    "critical": gettext_lazy("Critical"),
}
MOST_LISTED = 20
MOST_INSIDE = 5
LONGEST_TITLE, LONGEST_BODY = 200, 3800  # what the narrowest of the usual services takes


def announce(kind: str, alerts: Sequence[Alert], now: datetime) -> int:
    """One notice to each channel that these alerts concern; how many. In the caller's transaction.

    That they are over is told to those alone who were told that they fire.
    """
    channels = list(Channel.objects.filter(enabled=True)) if alerts else []
    if not channels:
        return 0
    if kind == Delivery.Kind.RESOLVED:
        chosen = {one.pk: list[Alert]() for one in channels}
        for channel, alert in told(alerts):
            if channel in chosen:
                chosen[channel] += [one for one in alerts if one.pk == alert]
    else:
        tags = tags_of(alerts) if any(one.tags for one in channels) else {}
        chosen = {
            channel.pk: [one for one in alerts if concerns(channel, one, tags)]
            for channel in channels
        }
    pairs = [(channel, chosen[channel.pk]) for channel in channels if chosen[channel.pk]]
    with translation.override(settings.LANGUAGE_CODE):
        made = [
            Delivery(
                channel=channel, kind=kind, title=title(kind, about), body=body(about),
                created_at=now, due_at=now,
            )
            for channel, about in pairs
        ]  # fmt: skip
    Delivery.objects.bulk_create(made)
    links = Delivery.alerts.through
    links.objects.bulk_create(
        links(delivery=row, alert=alert)
        for row, (_channel, about) in zip(made, pairs, strict=True)
        for alert in about
    )
    return len(made)


def told(alerts: Sequence[Alert]) -> set[tuple[int, int]]:
    """(channel, alert): who was told that it fires."""
    links = Delivery.alerts.through.objects.filter(
        alert__in=[one.pk for one in alerts], delivery__kind=Delivery.Kind.FIRING
    )
    return set(links.values_list("delivery__channel_id", "alert_id"))


def concerns(channel: Channel, alert: Alert, tags: dict[str, set[str]]) -> bool:
    if ORDER[alert.severity] < ORDER[channel.least]:
        return False
    if not channel.tags:
        return True
    return any(tags.get(name, set()).intersection(channel.tags) for name in nodes_of(alert))


def nodes_of(alert: Alert) -> Collection[str]:
    """The names of the nodes that it is about, those inside it too."""
    named = {alert.subject, *(str(one.get("subject", "")) for one in alert.inside)}
    listed = alert.facts.get("nodes")
    named |= {str(name) for name in listed} if isinstance(listed, list) else set()
    return named - {""}


def tags_of(alerts: Sequence[Alert]) -> dict[str, set[str]]:
    """Node name -> its tags, those of itself and those that people gave it."""
    names = {name for alert in alerts for name in nodes_of(alert)}
    rows = Node.objects.filter(name__in=names).values_list("name", "tags", "auto_tags")
    return {name: {*tags, *auto_tags} for name, tags, auto_tags in rows}


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda one: (-ORDER[one.severity], one.started_at, one.pk))


def title(kind: str, alerts: Sequence[Alert]) -> str:
    """The worst one in a sentence, and how many more there are."""
    worst = worst_first(alerts)[0]
    words = _("Over") if kind == Delivery.Kind.RESOLVED else str(SEVERITIES[worst.severity])
    said = " ".join(alert_words.summary(worst).split())
    said = said if len(said) <= LONGEST_TITLE else f"{said[: LONGEST_TITLE - 1]}…"
    more = len(alerts) - 1
    if more:
        said += ngettext(" (and %d more)", " (and %d more)", more) % more
    return f"{words}: {said}"


def body(alerts: Sequence[Alert]) -> str:
    """Each with what is, what to do, and where to look; the worst first."""
    rows = worst_first(alerts)
    parts, length = list[str](), 0
    for place, alert in enumerate(rows[:MOST_LISTED]):
        part = told_of(alert)
        if place and length + len(part) > LONGEST_BODY:
            break
        parts.append(part[:LONGEST_BODY])
        length += len(part)
    left = len(rows) - len(parts)
    if left:
        parts.append(ngettext("%d more is not listed.", "%d more are not listed.", left) % left)
        parts.append(link(reverse("alerts")))
    return "\n\n".join(filter(None, parts))


def told_of(alert: Alert) -> str:
    lines = [f"{SEVERITIES[alert.severity]}: {alert_words.summary(alert)}"]
    if alert.resolved_at is None:
        lines += [f"- {one}" for one in alert_words.inside(alert)[:MOST_INSIDE]]
        lines.append(alert_words.advice(alert))
    lines.append(link(reverse("alert", args=[alert.pk])))
    return "\n".join(plain(line) for line in lines if line)


def link(path: str) -> str:
    """Whole, where DISPYCLUSTER_URL says how people reach us; else nothing."""
    return f"{settings.DISPYCLUSTER_URL}{path}" if settings.DISPYCLUSTER_URL else ""


def test(channel: Channel, now: datetime) -> Delivery:
    """A notice that says that notices arrive."""
    with translation.override(settings.LANGUAGE_CODE):
        return Delivery.objects.create(
            channel=channel, kind=Delivery.Kind.TEST, created_at=now, due_at=now,
            title=_("Test of the channel “%s”") % channel.name,
            body="\n".join(filter(None, [
                _("Notices of DispyCluster arrive here."), link(reverse("dashboard")),
            ])),
        )  # fmt: skip

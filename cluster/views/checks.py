"""How a node's health is told on its page: one line for each thing that is watched."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cluster import condition, nodes
from cluster.views.cards import GIGABYTE, Card
from cluster.wording import said
from jobs.amounts import size
from jobs.templatetags.show import duration

GOOD, WARNING, BAD, UNKNOWN = "good", "warning", "bad", "unknown"
SLOW_MS = 250
SKEW_SECONDS = 5
WARM, HOT = 75, 82  # degrees Celsius: a Raspberry Pi slows down from 80 on

NOW = {
    "under_voltage": gettext_lazy(
        "under-voltage now: use a better power supply and a short, thick cable"
    ),
    "frequency_capped": gettext_lazy("its clock is capped now"),
    "throttled": gettext_lazy("it is slowed down now, for heat or for lack of power"),
    "soft_temperature_limit": gettext_lazy("it is near its heat limit now: give it air, or a fan"),
}
BEFORE = {
    "under_voltage": gettext_lazy("under-voltage"),
    "frequency_capped": gettext_lazy("a capped clock"),
    "throttled": gettext_lazy("slowed down"),
    "soft_temperature_limit": gettext_lazy("near its heat limit"),
}


@dataclass(frozen=True)
class Check:
    title: str
    level: str
    words: str
    at: datetime | None = None


def checks(card: Card) -> list[Check]:
    node = card.node
    found = [heartbeat(card), canary(card)]
    if node.online:
        found += [round_trip(card), clock(card), *power(card), temperature(card), disk(card)]
        found.append(agent(card))
    return found


def heartbeat(card: Card) -> Check:
    node, title = card.node, _("Heartbeat")
    if node.last_seen_at is None:
        return Check(title, UNKNOWN, _("it was never heard"))
    if not node.online:
        return Check(title, BAD, _("it does not answer"), node.last_seen_at)
    silent = card.now - node.last_seen_at
    if silent > nodes.SILENT:
        words = _("nothing was heard for %s") % duration(silent.total_seconds())
        return Check(title, WARNING, words, node.last_seen_at)
    return Check(title, GOOD, _("it is heard"), node.last_seen_at)


def canary(card: Card) -> Check:
    node, title = card.node, _("Test job")
    if node.canary_at is None:
        return Check(title, UNKNOWN, _("none has run yet; idle nodes get one every two minutes"))
    if node.canary_error:
        return Check(title, BAD, said(node.canary_error), node.canary_at)
    if node.dispatch_ms is None:
        return Check(title, GOOD, _("it ran"), node.canary_at)
    words = _("it ran; sending and answering took %s beyond the work")
    return Check(title, GOOD, words % milliseconds(node.dispatch_ms), node.canary_at)


def round_trip(card: Card) -> Check:
    title, took = _("Round trip"), condition.number(card.node.reading, "round_trip_ms")
    if took is None:
        return Check(title, UNKNOWN, _("not measured yet"))
    level = GOOD if took < SLOW_MS else WARNING
    words = _("%s over the network") % milliseconds(took)
    if level == WARNING:
        words = _("%s over the network: slow") % milliseconds(took)
    return Check(title, level, words, card.node.last_seen_at)


def clock(card: Card) -> Check:
    title, skew = _("Clock"), condition.number(card.node.reading, "clock_skew_seconds")
    if skew is None:
        return Check(title, UNKNOWN, _("not compared yet"))
    length = duration(abs(skew))
    if abs(skew) < SKEW_SECONDS:
        return Check(title, GOOD, _("%s apart from ours") % length, card.node.last_seen_at)
    words = _("%s ahead of ours: let the machine set its clock by the network (NTP)")
    if skew < 0:
        words = _("%s behind ours: let the machine set its clock by the network (NTP)")
    return Check(title, WARNING, words % length, card.node.last_seen_at)


def power(card: Card) -> Iterator[Check]:
    """Only of machines that tell: Raspberry Pis do."""
    title, at = _("Power"), card.node.last_seen_at
    now = condition.throttled(card.node.reading)
    before = condition.throttled(card.node.reading, "throttled_since_boot") or []
    if now:
        yield Check(title, BAD, "; ".join(str(NOW[word]) for word in now), at)
    elif before:
        words = ", ".join(str(BEFORE[word]) for word in before)
        yield Check(title, WARNING, _("good now; since it was started: %s") % words, at)
    elif now is not None:
        yield Check(title, GOOD, _("neither slowed down nor short of voltage"), at)


def temperature(card: Card) -> Check:
    title, degrees = _("Temperature"), card.temperature
    if degrees is None:
        return Check(title, UNKNOWN, _("it has no sensor that we can read"))
    level = GOOD if degrees < WARM else WARNING if degrees < HOT else BAD
    words = f"{degrees:.0f} °C"
    if level != GOOD:
        words = _("%s: give it air, or a fan") % words
    return Check(title, level, words, card.node.last_seen_at)


def disk(card: Card) -> Check:
    title, at = _("Disk"), card.node.last_seen_at
    if condition.flag(card.node.reading, "scratch_read_only"):
        words = _("read-only: jobs cannot write. Often a worn-out SD card; replace it")
        return Check(title, BAD, words, at)
    free = card.node.disk_free
    if free is None:
        return Check(title, UNKNOWN, "")
    level = GOOD if free >= GIGABYTE else WARNING
    return Check(title, level, _("%s free") % size(free), at)


def agent(card: Card) -> Check:
    if card.node.patched:
        return Check(_("Agent"), GOOD, _("ours, with the fixes"))
    words = _("a stock dispynode: functions with shared isolation do not go there")
    return Check(_("Agent"), WARNING, words)


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"

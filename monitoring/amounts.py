"""Numbers as a sentence has them: three digits, and a unit that a person would choose."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from jobs.amounts import UNKNOWN, size

WORDS = {
    "nodes": ngettext_lazy("node", "nodes", "n"),
    "attempts": ngettext_lazy("attempt", "attempts", "n"),
    "jobs": ngettext_lazy("job", "jobs", "n"),
    "days": ngettext_lazy("day", "days", "n"),
    "notices": ngettext_lazy("notice", "notices", "n"),
    "runs": ngettext_lazy("run", "runs", "n"),
    "slots": ngettext_lazy("slot", "slots", "n"),
}


def number(value: float | None) -> str:
    """12 345, 7.25, 0.031."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.3g}"


def length(seconds: float) -> str:
    """A length of time in two units at most."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s" if whole >= 10 or seconds == whole else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole < 600 else f"{whole // 60} min"
    if whole < 172800:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    days = _("d")
    return f"{whole // 86400} {days} {whole % 86400 // 3600} h"


def amount(value: float | None, unit: str) -> str:
    """A rule's value or threshold with its unit."""
    if value is None:
        return UNKNOWN
    if unit == "s":
        return length(value)
    if unit == "GB":
        return size(value * 1e9)
    return f"{number(value)} {named(unit, value)}".strip()


def named(unit: str, value: float = 2) -> str:
    """The units that are words, in the reader's language; one of them, or several."""
    return str(WORDS[unit] % {"n": one_or_more(value)}) if unit in WORDS else unit


def one_or_more(value: float) -> int:
    """By what is read: 1.001 is shown as 1."""
    return 1 if number(value) == "1" else 2

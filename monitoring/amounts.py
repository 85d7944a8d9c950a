"""Numbers as a sentence has them: three digits, and a unit that a person would choose."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from jobs.amounts import UNKNOWN, size

WORDS = {
    gettext_noop("nodes"), gettext_noop("attempts"), gettext_noop("jobs"), gettext_noop("days"),
    gettext_noop("notices"), gettext_noop("runs"),
}  # fmt: skip


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
    return f"{whole // 86400} {_('d')} {whole % 86400 // 3600} h"


def amount(value: float | None, unit: str) -> str:
    """A rule's value or threshold with its unit."""
    if value is None:
        return UNKNOWN
    if unit == "s":
        return length(value)
    if unit == "GB":
        return size(value * 1e9)
    return f"{number(value)} {named(unit)}".strip()


def named(unit: str) -> str:
    """The units that are words, in the reader's language."""
    return _(unit) if unit in WORDS else unit

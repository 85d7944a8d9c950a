"""What stands in a URL's query, read in one way everywhere. docs/export.md tells it."""

import re
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware
from django.utils.translation import gettext as _

MOMENT = (
    "a day (2026-11-24), a moment (2026-11-24T10:00:00Z; without a zone: the server's), or seconds "
    "since 1970"
)
YEARS = range(1970, 9001)
SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
DAY = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)


class BadParameter(ValueError):
    """A parameter that makes no sense; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def key(text: str) -> int | None:
    """A whole number that any database takes for a row's; None: it is none."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def moment(field: str, text: str, ends: bool = False) -> datetime:
    """A moment as people and programs write it. `ends`: a day is meant to its end."""
    text = text.strip()
    try:
        found = read(text)
        if ends and DAY.fullmatch(text):
            found += timedelta(days=1)
        found = make_aware(found) if is_naive(found) else found
    except (ValueError, OverflowError, OSError):
        found = None
    if found is None or found.year not in YEARS:
        message = _(
            "A day like 2026-11-24, a moment like 2026-11-24T10:00:00Z, or seconds since 1970, "
            "not %(text)s."
        )
        raise BadParameter(field, message % {"text": text[:100]})
    return found


def read(text: str) -> datetime:
    """Raises ValueError. In a URL + is a space: the one before a zone may have been a +."""
    if SECONDS.fullmatch(text) and not DAY.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    for one in (text, "+".join(text.rsplit(" ", 1))):
        if found := parse(one):
            return found
    raise ValueError(text)


def parse(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None

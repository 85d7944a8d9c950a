"""When a schedule is due, daylight saving included. Pure. docs/schedules.md tells the rules."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from cluster.words import Words, gettext_noop

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
SHORTEST, LONGEST = 10, 366 * 86400  # every_seconds
MOST_TEXT = 200  # characters of a cron text
SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
PARTS = {
    "Bad minute": gettext_noop("The minute, %(part)s: give 0 to 59, *, 0,30, 10-20 or */15."),
    "Bad hour": gettext_noop("The hour, %(part)s: give 0 to 23, *, 8,20, 9-17 or */6."),
    "Bad day-of-month": gettext_noop(
        "The day of the month, %(part)s: give 1 to 31, *, 1,15, 1-7, L (the last) or LW, "
        "and one that its months have."
    ),
    "Bad month": gettext_noop("The month, %(part)s: give 1 to 12, JAN to DEC, * or 3-5."),
    "Bad day-of-week": gettext_noop(
        "The day of the week, %(part)s: give 0 to 7 (0 and 7 are Sunday), SUN to SAT, *, 1-5, "
        "MON#1 (the first) or 5L (the last Friday)."
    ),
}


class BadTime(ValueError):
    """Cannot be read; `words` says what to do."""

    def __init__(self, words: Words) -> None:
        super().__init__(words)
        self.words = words


@dataclass(frozen=True)
class Rule:
    """Either a cron text or a number of seconds, within start and end."""

    zone: str
    cron: str = ""
    every_seconds: int | None = None
    anchor: datetime | None = None  # every_seconds count from here
    start_at: datetime | None = None
    end_at: datetime | None = None


def next_time(rule: Rule, after: datetime) -> datetime | None:
    """The first time later than `after`; None if there is none any more."""
    return next(times(rule, after), None)


def next_times(rule: Rule, after: datetime, count: int = 5) -> list[datetime]:
    return list(islice(times(rule, after), count))


def times(rule: Rule, after: datetime) -> Iterator[datetime]:
    """All times later than `after`, in order, in UTC."""
    if rule.start_at and after < rule.start_at:
        after = rule.start_at - SECOND  # the start itself counts
        if after.microsecond:
            after += SECOND - timedelta(microseconds=after.microsecond)
    found = steps(rule, after) if rule.every_seconds else ticks(rule.cron, rule.zone, after)
    for at in found:
        if rule.end_at and at > rule.end_at:
            return
        yield at


def last_times(rule: Rule, first: datetime, until: datetime, count: int) -> list[datetime]:
    """The last `count` times from `first` to `until`, both included, without going through all."""
    if rule.every_seconds:
        behind = max(first, until - timedelta(seconds=rule.every_seconds * count))
        return between(rule, behind, until, count)
    span = timedelta(hours=1)
    while until - span > first:
        if len(found := between(rule, until - span, until, count)) == count:
            return found
        span *= 4
    return between(rule, first, until, count)


def between(rule: Rule, first: datetime, until: datetime, count: int) -> list[datetime]:
    found: deque[datetime] = deque(maxlen=count)
    for at in times(rule, first - timedelta(microseconds=1)):
        if at > until:
            break
        found.append(at)
    return list(found)


def steps(rule: Rule, after: datetime) -> Iterator[datetime]:
    """Every so many seconds, as a stop watch counts them."""
    assert rule.anchor and rule.every_seconds
    step = timedelta(seconds=rule.every_seconds)
    at = rule.anchor.astimezone(UTC)
    if at <= after:
        at += ((after - at) // step + 1) * step
    while True:
        yield at
        at += step


def ticks(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times of a cron text by the clock on the wall of its zone."""
    text, wall = spelled_out(cron), ZoneInfo(zone)
    minute, hour = text.split()[:2]
    by_clock = minute.startswith("*") or hour.startswith("*")
    step = whenever_it_reads if by_clock else once_a_reading
    at: datetime | None = after.astimezone(UTC)
    while at and (at := step(text, wall, at)):
        yield at


def once_a_reading(text: str, wall: ZoneInfo, after: datetime) -> datetime | None:
    """Fixed minutes and hours: once for each date, whatever the clock does.

    A reading that the clock leaves out counts as the first minute after the gap; one that it
    shows twice counts when it shows it first.
    """
    readings = CronSim(text, after.astimezone(wall).replace(tzinfo=None))
    for reading in readings:
        while imaginary(reading, wall):
            reading += MINUTE
        at = reading.replace(tzinfo=wall).astimezone(UTC)
        if at > after:
            return at
    return None


def imaginary(reading: datetime, wall: ZoneInfo) -> bool:
    there_and_back = reading.replace(tzinfo=wall).astimezone(UTC).astimezone(wall)
    return there_and_back.replace(tzinfo=None) != reading


def whenever_it_reads(text: str, wall: ZoneInfo, after: datetime) -> datetime | None:
    """Each minute or hour that matches: in the hour that comes twice, twice."""
    start = after.replace(microsecond=0) + SECOND
    while True:
        # While the offset stays the same, the wall's clock is an ordinary one.
        offset = start.astimezone(wall).utcoffset() or timedelta()
        reading = (start + offset).replace(tzinfo=None) - SECOND
        found = next(CronSim(text, reading), None)
        if found is None:
            return None
        at = (found - offset).replace(tzinfo=UTC)
        if turned := turn_of_the_clock(wall, start, min(at, start + DAY)):
            start = turned
        elif at <= start + DAY:
            return at
        else:
            start = max(start + DAY, at - DAY)


def turn_of_the_clock(wall: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first moment with another offset, where the one at `end` differs."""
    before = start.astimezone(wall).utcoffset()
    if end.astimezone(wall).utcoffset() == before:
        return None
    while end - start > SECOND:
        middle = start + (end - start) // 2
        if middle.astimezone(wall).utcoffset() == before:
            start = middle
        else:
            end = middle
    return end.replace(microsecond=0)


def spelled_out(cron: str) -> str:
    return SHORT.get(cron.strip().lower(), cron)


def check_cron(cron: str) -> None:
    """Raises BadTime, in words."""
    text = spelled_out(cron)
    parts = text.split()
    if cron.strip().startswith("@") and text == cron:
        known = ", ".join(name for name in SHORT)
        raise BadTime(Words(gettext_noop("There is %(known)s."), known=known))
    if len(parts) != 5 or len(text) > MOST_TEXT:
        words = gettext_noop(
            "Give five parts with spaces between them: minute, hour, day of the month, month, "
            "day of the week; here are %(count)s. 0 6 * * 1-5 is six o'clock on working days."
        )
        raise BadTime(Words(words, count=len(parts)))
    try:
        found = next(CronSim(text, datetime(2000, 1, 1)), None)
    except CronSimError as error:
        names = list(PARTS)
        at = names.index(str(error)) if str(error) in PARTS else 0
        raise BadTime(Words(PARTS[names[at]], part=parts[at])) from None
    except (ValueError, TypeError, AssertionError, IndexError):
        raise BadTime(Words(gettext_noop("%(given)s cannot be read."), given=text)) from None
    if found is None:
        raise BadTime(Words(gettext_noop("%(given)s never comes: no such date."), given=text))

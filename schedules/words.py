"""A schedule in words, translated."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cluster.wording import said
from schedules.models import Run, Schedule


def rhythm(schedule: Schedule) -> str:
    """Its rule in one line: 0 6 * * 1-5, or every 90 seconds."""
    if schedule.cron:
        return schedule.cron
    return every(schedule.every_seconds or 0)


def every(seconds: int) -> str:
    if seconds % 86400 == 0:
        n = seconds // 86400
        return ngettext("every day", "every %(n)s days", n) % {"n": n}
    if seconds % 3600 == 0:
        n = seconds // 3600
        return ngettext("every hour", "every %(n)s hours", n) % {"n": n}
    if seconds % 60 == 0:
        n = seconds // 60
        return ngettext("every minute", "every %(n)s minutes", n) % {"n": n}
    return ngettext("every second", "every %(n)s seconds", seconds) % {"n": seconds}


def wall_clock(at: datetime, zone: str) -> str:
    """A moment by the clock of the schedule's own zone, with the distance to UTC."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S %Z}"


def what_became(run: Run) -> str:
    """One sentence about a time that did not start anything, or was asked for."""
    if run.outcome == Run.Outcome.MISSED:
        return _("left out: nobody was there at the time")
    if run.outcome == Run.Outcome.OVERLAP:
        return _("left out: %(work)s was still open") % {"work": said(run.reason)}
    if run.outcome == Run.Outcome.REFUSED:
        return _("not started: %(why)s") % {"why": said(run.reason)}
    if run.who:
        return _("asked for by %(who)s") % {"who": run.who}
    return ""

"""Dispatcher and monitor: do they live, and were they started as we would start them?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _

from cluster.wording import said
from dispycluster.doctor.finding import BAD, OK, WARN, Finding

SECRET = ("SECRET_KEY", "DISPY_SECRET", "DATABASE_URL")  # values that are not repeated


@dataclass(frozen=True)
class Beat:
    """A lease, as its row says."""

    holder: str  # host:pid:start
    renewed_at: datetime
    expires_at: datetime
    note: str = ""


def heartbeat(name: str, beat: Beat | None, now: datetime) -> Iterator[Finding]:
    start = _("Start everything with python3 run.py, or it alone with manage.py %s.") % name
    if beat is None:
        yield Finding("processes", WARN, _("the %s has never run") % _(name), start)
        return
    who = ":".join(beat.holder.split(":")[:2])
    seconds = max(0, round((now - beat.renewed_at).total_seconds()))
    if beat.expires_at <= now:
        words = _("the %(name)s is not running; last heard of %(n)d s ago, as %(who)s") % {
            "name": _(name), "n": seconds, "who": who,
        }  # fmt: skip
        yield Finding("processes", BAD, words, start)
        return
    words = _("the %(name)s runs as %(who)s, heard of %(n)d s ago") % {
        "name": _(name), "n": seconds, "who": who,
    }  # fmt: skip
    yield Finding("processes", OK, words)
    if beat.note:
        yield Finding("processes", WARN, f"{name}: {said(beat.note)}", _("Remove what it names."))


def differences(
    name: str, theirs: Mapping[str, str], ours: Mapping[str, str], known: set[str]
) -> Iterator[Finding]:
    """Settings with which it was started and that we do not have, or have otherwise."""
    other = sorted(key for key in known if theirs.get(key, "") != ours.get(key, ""))
    if not other:
        return
    shown = ", ".join(
        key if key in SECRET else f"{key}={theirs[key]}" if key in theirs else _("%s not set") % key
        for key in other
    )
    words = _("the %(name)s was started with other settings than this doctor: %(shown)s") % {
        "name": _(name), "shown": shown,
    }  # fmt: skip
    advice = _("Run the doctor with the same environment, or restart the process with this one.")
    yield Finding("processes", WARN, words, advice)


def environment_of(pid: int) -> dict[str, str]:
    """With which a process was started; empty where we may not know."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(part.partition("=")[::2] for part in text.split("\0") if "=" in part)

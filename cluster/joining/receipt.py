"""The pre-flight receipt of a node on its way in: what was checked, and how it came out. Pure."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cluster.wording import said

GOOD, WARNING, BAD, WAITING = "good", "warning", "bad", "waiting"
SKEW_SECONDS = 5
LITTLE_DISK = 10**9
OLDEST_PYTHON = (3, 11)

Facts = Mapping[str, Any]  # of one check, as the node or we noted them: ok, at, value …


@dataclass(frozen=True)
class Standing:
    """What the node itself cannot say."""

    dispatcher_up: bool
    place: str  # where nodes reach the dispatcher: address:port
    port: int  # the nodes' own
    packages: Mapping[str, str]  # name -> version, ours
    python: str  # ours
    node: str = ""  # its name, once it is listed
    online: bool = False
    trouble: str = ""
    job: int | None = None  # the test job
    job_state: str = ""
    job_error: str = ""


@dataclass(frozen=True)
class Check:
    name: str
    title: str
    level: str = WAITING
    words: str = ""
    at: datetime | None = None

    @property
    def ok(self) -> bool | None:
        """None: it is not known yet."""
        return None if self.level == WAITING else self.level != BAD


Finding = tuple[str, str]  # level, words


def reached(facts: Facts, s: Standing) -> Finding:
    return GOOD, _("the script was fetched by %s") % facts.get("value", "–")


def python(facts: Facts, s: Standing) -> Finding:
    found = str(facts.get("value", ""))
    if not facts["ok"] or version_of(found) < OLDEST_PYTHON:
        words = _("it has no Python 3.11 or newer with venv: %s") % (found or "–")
        return BAD, words
    if version_of(found) != version_of(s.python):
        return WARNING, _("%(there)s there, %(here)s here: functions run under theirs") % {
            "there": found, "here": s.python,
        }  # fmt: skip
    return GOOD, found


def disk(facts: Facts, s: Standing) -> Finding:
    free = number(facts.get("value"))
    if free is None:
        return BAD, _("it could not be told how much is free")
    words = _("%.1f GB free") % (free / 1e9)
    if not facts["ok"]:
        return BAD, _("%s: too little") % words
    return (GOOD, words) if free >= LITTLE_DISK else (WARNING, _("%s: that is little") % words)


def clock(facts: Facts, s: Standing) -> Finding:
    skew = number(facts.get("skew"))
    if skew is None:
        return BAD, _("it gave no time")
    off = abs(round(skew))
    if off <= SKEW_SECONDS:
        return GOOD, _("agrees with ours within %d s") % SKEW_SECONDS
    words = ngettext("%(n)d s ahead of ours", "%(n)d s ahead of ours", off)
    if skew < 0:
        words = ngettext("%(n)d s behind ours", "%(n)d s behind ours", off)
    return WARNING, _("%s: set it by NTP") % (words % {"n": off})


def packages(facts: Facts, s: Standing) -> Finding:
    found = str(facts.get("value", ""))
    if not facts["ok"]:
        return BAD, _("could not be installed: %s") % (found or "–")
    there = dict(part.rpartition(" ")[::2] for part in found.split(", "))
    for name in ("dispy", "pycos"):
        if there.get(name) != s.packages[name]:
            return BAD, _("%(name)s %(there)s there, %(here)s here: they must be the same") % {
                "name": name, "there": there.get(name, "–"), "here": s.packages[name],
            }  # fmt: skip
    return GOOD, found


def port_in(facts: Facts, s: Standing) -> Finding:
    if facts["ok"]:
        return GOOD, _("it connects to our dispatcher at %s") % s.place
    words = _("it cannot connect to our dispatcher at %(place)s: %(error)s") % {
        "place": s.place, "error": facts.get("value", "–"),
    }  # fmt: skip
    return BAD, words if s.dispatcher_up else _("%s (the dispatcher is not running)") % words


def secret(facts: Facts, s: Standing) -> Finding:
    mode = str(facts.get("value", ""))
    if not facts["ok"]:
        return BAD, mode or _("it could not be stored")
    return (GOOD if mode == "600" else BAD), _("stored with mode 0%s") % mode


def started(facts: Facts, s: Standing) -> Finding:
    how = {
        "systemd": _("as a systemd service, so also after a reboot"),
        "user": _("as a systemd service of its user"),
        "background": _("in the background; not after a reboot"),
    }
    value = str(facts.get("value", ""))
    if not facts["ok"]:
        return BAD, _("the agent does not start: %s") % (value or "–")
    return GOOD, how.get(value, value)


def port_out(facts: Facts, s: Standing) -> Finding:
    place = str(facts.get("value", ""))
    if facts["ok"]:
        return GOOD, _("we connect to %s") % place
    return BAD, _("we cannot connect to %(place)s: %(error)s. Open TCP port %(port)d there.") % {
        "place": place, "error": facts.get("error", "–"), "port": s.port,
    }  # fmt: skip


def online(facts: Facts, s: Standing) -> Finding:
    if s.online:
        return GOOD, _("online as %s") % s.node
    if not s.node:
        return WAITING, ""
    if not s.dispatcher_up:
        return BAD, _("the dispatcher is not running: nobody looks for it")
    return (BAD, said(s.trouble)) if s.trouble else (WAITING, _("the dispatcher looks for it"))


def test_job(facts: Facts, s: Standing) -> Finding:
    if s.job is None:
        return WAITING, ""
    words = _("job %d") % s.job
    if s.job_state == "succeeded":
        return GOOD, _("%s has run there") % words
    if s.job_state in ("failed", "cancelled", ""):
        why = s.job_error or s.job_state or _("it is gone")
        return BAD, f"{words}: {why}"
    return WAITING, words


# In the order in which they are made; of those in OURS nobody else tells us anything.
CHECKS: dict[str, tuple[Any, Callable[[Facts, Standing], Finding]]] = {
    "reached": (gettext_lazy("Reached"), reached),
    "python": (gettext_lazy("Python"), python),
    "disk": (gettext_lazy("Disk"), disk),
    "clock": (gettext_lazy("Clock"), clock),
    "port_in": (gettext_lazy("Port, from there"), port_in),
    "packages": (gettext_lazy("Packages"), packages),
    "secret": (gettext_lazy("Secret"), secret),
    "started": (gettext_lazy("Agent"), started),
    "port_out": (gettext_lazy("Port, from here"), port_out),
    "online": (gettext_lazy("Online"), online),
    "test_job": (gettext_lazy("Test job"), test_job),
}
OURS = ("online", "test_job")


def receipt(noted: Mapping[str, Facts], standing: Standing) -> list[Check]:
    """Every check, those that nobody has made yet as well."""
    found = []
    for name, (title, judge) in CHECKS.items():
        facts = noted.get(name)
        if facts is None and name not in OURS:
            found.append(Check(name, str(title)))
            continue
        level, words = judge(facts or {}, standing)
        at = datetime.fromisoformat(facts["at"]) if facts else None
        found.append(Check(name, str(title), level, words, at))
    return found


def verdict(checks: list[Check]) -> str:
    """All good, one bad, or not known yet; a warning does not keep a node out."""
    levels = {check.level for check in checks}
    return next((level for level in (BAD, WAITING) if level in levels), GOOD)


def version_of(text: str) -> tuple[int, ...]:
    """Major and minor; (0,) where it is none."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})(?!\d)", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else (0,)


def number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None

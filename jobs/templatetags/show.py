"""How values look on a page: states, lengths, sizes, moments. Unknown is a dash."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.http import QueryDict
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy

from cluster.wording import said, told
from jobs import terminal, values
from jobs.amounts import UNKNOWN, size
from jobs.models import Job, State

register = template.Library()
register.filter(size)

WORDS = {
    "queued": pgettext_lazy("state", "queued"),
    "scheduled": pgettext_lazy("state", "scheduled"),
    "retrying": pgettext_lazy("state", "retrying"),
    "running": pgettext_lazy("state", "running"),
    "open": pgettext_lazy("state", "sent"),
    "held": pgettext_lazy("state", "held"),
    "blocked": pgettext_lazy("state", "blocked"),
    "pending": pgettext_lazy("state", "pending"),
    "cancelling": pgettext_lazy("state", "cancelling"),
    "succeeded": pgettext_lazy("state", "succeeded"),
    "failed": pgettext_lazy("state", "failed"),
    "cancelled": pgettext_lazy("state", "cancelled"),
    "timed_out": pgettext_lazy("state", "timed out"),
    "lost": pgettext_lazy("state", "lost"),
    "released": pgettext_lazy("state", "not started"),
    "online": pgettext_lazy("state", "online"),
    "draining": pgettext_lazy("state", "draining"),
    "drained": pgettext_lazy("state", "drained"),
    "offline": pgettext_lazy("state", "offline"),
    "suspect": pgettext_lazy("state", "suspect"),
    "quarantined": pgettext_lazy("state", "quarantined"),
    "removed": pgettext_lazy("state", "removed"),
    "breaker": pgettext_lazy("test of a node", "breaker"),
    "wanted": pgettext_lazy("test of a node", "wanted"),
    "excluded": pgettext_lazy("test of a node", "not excluded"),
    "tags": pgettext_lazy("test of a node", "tags"),
    "size": pgettext_lazy("test of a node", "size"),
    "memory": pgettext_lazy("test of a node", "memory"),
    "slots": pgettext_lazy("test of a node", "slots"),
    "command": gettext_lazy("command"),
    "script": gettext_lazy("script"),
    "function": gettext_lazy("function"),
    "sweep": gettext_lazy("sweep"),
    "cancel": gettext_lazy("Cancel"),
    "requeue": gettext_lazy("Requeue"),
    "delete": gettext_lazy("Delete"),
}
STEPS = ((1, "s"), (60, "min"), (3600, "h"), (86400, "d"))


@register.filter
def word(value: object) -> str:
    """Our own word for a value, translated."""
    return str(WORDS.get(str(value), value))


@register.simple_tag
@lru_cache(maxsize=1000)  # a list has hundreds, and each would ask where the file is
def icon(name: str, css: str = "") -> SafeString:
    return format_html(
        '<svg class="icon {}" width="16" height="16" aria-hidden="true"><use href="{}#{}"/></svg>',
        css, static("icons.svg"), name,
    )  # fmt: skip


@register.simple_tag
def state(value: str, size: str = "") -> SafeString:
    """A state as colour, icon and word."""
    return badge(value, value, word(value), size)


def badge(colour: str, picture: str, words: object, size: str = "") -> SafeString:
    """A state of whatever has states."""
    return format_html(
        '<span class="state state-{} {}">{}{}</span>',
        colour, f"state-{size}" if size else "", icon(picture), words,
    )  # fmt: skip


def shown_state(job: Job, now: datetime) -> str:
    """The state in finer words: computed, never stored."""
    if job.state == State.QUEUED:
        return waiting_state(job, now)
    if job.state == State.RUNNING and job.cancel_requested_at:
        return "cancelling"
    return job.state


def waiting_state(job: Job, now: datetime) -> str:
    if job.held:
        return "held"
    if job.waits:
        return "blocked"
    if job.run_at > now:
        return "retrying" if job.tried else "scheduled"
    return job.state


@register.simple_tag
def job_state(job: Job, size: str = "") -> SafeString:
    return state(shown_state(job, timezone.now()), size)


@register.filter
def plain(value: object) -> str:
    """Words that came from outside, without controls and turns of direction."""
    return terminal.plain(str(value))


register.filter(said)
register.filter(told)


@register.filter
def title(job: Job) -> str:
    """What a job is called: its name, else what it runs."""
    return terminal.plain(job.name or job.spec.title)


@register.filter
def duration(seconds: float | str | None) -> str:
    """A length of time, three digits at most."""
    if seconds is None or seconds == "":
        return UNKNOWN
    seconds = max(0.0, float(seconds))
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, hours = round(seconds) // 60, round(seconds) // 3600
    if hours < 1:
        return f"{minutes} min {round(seconds) % 60:02d} s"
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} {unit('d')} {hours % 24} h"


@register.filter
def kilobytes(value: int | None) -> str:
    return size(None if value is None else value * 1024)


@register.filter
def percent(value: float | None) -> str:
    """Rounded, but never up to 100: one failure among thousands is one."""
    if value is None:
        return UNKNOWN
    return f"{min(value, 99) if value < 100 else value:.0f} %"


@register.filter
def known(value: Any) -> Any:
    """The value, or the dash where there is none."""
    return UNKNOWN if value is None or value == "" else value


def relative(seconds: float) -> str:
    """A distance in time in one unit: 12 s, 3 min, 2 h, 5 d."""
    size_of, name = next((s, u) for s, u in reversed(STEPS) if abs(seconds) >= s or s == 1)
    return f"{int(abs(seconds) // size_of)} {unit(name)}"


def unit(name: str) -> str:
    """Of time: days alone are called otherwise in other languages."""
    return gettext("d") if name == "d" else name


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """A moment as relative text, with the absolute time as tooltip."""
    if moment is None:
        return UNKNOWN
    seconds = (timezone.now() - moment).total_seconds()
    text = gettext("%s ago") if seconds >= 0 else gettext("in %s")
    return stamp(moment, text % relative(seconds), "data-relative")


@register.filter
def since(moment: datetime | None) -> SafeString | str:
    """How long it has been since that moment, counting on the page."""
    if moment is None:
        return UNKNOWN
    seconds = (timezone.now() - moment).total_seconds()
    return stamp(moment, duration(max(0, int(seconds))), "data-since")


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A moment in full."""
    if value is None:
        return UNKNOWN
    return stamp(value, f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}", "data-moment")


def stamp(when: datetime, text: str, role: str) -> SafeString:
    local, utc = timezone.localtime(when), when.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" {}>{}</time>',
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{local:%Y-%m-%d %H:%M:%S %Z} · {utc:%H:%M:%S} UTC",
        SafeString(role), text,
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def nav(context: template.Context, name: str, label: str) -> SafeString:
    """A link of the bar, marked where we are in its part of the site."""
    url, here = reverse(name), context["request"].path
    current = here == url if url == "/" else here == url or here.startswith(f"{url}/")
    mark = SafeString(' aria-current="page"' if current else "")
    return format_html('<a href="{}"{}>{}</a>', url, mark, label)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: object) -> str:
    """This page's query with some values changed; None removes one."""
    found: QueryDict = context["request"].GET.copy()
    for name in ("before", "after"):
        found.pop(name, None)
    for name, value in changes.items():
        found.pop(name, None)
        if value is not None:
            found[name] = str(value)
    return f"?{found.urlencode()}" if found else "?"


@register.filter
def arguments(job: Job) -> str:
    """A job's arguments in one line: seed=3, size="big"."""
    try:
        found = values.loads(job.args)
    except ValueError:
        return job.args
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in found.items()
    )


@register.filter
def thousands(value: int) -> str:
    """1 234 567: a thin space is read alike in every language."""
    return f"{value:,}".replace(",", "\u202f")


@register.filter
def cut(text: str, most: int) -> str:
    """As truncatechars, at a tenth of its price: for lists."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@register.filter
def first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


@register.filter
def spaced(name: str) -> str:
    """memory_total as memory total."""
    return name.replace("_", " ")

"""How a schedule and its times look."""

from django import template
from django.utils.safestring import SafeString
from django.utils.translation import pgettext_lazy

from jobs.templatetags.show import badge
from schedules import words
from schedules.models import Run, Schedule

register = template.Library()

LOOKS = {  # css, icon, word
    "active": ("succeeded", "scheduled", pgettext_lazy("schedule", "active")),
    "paused": ("held", "held", pgettext_lazy("schedule", "paused")),
    "over": ("cancelled", "good", pgettext_lazy("schedule", "over")),
    "started": ("succeeded", "good", pgettext_lazy("schedule", "started")),
    "missed": ("lost", "lost", pgettext_lazy("schedule", "missed")),
    "overlap": ("blocked", "blocked", pgettext_lazy("schedule", "left out")),
    "refused": ("failed", "failed", pgettext_lazy("schedule", "refused")),
}


def look(value: str, size: str = "") -> SafeString:
    colour, picture, word = LOOKS[value]
    return badge(colour, picture, word, size)


@register.simple_tag
def schedule_state(schedule: Schedule, size: str = "") -> SafeString:
    return look(schedule.state, size)


@register.simple_tag
def run_outcome(run: Run) -> SafeString:
    return look(run.outcome)


@register.filter
def rhythm(schedule: Schedule) -> str:
    return words.rhythm(schedule)


@register.filter
def what_became(run: Run) -> str:
    return words.what_became(run)

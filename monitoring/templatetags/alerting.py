"""How alerts look on a page."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext, pgettext, pgettext_lazy

from jobs.templatetags.show import badge
from monitoring import alert_words
from monitoring.alert_words import Link
from monitoring.alerts import OPEN_TO_PEOPLE
from monitoring.models import Alert

register = template.Library()

# word, icon, colour
STATES = {
    "pending": (pgettext_lazy("state of an alert", "pending"), "scheduled", "queued"),
    "firing": (pgettext_lazy("state of an alert", "firing"), "warning", "failed"),
    "acknowledged": (pgettext_lazy("state of an alert", "acknowledged"), "user", "warning"),
    "resolved": (pgettext_lazy("state of an alert", "resolved"), "good", "succeeded"),
}
SEVERITIES = {
    "critical": (pgettext_lazy("severity", "critical"), "bad", "failed"),
    "warning": (pgettext_lazy("severity", "warning"), "warning", "warning"),
    "info": (pgettext_lazy("severity", "info"), "info", "running-still"),
}
DELIVERIES = {
    "queued": (pgettext_lazy("state of a notice", "on its way"), "scheduled", "queued"),
    "sent": (pgettext_lazy("state of a notice", "sent"), "good", "succeeded"),
    "failed": (pgettext_lazy("state of a notice", "failed"), "bad", "failed"),
}
KINDS = {
    "firing": pgettext_lazy("kind of notice", "alert"),
    "resolved": pgettext_lazy("kind of notice", "recovery"),
    "test": pgettext_lazy("kind of notice", "test"),
}


def mark(found: tuple[object, str, str], size: str = "") -> SafeString:
    word, picture, colour = found
    return badge(colour, picture, word, size)


@register.simple_tag
def alert_state(value: str, size: str = "") -> SafeString:
    return mark(STATES.get(value, (value, "info", "queued")), size)


@register.simple_tag
def severity(value: str, size: str = "") -> SafeString:
    return mark(SEVERITIES.get(value, (value, "info", "queued")), size)


@register.simple_tag
def delivery_state(value: str) -> SafeString:
    return mark(DELIVERIES.get(value, (value, "info", "queued")))


@register.filter
def delivery_kind(value: str) -> str:
    return str(KINDS.get(value, value))


@register.filter
def alert_word(value: str) -> str:
    """A state, a severity or a rule in words."""
    if value == "open":
        return pgettext("state of an alert", "open")
    known = STATES.get(value) or SEVERITIES.get(value)
    return str(known[0]) if known else alert_words.title(value)


@register.filter
def summary(alert: Alert) -> str:
    return alert_words.summary(alert)


@register.filter
def advice(alert: Alert) -> str:
    return alert_words.advice(alert)


@register.filter
def evidence(alert: Alert) -> list[Link]:
    return alert_words.evidence(alert)


@register.filter
def consequences(alert: Alert) -> list[str]:
    return alert_words.inside(alert)


@register.filter
def shown_value(alert: Alert) -> str:
    return alert_words.shown_value(alert.rule, alert.value)


@register.filter
def shown_threshold(alert: Alert) -> str:
    return alert_words.shown_value(alert.rule, alert.threshold)


@register.simple_tag
def open_alerts() -> SafeString | str:
    """How many alerts are open, for the bar; nothing where there is none."""
    count = Alert.objects.filter(state__in=OPEN_TO_PEOPLE).order_by().count()
    if not count:
        return ""
    words = ngettext("%d open alert", "%d open alerts", count) % count
    return format_html('<b class="nav-count" title="{}">{}</b>', words, count)

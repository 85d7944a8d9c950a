"""How channels look on a page: where they send to, without a secret."""

from django import template

from monitoring import carrying, targets
from monitoring.forms_channels import LEAST
from monitoring.models import Channel
from monitoring.templatetags.alerting import DELIVERIES

register = template.Library()


@register.filter
def target(channel: Channel) -> str:
    return targets.masked(channel.url)


@register.filter
def delivery_error(error: str) -> str:
    return carrying.in_words(error)


@register.filter
def hears_of(channel: Channel) -> str:
    return str(dict(LEAST).get(channel.least, channel.least))


@register.filter
def delivery_word(state: str) -> str:
    return str(DELIVERIES[state][0]) if state in DELIVERIES else state

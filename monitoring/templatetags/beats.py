"""The heartbeats of the dispatcher and the monitor, for the bar of every page."""

from dataclasses import dataclass

from django import template
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from jobs.models import Lease
from jobs.templatetags.show import relative

register = template.Library()
DUTIES = {"dispatcher": gettext_lazy("dispatcher"), "monitor": gettext_lazy("monitor")}


@dataclass(frozen=True)
class Beat:
    name: str
    state: str  # up, down, never
    words: str


@register.simple_tag
def heartbeats() -> list[Beat]:
    now = timezone.now()
    leases = {lease.name: lease for lease in Lease.objects.filter(name__in=DUTIES)}
    found = []
    for name, label in DUTIES.items():
        lease = leases.get(name)
        if lease is None:
            found.append(Beat(str(label), "never", gettext("never seen")))
        elif lease.expires_at > now:
            found.append(Beat(str(label), "up", gettext("running, %s") % lease.holder))
        else:
            silent = relative((now - lease.renewed_at).total_seconds())
            found.append(Beat(str(label), "down", gettext("silent for %s") % silent))
    return found

"""The alerts' filters, the same words for API and pages. They live in the URL."""

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from jobs.parameters import BadParameter
from monitoring.models import Alert, AlertState, Severity
from monitoring.rules import RULES

NAMES = ("state", "severity", "rule", "subject")
OPEN = [AlertState.FIRING.value, AlertState.ACKNOWLEDGED.value]
KNOWN = {"state": [*AlertState.values, "open"], "severity": Severity.values, "rule": list(RULES)}


def filtered(params: QueryDict) -> QuerySet[Alert]:
    """Those of the URL's filters, the newest first. `open`: firing or acknowledged."""
    found = Alert.objects.all()
    for name in NAMES:
        chosen = [value for value in params.getlist(name) if value]
        if not chosen:
            continue
        for value in chosen:
            if name in KNOWN and value not in KNOWN[name]:
                message = _("One of %(known)s, not %(word)s.")
                known = ", ".join(KNOWN[name])
                raise BadParameter(name, message % {"known": known, "word": value[:100]})
        if name == "state" and "open" in chosen:
            chosen = [*OPEN, *(value for value in chosen if value != "open")]
        found = found.filter(**{f"{name}__in": [value.replace("\0", "") for value in chosen]})
    return found


def admits(params: QueryDict, alert: Alert) -> bool:
    """Does an alert that is no row pass the filters?"""
    for name in NAMES:
        chosen = [value for value in params.getlist(name) if value]
        if name == "state" and "open" in chosen:
            chosen += OPEN
        if chosen and getattr(alert, name) not in chosen:
            return False
    return True

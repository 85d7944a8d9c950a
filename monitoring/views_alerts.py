"""The alerts' pages: what is open, what was, one alert with its evidence and its notices."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from cluster.models import Node
from cluster.views.access import staff_only
from jobs.parameters import BadParameter
from jobs.views.access import name_of
from jobs.views.listing import key, without
from monitoring import alert_filters, alerts, monitor_beat, silences
from monitoring.models import Alert, AlertState, Delivery, Severity
from monitoring.rules import RULES

PAGE = 50
SHOWN = ("open", "firing", "acknowledged", "pending", "resolved")
MOST_DELIVERIES = 100


@require_safe
def alerts_page(request: HttpRequest) -> HttpResponse:
    """Open ones first, unless the URL says which."""
    live = request.path.startswith("/live/")
    params, now, problem = request.GET, timezone.now(), ""
    try:
        rows = alert_filters.filtered(params)
    except BadParameter as bad:
        rows, problem = Alert.objects.none(), f"{bad.field}: {bad}"
    chosen = any(params.get(name) for name in alert_filters.NAMES)
    still_open = list[Alert]()
    if key(params, "before") is None and not problem:
        still_open = [one for one in alerts.open_now() if alert_filters.admits(params, one)]
        silent = monitor_beat.found(now)
        if silent and alert_filters.admits(params, silent):
            still_open.insert(0, silent)
    history, older = page_of(rows.exclude(state__in=alerts.OPEN_TO_PEOPLE), params)
    quiet = silences.active(now)
    plain = without(params, "before")
    context = {
        "open": still_open,
        "history": history,
        "older": older,
        "before": params.get("before", ""),
        "query": plain.urlencode(),
        "live_query": params.urlencode(),
        "chosen": chosen,
        "problem": problem,
        "quiet": alerts.quiet_about([*still_open, *history], quiet),
        "silences": sum(not silences.is_maintenance(one) for one in quiet),
        "maintenance": next((one for one in quiet if silences.is_maintenance(one)), None),
        "rules": list(RULES),
        "severities": Severity.values,
        "states": SHOWN,
        "subjects": subjects(params.get("subject", "")),
    }
    return render(request, "monitoring/_alerts.html" if live else "monitoring/alerts.html", context)


def subjects(chosen: str) -> list[str]:
    """To filter by: the nodes, and what is chosen now, which may be a schedule or be gone."""
    names = list(Node.objects.filter(removed_at=None).values_list("name", flat=True))
    return names if not chosen or chosen in names else [*names, chosen]


def page_of(rows: QuerySet[Alert], params: QueryDict) -> tuple[list[Alert], int | None]:
    """What is not open, by key; without a filter not what may come to nothing."""
    if not params.get("state"):
        rows = rows.exclude(state=AlertState.PENDING)
    before = key(params, "before")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: PAGE + 1])
    more = len(found) > PAGE
    return found[:PAGE], found[PAGE - 1].pk if more else None


@require_safe
def alert_page(request: HttpRequest, pk: int) -> HttpResponse:
    live = request.path.startswith("/live/")
    alert = get_object_or_404(Alert, pk=pk)
    template = "monitoring/_alert.html" if live else "monitoring/alert.html"
    return render(request, template, picture(alert))


def picture(alert: Alert) -> dict[str, Any]:
    now = timezone.now()
    deliveries = Delivery.objects.filter(alerts=alert).select_related("channel")
    return {
        "alert": alert,
        "deliveries": deliveries.defer("body")[:MOST_DELIVERIES],
        "silenced": silences.silenced(alert, silences.active(now)),
        "rule": RULES.get(alert.rule),
        "before": Alert.objects.filter(
            rule=alert.rule, subject=alert.subject, pk__lt=alert.pk, fired_at__isnull=False
        )[:5],
    }


@require_POST
@staff_only
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    alert = get_object_or_404(Alert, pk=pk)
    if alerts.acknowledge(alert, name_of(request), timezone.now()):
        messages.success(request, _("Acknowledged: everybody sees that you care for it."))
    else:
        messages.warning(request, _("It does not fire now; nothing was changed."))
    return redirect("alert", pk)

"""Where notices go, and what became of them. For staff."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cluster.nodes import Refused
from cluster.views.access import staff_only
from jobs.views.access import name_of, user_of
from jobs.views.listing import key, without
from monitoring import channels, notify
from monitoring.forms_channels import ChannelForm
from monitoring.models import Channel, Delivery

PAGE, RECENT = 50, 20


@sensitive_post_parameters("url")
@require_http_methods(["GET", "HEAD", "POST"])
@staff_only
def channels_page(request: HttpRequest) -> HttpResponse:
    admin = user_of(request).is_superuser
    form = ChannelForm(None, admin)
    if request.method == "POST":
        form, made = ChannelForm(None, admin, request.POST), list[Channel]()
        if form.is_valid() and attempt(form, lambda: made.append(channels.add(
            who=name_of(request), now=timezone.now(), admin=admin, **form.given()
        ))):  # fmt: skip
            messages.success(request, _("%s is added. Send a test now.") % made[0].name)
            return redirect("channel", made[0].pk)
    return render(request, "monitoring/channels.html", {"form": form, **listed()})


@require_safe
@staff_only
def live_channels(request: HttpRequest) -> HttpResponse:
    return render(request, "monitoring/_channels.html", listed())


def listed() -> dict[str, Any]:
    """Every channel with its latest notice, in two statements."""
    latest = Delivery.objects.filter(channel=OuterRef("pk")).order_by("-id")
    rows = list(Channel.objects.annotate(latest=Subquery(latest.values("pk")[:1])))
    found = Delivery.objects.in_bulk([row.latest for row in rows if row.latest])
    return {"channels": [(row, found.get(row.latest)) for row in rows]}


def attempt(form: ChannelForm, act: Callable[[], Any]) -> bool:
    """Do it; what is refused is said beside its field."""
    try:
        act()
    except Refused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, str(refused))
    return not form.errors


@sensitive_post_parameters("url")
@require_http_methods(["GET", "HEAD", "POST"])
@staff_only
def channel_page(request: HttpRequest, pk: int) -> HttpResponse:
    channel, admin = get_object_or_404(Channel, pk=pk), user_of(request).is_superuser
    form = ChannelForm(channel, admin)
    if request.method == "POST":
        form = ChannelForm(channel, admin, request.POST)
        if form.is_valid() and attempt(
            form, lambda: channels.change(channel, admin, **form.given())
        ):
            messages.success(request, _("%s is changed.") % channel.name)
            return redirect("channel", pk)
        channel.refresh_from_db()
    return render(request, "monitoring/channel.html", {"form": form, **picture(channel)})


@require_safe
@staff_only
def live_channel(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "monitoring/_channel.html", picture(get_object_or_404(Channel, pk=pk)))


def picture(channel: Channel) -> dict[str, Any]:
    rows = list(shown(Delivery.objects.filter(channel=channel))[:RECENT])
    tests = [row for row in rows if row.kind == Delivery.Kind.TEST]
    return {"channel": channel, "rows": rows, "test": tests[0] if tests else None}


def shown(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    return rows.select_related("channel").prefetch_related("alerts").order_by("-id")


@require_POST
@staff_only
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Queued like every notice: the monitor sends it, the page shows what came of it."""
    notify.test(get_object_or_404(Channel, pk=pk), timezone.now())
    return redirect("channel", pk)


@require_POST
@staff_only
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(Channel, pk=pk)
    channels.change(channel, user_of(request).is_superuser, enabled=bool(request.POST.get("on")))
    words = _("%s is switched on.") if channel.enabled else _("%s is switched off.")
    messages.success(request, words % channel.name)
    return redirect("channels")


@require_http_methods(["GET", "HEAD", "POST"])
@staff_only
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(Channel, pk=pk)
    if request.method == "POST":
        channel.delete()
        messages.success(request, _("%s is deleted.") % channel.name)
        return redirect("channels")
    return render(request, "monitoring/channel_delete.html", {"channel": channel})


@require_safe
@staff_only
def deliveries_page(request: HttpRequest) -> HttpResponse:
    """What was sent: filters in the URL, pages by key."""
    params, rows = request.GET, Delivery.objects.all()
    if params.get("state") in Delivery.State.values:
        rows = rows.filter(state=params["state"])
    if params.get("kind") in Delivery.Kind.values:
        rows = rows.filter(kind=params["kind"])
    if (channel := key(params, "channel")) is not None:
        rows = rows.filter(channel=channel)
    if (before := key(params, "before")) is not None:
        rows = rows.filter(pk__lt=before)
    found = list(shown(rows)[: PAGE + 1])
    context = {
        "rows": found[:PAGE],
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "query": without(params, "before").urlencode(),
        "states": Delivery.State.values,
        "kinds": Delivery.Kind.values,
        "channels": Channel.objects.values_list("pk", "name"),
        "chosen_channel": channel,
        "filtered": any(params.get(name) for name in ("state", "kind", "channel")),
    }
    return render(request, "monitoring/deliveries.html", context)

"""One node: how it is, what it does, and what people may do with it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cluster import nodes
from cluster.forms import NodeForm
from cluster.models import Node
from cluster.views.access import demand_staff, staff_only
from cluster.views.cards import card
from cluster.views.checks import checks
from cluster.views.facts import evidence, facts, packages
from jobs.views.access import user_of
from monitoring import totals

RECENT = 30
UNUSED = ["placement", "traceback", "job__result", "job__error", "job__args", "job__spec__body"]


@require_http_methods(["GET", "HEAD", "POST"])
def node_page(request: HttpRequest, name: str) -> HttpResponse:
    node = get_object_or_404(Node, name=name)
    if request.method == "POST":
        demand_staff(request.user)
        form = NodeForm(node, request.POST)
        if form.is_valid() and form.attempt(lambda: change(node, form)):
            messages.success(request, _("%s is changed.") % node.name)
            return redirect("node", node.name)
        return show(request, node, form)
    changeable = user_of(request).is_staff and not node.removed_at
    return show(request, node, NodeForm(node) if changeable else None)


def show(request: HttpRequest, node: Node, form: NodeForm | None) -> HttpResponse:
    return render(request, "cluster/node.html", {"form": form, **picture(node)})


def change(node: Node, form: NodeForm) -> None:
    slots = form.cleaned_data["slots"]
    name = form.cleaned_data["name"]
    nodes.change(
        node,
        name=None if name == node.name else name,  # an old one may not be fit for today
        slots=nodes.AUTO if slots is None else slots,
        tags=form.tag_list(),
    )


@require_safe
def live_node(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "cluster/_node.html", picture(get_object_or_404(Node, name=name)))


def picture(node: Node) -> dict[str, Any]:
    recent = node.attempts.select_related("job__spec").defer(*UNUSED).order_by("-id")
    # A set of their own: in one statement SQLite would look for them among all attempts.
    still_open = nodes.open_attempts(node).order_by().values("pk")
    shown = card(node)
    return {
        "card": shown,
        "node": node,
        "running": recent.filter(pk__in=still_open)[:RECENT],
        "recent": recent.filter(finished_at__isnull=False)[:RECENT],
        "ended": totals.ended_on(node.pk, timezone.now()),
        "checks": checks(shown),
        "evidence": evidence(node),
        "facts": facts(node.passport),
        "packages": packages(node.passport),
    }


def known(name: str) -> Node:
    return get_object_or_404(Node, name=name, removed_at=None)


@require_POST
@staff_only
def drain(request: HttpRequest, name: str) -> HttpResponse:
    node = known(name)
    nodes.drain(Node.objects.filter(pk=node.pk), request.POST.get("reason", "").strip())
    messages.success(request, _("%s finishes what runs and takes nothing new.") % node.name)
    return redirect("node", node.name)


@require_POST
@staff_only
def resume(request: HttpRequest, name: str) -> HttpResponse:
    node = known(name)
    nodes.resume(Node.objects.filter(pk=node.pk))
    messages.success(request, _("%s takes work again.") % node.name)
    return redirect("node", node.name)


@require_POST
@staff_only
def reset(request: HttpRequest, name: str) -> HttpResponse:
    node = known(name)
    nodes.reset(node, timezone.now())
    messages.success(request, _("The breaker of %s is closed: it gets work again.") % node.name)
    return redirect("node", node.name)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_only
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Asks first; POST does it, with `force` although attempts are open there."""
    node = known(name)
    refusal = ""
    if request.method == "POST":
        try:
            nodes.remove(node, timezone.now(), force=bool(request.POST.get("force")))
        except nodes.Refused as refused:
            refusal = str(refused)
        else:
            messages.success(request, _("%s is removed; its history stays.") % node.name)
            return redirect("nodes")
    context = {
        "node": node,
        "refusal": refusal,
        "listed": nodes.in_settings(node),
        "open": nodes.attempts_open(node),
    }
    return render(request, "cluster/node_remove.html", context)

"""The pages about machines."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import user_passes_test
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from cluster import nodes
from cluster.models import Node
from jobs.claim import busy
from jobs.models import Attempt, Outcome
from jobs.templatetags.show import size

RECENT = 30


@dataclass(frozen=True)
class Card:
    """A node as the pages show it."""

    node: Node
    busy: int
    memory_total: int | None

    @property
    def state(self) -> str:
        return nodes.state(self.node, self.busy)

    @property
    def slot_marks(self) -> list[bool]:
        """One mark per slot, taken or free; none where they would be too many to see."""
        slots, taken = self.node.slots, min(self.busy, self.node.slots)
        return [place < taken for place in range(slots)] if slots <= 32 else []

    @property
    def memory_percent(self) -> float | None:
        """In use."""
        if not self.memory_total or self.node.memory_free is None:
            return None
        return max(0.0, 100 - 100 * self.node.memory_free / self.memory_total)


def cards() -> list[Card]:
    taken = busy()
    known = Node.objects.filter(removed_at=None)
    return [card(node, taken) for node in known]


def card(node: Node, taken: dict[int, int]) -> Card:
    total = node.passport.get("memory_total") if isinstance(node.passport, dict) else None
    return Card(node, taken.get(node.pk, 0), total if isinstance(total, int) else None)


@require_safe
def nodes_page(request: HttpRequest) -> HttpResponse:
    live = request.path.startswith("/live/")
    found = cards()
    context = {
        "cards": found,
        "up": sum(card.node.online for card in found),
        "slots": sum(card.node.slots for card in found if card.node.online),
        "taken": sum(card.busy for card in found),
    }
    return render(request, "cluster/_nodes.html" if live else "cluster/nodes.html", context)


@require_safe
def node_page(request: HttpRequest, name: str) -> HttpResponse:
    live = request.path.startswith("/live/")
    node = get_object_or_404(Node, name=name)
    recent = node.attempts.select_related("job__spec").order_by("-id")
    context = {
        "card": card(node, busy()),
        "node": node,
        "running": recent.filter(finished_at=None)[:RECENT],
        "recent": recent.filter(finished_at__isnull=False)[:RECENT],
        "outcomes": outcomes(node),
        "passport": flat(node.passport),
    }
    return render(request, "cluster/_node.html" if live else "cluster/node.html", context)


def outcomes(node: Node) -> list[tuple[str, int]]:
    """How its attempts of the last day ended."""
    day = timezone.now() - timedelta(days=1)
    rows = Attempt.objects.filter(node=node, finished_at__gte=day).order_by()
    found = dict(rows.values_list("outcome").annotate(Count("id")))
    return [(outcome.value, found[outcome.value]) for outcome in Outcome if outcome.value in found]


def flat(passport: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A passport's entries as (name, text), a level deep."""
    if not isinstance(passport, dict):
        return []
    found: list[tuple[str, str]] = []
    for name, value in passport.items():
        if isinstance(value, dict) and not prefix and len(value) <= 20:
            found += flat(value, f"{name}.")
        elif name.endswith("_total") and isinstance(value, int):
            found.append((f"{prefix}{name}", size(value)))
        elif name.endswith("_at") and isinstance(value, (int, float)):
            moment = timezone.localtime(datetime.fromtimestamp(value, UTC))
            found.append((f"{prefix}{name}", f"{moment:%Y-%m-%d %H:%M}"))
        elif isinstance(value, list):
            found.append((f"{prefix}{name}", ", ".join(map(str, value[:50]))))
        elif not isinstance(value, dict):
            found.append((f"{prefix}{name}", str(value)))
    return found


def staff(user: Any) -> bool:
    if not user.is_staff:
        raise PermissionDenied(_("Only staff may drain and resume nodes."))
    return True


@require_POST
@user_passes_test(staff)
def drain(request: HttpRequest, name: str) -> HttpResponse:
    node = get_object_or_404(Node, name=name)
    nodes.drain(Node.objects.filter(pk=node.pk), request.POST.get("reason", "").strip())
    messages.success(request, _("%s finishes what runs and takes nothing new.") % node.name)
    return redirect("node", node.name)


@require_POST
@user_passes_test(staff)
def resume(request: HttpRequest, name: str) -> HttpResponse:
    node = get_object_or_404(Node, name=name)
    nodes.resume(Node.objects.filter(pk=node.pk))
    messages.success(request, _("%s takes work again.") % node.name)
    return redirect("node", node.name)

"""All nodes, and a form to add one."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from cluster import nodes
from cluster.forms import AddForm
from cluster.views.access import demand_staff
from cluster.views.cards import cards
from jobs.views.access import name_of, user_of


@require_http_methods(["GET", "HEAD", "POST"])
def nodes_page(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        demand_staff(request.user)
        return add(request)
    return show(request, AddForm() if user_of(request).is_staff else None)


def add(request: HttpRequest) -> HttpResponse:
    form, added = AddForm(request.POST), []
    if form.is_valid() and form.attempt(
        lambda: added.append(
            nodes.add(
                form.cleaned_data["address"],
                form.cleaned_data["name"],
                form.cleaned_data["slots"],
                form.tag_list(),
                name_of(request),
                timezone.now(),
            )  # fmt: skip
        )
    ):
        [node] = added
        messages.success(request, _("%s is used as soon as its agent answers.") % node.name)
        return redirect("node", node.name)
    return show(request, form)


def show(request: HttpRequest, form: AddForm | None) -> HttpResponse:
    return render(request, "cluster/nodes.html", {"form": form, **picture()})


@require_safe
def live_nodes(request: HttpRequest) -> HttpResponse:
    return render(request, "cluster/_nodes.html", picture())


def picture() -> dict[str, object]:
    found = cards()
    online = [card for card in found if card.node.online]
    return {
        "cards": found,
        "up": len(online),
        "slots": sum(card.node.slots for card in online),
        "taken": sum(card.busy for card in found),
    }

"""The pages on which staff invite machines and see them come in."""

import ipaddress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import user_passes_test
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from cluster.joining import invitations, script
from cluster.joining.forms import InvitationForm
from cluster.joining.receipt import BAD, GOOD, Check, verdict
from cluster.joining.views.door import origin
from cluster.joining.views.progress import receipt_of
from cluster.models import Invitation

RECENT = 12


def staff(user: Any) -> bool:
    if not user.is_staff:
        raise PermissionDenied(_("Only staff may invite nodes."))
    return True


@require_http_methods(["GET", "HEAD", "POST"])
@user_passes_test(staff)
def join(request: HttpRequest) -> HttpResponse:
    """The form; once it is sent, the line. That is shown in this one answer and never again."""
    form = InvitationForm(request.POST or None)
    now = timezone.now()
    if request.method == "POST" and form.is_valid():
        made, token = invitations.invite(request.user, now, **form.wanted)
        more = {"line": script.line(origin(request), token)}
        more["look_first"] = script.look_first(origin(request), token)
        return show(request, made, now, **more)
    rows = Invitation.objects.select_related("created_by", "node")[:RECENT]
    recent = [(row, invitations.state(row, now)) for row in rows]
    context = {"form": form, "recent": recent, "warnings": warnings(request)}
    return render(request, "cluster/join.html", context)


@require_safe
@user_passes_test(staff)
def invitation(request: HttpRequest, pk: int) -> HttpResponse:
    return show(request, found(pk), timezone.now())


@require_safe
@user_passes_test(staff)
def live(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "cluster/_join.html", context_of(found(pk), timezone.now()))


@require_POST
@user_passes_test(staff)
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    row = found(pk)
    if invitations.revoke(row, timezone.now()):
        messages.success(request, _("The invitation is revoked: its line is worthless now."))
    elif row.used_at:
        messages.error(request, invitations.USED)
    return redirect("join")


def found(pk: int) -> Invitation:
    return get_object_or_404(Invitation.objects.select_related("created_by", "node"), pk=pk)


def show(request: HttpRequest, row: Invitation, now: datetime, **more: str) -> HttpResponse:
    context = context_of(row, now)
    context["script"] = script.text(row, origin(request))
    context["warnings"] = warnings(request)
    response = render(request, "cluster/join_one.html", {**context, **more})
    response["Cache-Control"] = "no-store"
    return response


def context_of(row: Invitation, now: datetime) -> dict[str, Any]:
    checks, state = receipt_of(row, now), invitations.state(row, now)
    level = verdict(checks)
    moving = state == "open" or (state == "used" and invitations.may_report(row, now))
    return {
        "invitation": row,
        "state": state,
        "checks": checks,
        "level": level,
        "headline": headline(row, state, level, checks),
        "live": moving and level != GOOD,
    }


def headline(row: Invitation, state: str, level: str, checks: list[Check]) -> str:
    """How it stands, in a sentence."""
    if level == GOOD:
        return _("%s is a node of the cluster.") % (row.node.name if row.node else "–")
    if state == "revoked":
        return _("This invitation is revoked.")
    wrong = [check.title for check in checks if check.level == BAD]
    if wrong:
        return _("Not yet: %s") % ", ".join(wrong)
    if state == "expired":
        return _("Nobody used this invitation in time.")
    if not row.checks:
        return _("Waiting for the line to be run.")
    return _("It is on its way.")


def warnings(request: HttpRequest) -> list[str]:
    """Why a machine elsewhere could not come in, as things are set up."""
    found = []
    if is_loopback(urlsplit(origin(request)).hostname or ""):
        found.append(
            _(
                "You are looking at this page by an address that only this machine knows, and so "
                "would the line. To invite another machine, start with HOST=0.0.0.0 and open this "
                "page by this machine's address on your network."
            )
        )
    if is_loopback(settings.DISPY_HOST):
        found.append(
            _(
                "DISPY_HOST is %s: no other machine reaches the dispatcher there. Set it to this "
                "machine's address on your network."
            )
            % settings.DISPY_HOST
        )
    return found


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

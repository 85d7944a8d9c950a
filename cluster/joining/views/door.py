"""What a machine on its way in asks for. It is nobody yet: its token is all that speaks for it."""

import functools
import logging
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from cluster import nodes
from cluster.joining import invitations, parcels, script, wheels
from cluster.joining.receipt import BAD, GOOD, WAITING, verdict
from cluster.joining.serializers import ReportIn
from cluster.joining.views.progress import come_in, go_on, receipt_of
from cluster.models import Invitation

log = logging.getLogger(__name__)

MOST_A_MINUTE = 300  # requests from one address; a node on its way in makes one a second
LARGEST_REPORT = 4096  # bytes
MARKS = {GOOD: "ok", BAD: "bad", WAITING: "…", "warning": "ok, but"}

Guarded = Callable[..., HttpResponse]
GONE = {
    "used": "This invitation was used already. Make a new one on the page Nodes.",
    "revoked": "This invitation was revoked. Make a new one on the page Nodes.",
    "expired": "This invitation is older than 15 minutes. Make a new one on the page Nodes.",
}


def door(view: Guarded) -> Guarded:
    """Open without a session; never stored, never told to other sites, not too often."""

    @functools.wraps(view)
    def guarded(request: HttpRequest, token: str) -> HttpResponse:
        if too_often(request):
            response = plain("Too many requests; wait a minute.", 429)
            response["Retry-After"] = "60"
        elif invitation := invitations.find(token):
            response = view(request, invitation, token)
        else:
            response = plain("There is no such invitation.", 404)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        return response

    return login_not_required(csrf_exempt(guarded))


def while_open(view: Guarded) -> Guarded:
    @functools.wraps(view)
    def guarded(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
        state = invitations.state(invitation, timezone.now())
        if state != "open":
            return plain(GONE[state], 410)
        return view(request, invitation, token)

    return guarded


def plain(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")


def parcel(data: bytes) -> HttpResponse:
    return HttpResponse(data, content_type="application/octet-stream")


def peer(request: HttpRequest) -> str:
    """Who is at the other end; behind a proxy, what that says of it."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if settings.HTTPS and forwarded:
        return forwarded.rpartition(",")[2].strip()
    return str(request.META.get("REMOTE_ADDR", "")).removeprefix("::ffff:")


def too_often(request: HttpRequest) -> bool:
    """Counted for a minute from an address's first request on."""
    key = re.sub(r"[^0-9A-Za-z.:]", "", f"join:{peer(request)}")[:100]
    cache.add(key, 0, timeout=60)
    try:
        return cache.incr(key) > MOST_A_MINUTE
    except ValueError:  # the minute ended just now
        return False


@door
@require_GET
@while_open
def the_script(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """What is to be run. Fetching it does not use the invitation up."""
    if not request.user.is_authenticated:  # else somebody who looks at it here
        now = timezone.now()
        invitations.note(invitation, "reached", True, now, value=peer(request))
    return plain(script.text(invitation, origin(request), token).rstrip("\n"))


def origin(request: HttpRequest) -> str:
    """This place, as the other end reached it."""
    return request.build_absolute_uri("/").rstrip("/")


@door
@require_GET
@while_open
def address(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """The address that the node is to have: as it was invited, else as we see it."""
    return plain(invitation.address or peer(request))


@door
@require_GET
@while_open
def agent(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    return parcel(parcels.agent())


@door
@require_GET
@while_open
def packages(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    return parcel(wheels.archive())


@door
@require_POST
@while_open
def secret(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """What makes a machine one of ours. This uses the invitation up."""
    data = parcels.secrets()
    if not invitations.use(invitation, timezone.now()):
        return plain(GONE["used"], 410)
    log.info("invitation %d was used from %s", invitation.pk, peer(request))
    return parcel(data)


@door
@require_POST
def report(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """How a check went there. The answer is the receipt so far, its verdict in the first line."""
    now = timezone.now()
    if not invitations.may_report(invitation, now):
        state = "revoked" if invitation.revoked_at else "expired"
        return plain(GONE[state], 410)
    if not is_small_form(request):
        return plain(_("Send a form of at most %d bytes.") % LARGEST_REPORT, 413)
    checked = ReportIn(data=request.POST.dict())
    if not checked.is_valid():
        return plain(
            "\n".join(f"{k}: {' '.join(map(str, v))}" for k, v in checked.errors.items()), 400
        )
    try:
        take_note(invitation, checked.validated_data, request, now)
    except nodes.Refused as refusal:
        return plain(str(refusal), 409)
    go_on(invitation, now)
    found = receipt_of(invitation, now)
    lines = [f"  {MARKS[check.level]:8}{check.title}: {check.words}" for check in found]
    return plain("\n".join([verdict(found), *lines]))


def is_small_form(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH") or "0"
    kind = request.content_type
    return kind == "application/x-www-form-urlencoded" and int(length) <= LARGEST_REPORT


def take_note(invitation: Invitation, said: dict[str, Any], request: HttpRequest, now: Any) -> None:
    check = said["check"]
    if check == "waiting":
        return
    facts: dict[str, Any] = {"value": said["value"]}
    if check == "clock":
        facts = {"skew": float(said["value"]) - now.timestamp()}
    if check == "started" and said["ok"]:
        place = said["address"] or peer(request)
        if invitation.address and place != invitation.address:
            raise nodes.Refused(_("It was invited as %s.") % invitation.address)
        come_in(invitation, place, said["name"], now)
    invitations.note(invitation, check, said["ok"], now, **facts)

"""Every write to an Invitation: a right to join as a node, for a quarter of an hour and once."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_lazy

from cluster.models import Invitation, Node

LIFE = timedelta(minutes=15)
REPORTS = timedelta(minutes=15)  # beyond that a node may still say how it goes, nothing else
TOKEN_BYTES = 32
KEPT = timedelta(days=30)
USED = gettext_lazy("It is used already: that machine has the secret. Remove it as a node.")


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def invite(
    user: Any, now: datetime, name: str = "", address: str = "", slots: int | None = None,
    tags: Iterable[str] = (),
) -> tuple[Invitation, str]:  # fmt: skip
    """The invitation and its token, which is kept nowhere and cannot be shown again."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    Invitation.objects.filter(expires_at__lt=now - KEPT).delete()
    invitation = Invitation.objects.create(
        digest=digest_of(token), created_by=user, created_at=now, expires_at=now + LIFE,
        name=name, address=address, slots=slots, tags=list(tags),
    )  # fmt: skip
    return invitation, token


def find(token: str) -> Invitation | None:
    """By its digest: how long the search takes says nothing about the token."""
    found = Invitation.objects.select_related("created_by", "node")
    return found.filter(digest=digest_of(token)).first()


def state(invitation: Invitation, now: datetime) -> str:
    """open, used, revoked or expired."""
    if invitation.revoked_at:
        return "revoked"
    if invitation.used_at:
        return "used"
    return "open" if now < invitation.expires_at else "expired"


def may_report(invitation: Invitation, now: datetime) -> bool:
    return not invitation.revoked_at and now < invitation.expires_at + REPORTS


def use(invitation: Invitation, now: datetime) -> bool:
    """The one use of it. False where somebody was first, or it is no good any more."""
    good = Invitation.objects.filter(
        pk=invitation.pk, used_at=None, revoked_at=None, expires_at__gt=now
    )
    return bool(good.update(used_at=now))


def revoke(invitation: Invitation, now: datetime) -> bool:
    """Make it worthless. False where that is done already, or too late: then it is used."""
    idle = Invitation.objects.filter(pk=invitation.pk, used_at=None, revoked_at=None)
    return bool(idle.update(revoked_at=now))


def note(invitation: Invitation, check: str, ok: bool, now: datetime, **facts: Any) -> None:
    """What a check found; a later finding takes the place of an earlier one."""
    with transaction.atomic():
        row = Invitation.objects.select_for_update().get(pk=invitation.pk)
        row.checks[check] = {"ok": ok, "at": now.isoformat(), **facts}
        row.save(update_fields=["checks"])
    invitation.checks = row.checks


def came_as(invitation: Invitation, node: Node) -> bool:
    """It has become this node. False where it had become one before."""
    mine = Invitation.objects.filter(pk=invitation.pk, node=None, revoked_at=None)
    invitation.node = node
    return bool(mine.update(node=node))

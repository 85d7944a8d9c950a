"""What the tests of joining say over and over."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from cluster.joining import invitations
from cluster.models import Invitation

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def invite(chief: User, now: datetime | None = None, **wishes: Any) -> tuple[Invitation, str]:
    made, token = invitations.invite(chief, now or timezone.now(), **wishes)
    return made, f"/join/{token}"


def tell(node: Client, path: str, check: str, **more: Any) -> Any:
    form = "&".join(f"{name}={value}" for name, value in {"check": check, **more}.items())
    return node.post(f"{path}/report", form, content_type="application/x-www-form-urlencoded")

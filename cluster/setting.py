"""Choices that people change while everything runs."""

from datetime import datetime
from typing import Any

from cluster import strategies
from cluster.models import Setting

DEFAULTS: dict[str, Any] = {"strategy": strategies.DEFAULT}


def read(name: str) -> Any:
    """The value chosen, or the default."""
    return (
        Setting.objects.values_list("value", flat=True).filter(name=name).first() or DEFAULTS[name]
    )


def choose(name: str, value: Any, who: str, now: datetime) -> None:
    Setting.objects.update_or_create(
        name=name, defaults={"value": value, "changed_at": now, "changed_by": who}
    )

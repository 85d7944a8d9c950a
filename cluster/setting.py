"""Choices that people change while everything runs."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from cluster.models import Setting
from cluster.strategies import DEFAULT, STRATEGIES

DEFAULTS: dict[str, Any] = {"strategy": DEFAULT}
CHOICES: dict[str, Collection[Any]] = {"strategy": tuple(STRATEGIES)}

# In words for people; the scores themselves are in strategies.py.
DESCRIPTIONS = {
    "round_robin": _(
        "Each node in turn, in the order of their names: every machine gets its share."
    ),
    "random_weighted": _(
        "By chance; a fast node with many free slots is drawn more often. Even, without patterns."
    ),
    "least_connections": _(
        "The node with the smallest share of its slots taken. A good choice for mixed work on "
        "machines of a kind."
    ),
    "best_performance": _(
        "The fastest node by measured run times; a busy one counts as slower. Slow machines rest "
        "while the fast ones can take the work."
    ),
    "least_recent": _(
        "The node that has waited longest for work: every machine cools down in turn."
    ),
    "earliest_finish": _(
        "The node where the job will be done first, by measured run times; it may wait for a fast "
        "one rather than start on a slow one. The shortest total time on unequal machines."
    ),
}


@dataclass(frozen=True)
class Chosen:
    """A value, and who chose it when; nobody, while it is the default."""

    value: Any
    changed_at: datetime | None = None
    changed_by: str = ""


def chosen(name: str) -> Chosen:
    row = Setting.objects.filter(name=name).first()
    if row is None or row.value not in CHOICES[name]:  # a choice that is no more
        return Chosen(DEFAULTS[name])
    return Chosen(row.value, row.changed_at, row.changed_by)


def read(name: str) -> Any:
    """The value chosen, or the default."""
    return chosen(name).value


def choose(name: str, value: Any, who: str, now: datetime) -> None:
    """To be called with one of CHOICES alone."""
    Setting.objects.update_or_create(
        name=name, defaults={"value": value, "changed_at": now, "changed_by": who[:150]}
    )


def described(strategy: str) -> str:
    """What it does, in a sentence or two."""
    words = DESCRIPTIONS.get(strategy)
    doc = STRATEGIES[strategy].__doc__ or ""
    return str(words) if words else doc.strip().split("\n\n")[0]

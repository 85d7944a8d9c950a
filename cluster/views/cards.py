"""A node as the pages show it."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from cluster import condition, nodes
from cluster.models import Node
from cluster.wording import said
from jobs.claim import busy

MOST_MARKS = 32  # slots, beyond which they would be too many to see
GIGABYTE = 10**9
HEAT = 90  # degrees Celsius


@dataclass(frozen=True)
class Card:
    node: Node
    busy: int  # slots taken
    now: datetime

    @property
    def state(self) -> str:
        return nodes.state(self.node, self.busy, self.now)

    @property
    def why(self) -> str:
        """What is behind the state, in the words of whoever noted it."""
        found = {
            "offline": self.node.trouble,
            "quarantined": self.node.breaker_reason,
            "draining": self.node.drain_reason,
            "drained": self.node.drain_reason,
            "suspect": self.suspicion,
        }
        return said(found.get(self.state, ""))

    @property
    def suspicion(self) -> str:
        if self.node.canary_error:
            return _("its test job failed: %s") % said(self.node.canary_error)
        return _("it has not been heard for a while")

    @property
    def breaker(self) -> str:
        return nodes.breaker(self.node, self.now)

    @property
    def more_tags(self) -> int:
        """Those that the list of nodes leaves out."""
        return max(0, len(self.node.tags) - 6) + max(0, len(self.node.auto_tags) - 1)

    @property
    def slot_marks(self) -> list[bool]:
        """One mark per slot, taken or free."""
        slots, taken = self.node.slots, min(self.busy, self.node.slots)
        return [place < taken for place in range(slots)] if slots <= MOST_MARKS else []

    @property
    def memory_total(self) -> float | None:
        return self.node.memory_total or condition.number(self.node.passport, "memory_total")

    @property
    def memory_percent(self) -> float | None:
        return in_use(self.node.memory_free, self.memory_total)

    @property
    def disk_total(self) -> float | None:
        return condition.number(self.node.reading, "disk_total")

    @property
    def disk_percent(self) -> float | None:
        return in_use(self.node.disk_free, self.disk_total)

    @property
    def load(self) -> float | None:
        return condition.number(self.node.reading, "load_1")

    @property
    def cores(self) -> int | None:
        found = condition.number(self.node.passport, "cores")
        return None if found is None else int(found)

    @property
    def load_percent(self) -> float | None:
        if self.load is None or not self.cores:
            return None
        return min(100.0, 100 * self.load / self.cores)

    @property
    def temperature(self) -> float | None:
        return condition.number(self.node.reading, "temperature")

    @property
    def temperature_percent(self) -> float | None:
        """Of the heat that a machine should never see."""
        if self.temperature is None:
            return None
        return min(100.0, max(0.0, 100 * self.temperature / HEAT))


def in_use(free: int | None, total: float | None) -> float | None:
    """In per cent."""
    if free is None or not total:
        return None
    return min(100.0, max(0.0, 100 - 100 * free / total))


def cards() -> list[Card]:
    taken, now = busy(), timezone.now()
    known = Node.objects.filter(removed_at=None)
    return [Card(node, taken.get(node.pk, 0), now) for node in known]


def card(node: Node) -> Card:
    return Card(node, busy().get(node.pk, 0), timezone.now())

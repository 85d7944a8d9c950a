"""The nodes as placement sees them, read from the rows."""

from collections.abc import Mapping, Sequence

from cluster.models import Node
from cluster.placement import NodeView

UNUSED = ["passport", "reading", "speed_evidence"]  # long, and read at every pass


def views(busy: Mapping[int, int]) -> list[NodeView]:
    """All known nodes; `busy`: slots taken, by node id."""
    known = list(Node.objects.filter(removed_at=None).defer(*UNUSED).order_by("name"))
    turns = in_turn(known)
    return [
        NodeView(
            id=node.pk,
            name=node.name,
            address=node.address,
            slots=node.slots,
            busy=busy.get(node.pk, 0),
            online=node.online,
            draining=node.draining,
            breaker=node.breaker_reason if node.breaker_opened_at else "",
            patched=node.patched,
            tags=frozenset(node.tags) | frozenset(node.auto_tags),
            memory_free=node.memory_free,
            memory_total=node.memory_total,
            last_claim_at=node.last_claim_at,
            speed=node.speed or 1.0,
            turn=turns[node.pk],
        )
        for node in known
    ]


def in_turn(nodes: Sequence[Node]) -> dict[int, int]:
    """Each node's place in the round: the one after the last that was used comes first.

    Where one pass used several, the last is the one whose follower it did not use.
    """
    newest = max((node.last_claim_at for node in nodes if node.last_claim_at), default=None)
    used = [newest is not None and node.last_claim_at == newest for node in nodes]
    ends = [
        place for place, _ in enumerate(nodes) if used[place] and not used[place - len(nodes) + 1]
    ]
    first = ends[0] + 1 if ends else 0
    return {node.pk: (place - first) % len(nodes) for place, node in enumerate(nodes)}

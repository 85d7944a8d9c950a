"""The nodes as placement sees them, read from the rows."""

from cluster.models import Node
from cluster.placement import NodeView


def views(busy: dict[int, int]) -> list[NodeView]:
    """All nodes as placement sees them; `busy`: slots taken, by node id."""
    known = Node.objects.filter(removed_at=None)
    return [
        NodeView(
            id=node.pk,
            name=node.name,
            address=node.address,
            slots=node.slots,
            busy=busy.get(node.pk, 0),
            online=node.online,
            draining=node.draining,
            patched=node.patched,
            tags=frozenset(node.tags),
            memory_free=node.memory_free,
            last_claim_at=node.last_claim_at,
        )
        for node in known
    ]

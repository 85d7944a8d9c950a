"""Scoring functions: lower is better. What may not be chosen was ruled out before."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.placement import NodeView

Score = Callable[["NodeView"], float]


def round_robin(node: "NodeView") -> float:
    """Each in turn: fewest turns in this pass first, then the longest without one."""
    return node.placed * 1e12 + _last_claim(node)


def random_weighted(node: "NodeView") -> float:
    """By chance, in proportion to speed x free slots (exponential race: Efraimidis-Spirakis)."""
    return random.expovariate(1.0) / (node.speed * node.free)


def least_connections(node: "NodeView") -> float:
    """The smallest share of its slots taken."""
    return node.busy / node.slots


def best_performance(node: "NodeView") -> float:
    """The fastest, by measured speed; a busier one counts as slower."""
    return (1 + node.busy / node.slots) / node.speed


def least_recent(node: "NodeView") -> float:
    """The node that has waited longest for work."""
    return _last_claim(node) + node.placed


def _last_claim(node: "NodeView") -> float:
    return node.last_claim_at.timestamp() if node.last_claim_at else 0.0


STRATEGIES: dict[str, Score] = {
    "round_robin": round_robin,
    "random_weighted": random_weighted,
    "least_connections": least_connections,
    "best_performance": best_performance,
    "least_recent": least_recent,
}
DEFAULT = "least_connections"

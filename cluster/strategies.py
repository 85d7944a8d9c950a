"""Scoring functions: lower is better. What may not be chosen was ruled out before.

A score takes the node and the seconds that the job is expected to run there (None: unknown).
While a pass hands out slots, a node's score only ever rises: placement.Placer relies on it.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.placement import NodeView

Score = Callable[["NodeView", float | None], float]

GUESS_SECONDS = 1.0  # for a job never measured, on a node of the fleet's median speed


def round_robin(node: "NodeView", seconds: float | None) -> float:
    """Each in turn, in the order of their names, whatever else they do."""
    return node.turn + node.placed * 1e6


def random_weighted(node: "NodeView", seconds: float | None) -> float:
    """By chance, in proportion to speed x free slots.

    An exponential race (Efraimidis and Spirakis, 2006): whoever was drawn starts again from its
    last score, and the others' draws stay valid, since the exponential forgets.
    """
    return node.drawn + random.expovariate(node.speed * max(1, node.free))


def least_connections(node: "NodeView", seconds: float | None) -> float:
    """The smallest share of its slots taken."""
    return node.busy / node.slots


def best_performance(node: "NodeView", seconds: float | None) -> float:
    """The fastest, by measured speed; a busier one counts as slower."""
    return (1 + node.busy / node.slots) / node.speed


def least_recent(node: "NodeView", seconds: float | None) -> float:
    """The node that has waited longest for work."""
    last = node.last_claim_at.timestamp() if node.last_claim_at else 0.0
    return last + node.placed * 1e12


def earliest_finish(node: "NodeView", seconds: float | None) -> float:
    """Seconds until the job would be done there: it may pay to wait for a faster node.

    List scheduling by earliest completion time (Ibarra and Kim, 1977; HEFT's processor choice).
    """
    return node.free_in() + node.lasts(seconds)


STRATEGIES: dict[str, Score] = {
    "round_robin": round_robin,
    "random_weighted": random_weighted,
    "least_connections": least_connections,
    "best_performance": best_performance,
    "least_recent": least_recent,
    "earliest_finish": earliest_finish,
}
DEFAULT = "least_connections"
FORESEEN = 1000  # jobs looked at in a pass, to find one for which a slow node's turn has come
FORESEEING = {"earliest_finish"}  # these look at busy nodes too, and at the job's run time

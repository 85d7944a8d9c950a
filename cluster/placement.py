"""Which node takes which job. Pure: values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cluster.strategies import Score


@dataclass(frozen=True)
class Need:
    """What a job asks of a node."""

    tags: frozenset[str] = frozenset()
    memory_mb: int | None = None
    nodes: frozenset[str] = frozenset()  # names; empty: any
    exclude: frozenset[str] = frozenset()  # names


@dataclass
class NodeView:
    """A node as placement sees it; `busy` counts up while a pass hands out slots."""

    id: int
    name: str
    address: str
    slots: int
    busy: int = 0
    online: bool = True
    draining: bool = False
    patched: bool = True
    tags: frozenset[str] = frozenset()
    memory_free: int | None = None  # bytes
    last_claim_at: datetime | None = None
    speed: float = 1.0  # against the fleet's median; 1 while unknown
    placed: int = field(default=0, compare=False)  # in this pass

    @property
    def free(self) -> int:
        return max(0, self.slots - self.busy)


def need_of(body: dict[str, Any]) -> Need:
    """A Need row's body as a value."""
    return Need(
        tags=frozenset(body.get("tags", ())),
        memory_mb=body.get("memory_mb"),
        nodes=frozenset(body.get("nodes", ())),
        exclude=frozenset(body.get("exclude", ())),
    )


def never(need: Need, node: NodeView) -> str | None:
    """Why this node will not take it even when it is up and idle, in words."""
    if need.nodes and node.name not in need.nodes:
        return "not among the wanted nodes"
    if node.name in need.exclude:
        return "excluded by the job"
    if missing := sorted(need.tags - node.tags):
        return f"lacks the tag {', '.join(missing)}"
    return None


def why_not(need: Need, node: NodeView) -> str | None:
    """Why this node cannot take it now, in words; None if it can."""
    if not node.online:
        return "offline"
    if node.draining:
        return "draining"
    if reason := never(need, node):
        return reason
    if need.memory_mb and node.memory_free is not None:
        free_mb = node.memory_free // 2**20
        if free_mb < need.memory_mb:
            return f"{free_mb} MB of memory free, {need.memory_mb} MB needed"
    if not node.free:
        return "every slot is taken" if node.slots > 1 else "its slot is taken"
    return None


@dataclass(frozen=True)
class Choice:
    """A node chosen, with the receipt that explains it."""

    node: NodeView
    receipt: dict[str, Any]


def choose(need: Need, nodes: Iterable[NodeView], score: Score, strategy: str) -> Choice | None:
    """The best node that can take it now: lowest score, then name."""
    ruled_out: dict[str, str] = {}
    scored: list[tuple[float, str, NodeView]] = []
    for node in nodes:
        if reason := why_not(need, node):
            ruled_out[node.name] = reason
        else:
            scored.append((score(node), node.name, node))
    if not scored:
        return None
    best = min(scored, key=lambda entry: entry[:2])[2]
    scored.sort(key=lambda entry: entry[:2])
    receipt = {
        "strategy": strategy,
        "candidates": {name: round(points, 4) for points, name, _ in scored[:20]},
        "ruled_out": dict(list(ruled_out.items())[:20]),
    }
    return Choice(best, receipt)


def possible(need: Need, nodes: Sequence[NodeView]) -> bool:
    """Could any known node ever take it?"""
    return any(never(need, node) is None for node in nodes)

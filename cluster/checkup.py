"""Breakers, canaries and speeds as they stand on the nodes' rows."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from cluster import breaker
from cluster.breaker import Breaker, Loss
from cluster.canary import Song
from cluster.models import Node
from cluster.speed import Speed

EVERY = timedelta(minutes=2)  # an idle node's canary
AGAIN = timedelta(seconds=10)  # after one that failed
ENOUGH_DIFFERENCE = 0.01  # of a speed, to be worth a write


def breaker_of(node: Node) -> Breaker:
    return Breaker(
        node.breaker_opened_at, node.breaker_probe_at, node.breaker_openings,
        node.breaker_reason, node.breaker_reset_at,
    )  # fmt: skip


def keep(node: Node, new: Breaker) -> None:
    """Write the breaker, unless it changed meanwhile (a person may have reset it)."""
    Node.objects.filter(pk=node.pk, breaker_opened_at=node.breaker_opened_at).update(
        breaker_opened_at=new.opened_at,
        breaker_probe_at=new.probe_at,
        breaker_openings=new.openings,
        breaker_reason=new.reason,
        breaker_reset_at=new.closed_at,
    )


def judge(losses: Collection[Loss], nodes: Iterable[int], now: datetime) -> list[Node]:
    """Open the breakers of those nodes that lost too much; returns them."""
    opened = []
    for node in Node.objects.filter(pk__in=set(nodes)):
        before = breaker_of(node)
        after = breaker.after_losses(before, losses, node.pk, now)
        if after != before:
            keep(node, after)
            node.breaker_reason = after.reason
            opened.append(node)
    return opened


def heard(node_id: int, song: Song, dispatch_ms: float | None, now: datetime) -> None:
    """Note what a node's canary told."""
    node = Node.objects.filter(pk=node_id).first()
    if node is None:
        return
    before = breaker_of(node)
    after = breaker.after_canary(before, song.error, bool(node.canary_error), now)
    if after != before:
        keep(node, after)
    values = {} if dispatch_ms is None else {"dispatch_ms": round(dispatch_ms, 1)}
    Node.objects.filter(pk=node_id).update(canary_at=now, canary_error=song.error, **values)


def wants_canary(node: Node, now: datetime) -> bool:
    """For an idle node that is up."""
    state = breaker.state(breaker_of(node), now)
    if state != "closed":
        return state == "half_open"
    pause = AGAIN if node.canary_error else EVERY
    return not node.draining and (node.canary_at is None or node.canary_at + pause <= now)


def keep_speeds(found: Mapping[int, Speed]) -> None:
    for node in Node.objects.filter(pk__in=found):
        new = found[node.pk]
        close = node.speed and abs(new.speed / node.speed - 1) < ENOUGH_DIFFERENCE
        if close and new.samples < 1.1 * node.speed_samples:
            continue
        Node.objects.filter(pk=node.pk).update(
            speed=round(new.speed, 4), speed_samples=new.samples, speed_evidence=new.evidence
        )

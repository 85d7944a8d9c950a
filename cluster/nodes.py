"""Every write to a Node."""

import re
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from cluster.models import Node


def listed(address: str, now: datetime) -> Node:
    """The row of an address we were told to use; made if missing."""
    node, _ = Node.objects.get_or_create(
        address=address, defaults={"name": free_name(address), "added_at": now}
    )
    return node


def seen(
    address: str, name: str, cpus: int, platform: str, version: str, patched: bool,
    passport: dict[str, Any], now: datetime,
) -> Node:  # fmt: skip
    """A node is up: bring its row up to date and return it."""
    node = listed(address, now)
    if node.last_seen_at is None:
        node.name = free_name(name or address, node.pk)
        node.slots = max(1, cpus)
    node.cpus, node.platform, node.version = cpus, platform[:200], version[:40]
    node.patched, node.passport = patched, passport
    node.online, node.trouble, node.removed_at, node.last_seen_at = True, "", None, now
    node.save()
    return node


def free_name(wanted: str, pk: int | None = None) -> str:
    """That name, fit for a URL, or with a number behind it where another node has it."""
    wanted = re.sub(r"[^\w.-]+", "-", wanted).strip("-.") or "node"
    others = Node.objects.exclude(pk=pk) if pk else Node.objects.all()
    taken = set(others.values_list("name", flat=True))
    name, number = wanted[:90], 1
    while name in taken:
        number += 1
        name = f"{wanted[:90]}-{number}"
    return name


def gone(address: str, reason: str, now: datetime) -> None:
    Node.objects.filter(address=address).update(online=False, trouble=reason[:300])


def troubled(address: str, reason: str, now: datetime) -> None:
    """Listed, but not usable: said in words on its row."""
    listed(address, now)
    Node.objects.filter(address=address).update(online=False, trouble=reason[:300])


def reading(address: str, now: datetime, **values: Any) -> None:
    Node.objects.filter(address=address).update(last_seen_at=now, **values)


def state(node: Node, busy: int) -> str:
    """In one word: offline, drained, draining or online. `busy`: slots taken."""
    if not node.online:
        return "offline"
    if node.draining:
        return "draining" if busy else "drained"
    return "online"


def all_offline() -> None:
    """A dispatcher that starts has seen nobody yet."""
    Node.objects.filter(online=True).update(online=False)


def drain(nodes: QuerySet[Node], reason: str = "") -> int:
    """Finish what runs, take nothing new."""
    return nodes.filter(draining=False).update(draining=True, drain_reason=reason[:200])


def resume(nodes: QuerySet[Node]) -> int:
    return nodes.filter(draining=True).update(draining=False, drain_reason="")

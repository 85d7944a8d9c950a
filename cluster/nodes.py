"""Every write to a Node."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cluster import addresses
from cluster import tags as tagging
from cluster.breaker import state as breaker_state
from cluster.checkup import breaker_of
from cluster.engine.hearsay import MOST_SLOTS
from cluster.models import Node

SILENT = timedelta(seconds=15)  # unheard for so long: suspect
RESERVED = ("join",)  # a page beside the nodes' own
HEARD = ["name", "slots", "auto_tags", "cpus", "platform", "version", "patched", "passport",
         "online", "trouble", "last_seen_at"]  # fmt: skip


class Refused(Exception):
    """It cannot be done: why, and what to do instead. `field`: whose value is at fault, if any."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Auto:
    """As many slots as the agent has."""


AUTO = Auto()


# What the dispatcher hears


def listed(address: str, now: datetime) -> Node:
    """The row of an address we were told to use; made if missing, back if it was removed."""
    node = row_of(address, now)
    if node.removed_at:
        Node.objects.filter(pk=node.pk).update(removed_at=None)
        node.removed_at = None
    return node


def row_of(address: str, now: datetime) -> Node:
    node, _made = Node.objects.get_or_create(
        address=address, defaults={"name": free_name(address), "added_at": now}
    )
    return node


@transaction.atomic
def seen(
    address: str, name: str, cpus: int, platform: str, version: str, patched: bool,
    passport: dict[str, Any], now: datetime,
) -> Node:  # fmt: skip
    """A node is up: bring its row up to date and return it. Of a removed one nothing is heard."""
    node = Node.objects.select_for_update().get(pk=row_of(address, now).pk)
    if node.removed_at:
        return node
    if node.last_seen_at is None and node.name.startswith(fit_name(address)):
        node.name = free_name(name or address, node.pk)  # nobody has named it yet
    offered = max(1, cpus)
    node.slots = min(node.slots, offered) if node.slots_set else offered
    node.auto_tags = tagging.auto_tags(passport, platform)
    node.cpus, node.platform, node.version = cpus, platform[:200], version[:40]
    node.patched, node.passport = patched, passport
    node.online, node.trouble, node.last_seen_at = True, "", now
    node.save(update_fields=HEARD)  # what people change meanwhile stays
    return node


def gone(address: str, reason: str, now: datetime) -> None:
    Node.objects.filter(address=address).update(online=False, trouble=reason)


def troubled(address: str, reason: str, now: datetime) -> None:
    """Listed, but not usable: said in words on its row."""
    row_of(address, now)
    Node.objects.filter(address=address).update(online=False, trouble=reason)


def reading(address: str, now: datetime, **values: Any) -> None:
    Node.objects.filter(address=address).update(last_seen_at=now, **values)


def all_offline() -> None:
    """A dispatcher that starts has seen nobody yet."""
    Node.objects.filter(online=True).update(online=False)


def listed_addresses() -> list[str]:
    """Of the nodes that are to be used."""
    rows = Node.objects.filter(removed_at=None).order_by("pk")
    return list(rows.values_list("address", flat=True))


def follow_settings(named: Sequence[str], now: datetime) -> None:
    """Have a row for each address of DISPY_NODES; what it names no longer is let go."""
    for address in named:
        listed(address, now)
    dropped = Node.objects.filter(removed_at=None, added_by="").exclude(address__in=named)
    dropped.update(removed_at=now, online=False)


# What people do


def add(
    address: str, name: str, slots: int | None, tags: Iterable[str], who: str, now: datetime
) -> Node:
    """A machine to use from now on; one that was removed comes back with its history.

    Without a name it takes the agent's, without slots as many as the agent has.
    """
    address = checked_address(address)
    with transaction.atomic():
        node = Node.objects.filter(address__iexact=address).first()
        if node and node.removed_at is None:
            message = _("%(address)s is known already, as %(name)s.")
            raise Refused(message % {"address": address, "name": node.name}, "address")
        node = node or Node(address=address)
        node.name = checked_name(name, node) if name else node.name or free_name(address)
        node.tags = checked_tags(tags)
        node.slots_set = slots is not None
        node.slots = checked_slots(slots, node) if slots is not None else node.cpus or 1
        node.added_at, node.added_by, node.removed_at = now, who[:150], None
        node.draining, node.drain_reason, node.trouble = False, "", ""
        node.canary_at, node.canary_error = None, ""
        close_breaker(node, now)
        try:
            with transaction.atomic():
                node.save()
        except IntegrityError:
            raise Refused(_("Somebody added it at this very moment; look again.")) from None
    return node


def change(
    node: Node, name: str | None = None, slots: int | Auto | None = None,
    tags: Iterable[str] | None = None,
) -> None:  # fmt: skip
    """What is given, all of it or nothing; None leaves as it is."""
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = checked_name(name, node)
    if isinstance(slots, Auto):
        values |= {"slots_set": False, "slots": node.cpus or 1}
    elif slots is not None:
        values |= {"slots_set": True, "slots": checked_slots(slots, node)}
    if tags is not None:
        values["tags"] = checked_tags(tags)
    if not values:
        return
    try:
        with transaction.atomic():
            Node.objects.filter(pk=node.pk).update(**values)
    except IntegrityError:
        raise Refused(_("Another node has this name; choose another."), "name") from None
    for field, value in values.items():
        setattr(node, field, value)


def drain(nodes: QuerySet[Node], reason: str = "") -> int:
    """Finish what runs, take nothing new. Again with another reason: that one counts."""
    new = Q(draining=False) | ~Q(drain_reason=reason) if reason else Q(draining=False)
    return nodes.filter(new).update(draining=True, drain_reason=reason)


def resume(nodes: QuerySet[Node]) -> int:
    return nodes.filter(draining=True).update(draining=False, drain_reason="")


def reset(node: Node, now: datetime) -> None:
    """Close the breaker; what was lost before does not count any more."""
    close_breaker(node, now)
    node.save(update_fields=[
        "breaker_opened_at", "breaker_probe_at", "breaker_openings", "breaker_reason",
        "breaker_reset_at",
    ])  # fmt: skip


def close_breaker(node: Node, now: datetime) -> None:
    node.breaker_opened_at = node.breaker_probe_at = None
    node.breaker_openings, node.breaker_reason = 0, ""
    node.breaker_reset_at = now


def remove(node: Node, now: datetime, force: bool = False) -> None:
    """Use it no more; its row and its history stay. The dispatcher lets it go."""
    if in_settings(node):
        message = _("%(name)s is listed in the settings: take it out of DISPY_NODES, or drain it.")
        if not settings.DISPY_NODES:
            message = _(
                "%(name)s is this machine's own node, there while DISPY_NODES is empty: list "
                "other machines in DISPY_NODES, or drain it."
            )
        raise Refused(message % {"name": node.name})
    with transaction.atomic():
        if (running := attempts_open(node)) and not force:
            message = ngettext(
                "%(count)s attempt is still open there: drain the node first, or force it and the "
                "attempt counts as lost.",
                "%(count)s attempts are still open there: drain the node first, or force it and "
                "the attempts count as lost.",
                running,
            )
            raise Refused(message % {"count": running})
        Node.objects.filter(pk=node.pk, removed_at=None).update(
            removed_at=now, online=False, draining=False, drain_reason="", trouble=""
        )


def open_attempts(node: Node) -> QuerySet[Any]:
    """By the index of all that are open: by the node's own, SQLite would read all it ever had."""
    attempts = node.attempts.model._default_manager.all()
    return attempts.annotate(place=F("node") + 0).filter(place=node.pk, finished_at=None)


def attempts_open(node: Node) -> int:
    return open_attempts(node).count()


def in_settings(node: Node) -> bool:
    """Named by the settings, so that it would be back with the next start."""
    named = settings.DISPY_NODES or [settings.LOCAL_NODE]
    return node.address.lower() in {address.lower() for address in named}


# How it stands


def state(node: Node, busy: int, now: datetime | None = None) -> str:
    """In one word. `busy`: slots taken; without `now` it is not asked how fresh the news is."""
    if not node.online:
        return "offline"
    if node.breaker_opened_at:
        return "quarantined"
    if node.draining:
        return "draining" if busy else "drained"
    silent = now and node.last_seen_at and now - node.last_seen_at > SILENT
    return "suspect" if silent or node.canary_error else "online"


def breaker(node: Node, now: datetime) -> str:
    """closed, open, or half-open: the next job is its probe."""
    return breaker_state(breaker_of(node), now).replace("_", "-")


# What is let in


def free_name(wanted: str, pk: int | None = None) -> str:
    """That name, fit for a URL, or with a number behind it where another node has it."""
    wanted = fit_name(wanted) or "node"
    others = Node.objects.exclude(pk=pk) if pk else Node.objects.all()
    taken = {*others.values_list("name", flat=True), *RESERVED}
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def fit_name(wanted: str) -> str:
    return re.sub(r"[^\w.-]+", "-", wanted).strip("-.")[:90].strip("-.")


def checked_name(name: str, node: Node) -> str:
    name = name.strip()
    if not name or name != fit_name(name):
        message = _("Use letters, digits and . _ - alone, 90 at most, a letter or digit first.")
        raise Refused(message, "name")
    if name in RESERVED:
        raise Refused(_("“%(name)s” is a page of ours; choose another.") % {"name": name}, "name")
    others = Node.objects.filter(name__iexact=name).exclude(pk=node.pk)
    if other := others.first():
        text = _("The node at %(address)s has this name; choose another.")
        if other.removed_at:
            text = _("The removed node at %(address)s has this name; choose another.")
        raise Refused(text % {"address": other.address}, "name")
    return name


def checked_slots(slots: int, node: Node) -> int:
    most = node.cpus or MOST_SLOTS
    if 1 <= slots <= most:
        return slots
    if slots > 1 and node.cpus:
        message = _(
            "Its agent offers %(offers)s. For more, start it with --slots %(wanted)s; here give a "
            "number from 1 to %(offers)s, or leave it to the agent."
        )
        raise Refused(message % {"offers": node.cpus, "wanted": slots}, "slots")
    message = _("Give a number from 1 to %(most)s, or leave it to the agent.")
    raise Refused(message % {"most": most}, "slots")


def checked_address(address: str) -> str:
    try:
        return addresses.checked(address)
    except addresses.BadAddress as bad:
        raise Refused(str(bad), "address") from None


def checked_tags(tags: Iterable[str]) -> list[str]:
    try:
        return tagging.checked(tags)
    except tagging.BadTag as bad:
        raise Refused(str(bad), "tags") from None

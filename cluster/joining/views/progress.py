"""How far an invited node has come: the rows that say so, and the steps that are ours to take."""

import platform
import socket
from datetime import datetime
from importlib.metadata import version
from typing import Any

from django.conf import settings
from django.db import transaction

from cluster import nodes
from cluster.joining import invitations
from cluster.joining.receipt import Check, Standing, receipt
from cluster.joining.wheels import PACKAGES
from cluster.models import Invitation, Node
from jobs import lease
from jobs.models import Job
from jobs.serializers import JobIn
from jobs.submit import submit

CONNECT_SECONDS = 1.0
GREETING = """import platform
print("Hello from", platform.node(), "with Python", platform.python_version())
"""


def receipt_of(invitation: Invitation, now: datetime) -> list[Check]:
    """As far as is known. Only looks: it writes nothing and connects to nobody."""
    return receipt(invitation.checks, standing_of(invitation, now))


def standing_of(invitation: Invitation, now: datetime) -> Standing:
    node = invitation.node
    facts: dict[str, Any] = {}
    if node and node.removed_at is None:
        facts = {"node": node.name, "online": node.online, "trouble": node.trouble}
    if invitation.welcome_job:
        job = Job.objects.filter(pk=invitation.welcome_job).first()
        facts |= {"job": invitation.welcome_job}
        facts |= {"job_state": job.state, "job_error": job.error} if job else {}
    return Standing(
        dispatcher_up=lease.holder("dispatcher", now) is not None,
        place=f"{settings.DISPY_HOST}:{settings.DISPY_PORT}",
        port=settings.DISPY_PORT + 1,
        packages={name: version(name) for name in PACKAGES},
        python=platform.python_version(),
        **facts,
    )


def go_on(invitation: Invitation, now: datetime) -> None:
    """The steps that are ours: connect to the node, send it a test job. Each until it is done."""
    node = invitation.node
    if node is None:
        return
    if not invitation.checks.get("port_out", {}).get("ok"):
        error = cannot_connect(node.address, settings.DISPY_PORT + 1)
        place = f"{node.address}:{settings.DISPY_PORT + 1}"
        invitations.note(invitation, "port_out", not error, now, value=place, error=error)
    if node.online and invitation.welcome_job is None:
        welcome(invitation, node, now)


def cannot_connect(address: str, port: int) -> str:
    """Why not; empty where it can."""
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def welcome(invitation: Invitation, node: Node, now: datetime) -> None:
    """A real job, for that node alone, owned by who invited it; once."""
    checked = JobIn(data={
        "name": f"welcome {node.name}", "kind": "script", "source": GREETING,
        "needs": {"nodes": [node.name]}, "priority": 100, "timeout_seconds": 60,
    })  # fmt: skip
    checked.is_valid(raise_exception=True)
    with transaction.atomic():
        row = Invitation.objects.select_for_update().get(pk=invitation.pk)
        if row.welcome_job is None:
            job = submit(checked.validated_data, row.created_by, now)
            row.welcome_job = job.pk
            row.save(update_fields=["welcome_job"])
    invitation.welcome_job = row.welcome_job


def come_in(invitation: Invitation, address: str, name: str, now: datetime) -> None:
    """Its agent runs: have the dispatcher use it. One that is known already stays as it is."""
    if invitation.node:
        return
    node = Node.objects.filter(address__iexact=address).first()
    if node is None or node.removed_at:
        wanted = invitation.name or (node.name if node else name)
        wanted = nodes.free_name(wanted, node.pk if node else None)
        who = invitation.created_by.get_username()
        # The slots are the agent's: it was started with those of the invitation.
        node = nodes.add(address, wanted, None, invitation.tags, who, now)
    invitations.came_as(invitation, node)

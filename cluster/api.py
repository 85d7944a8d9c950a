import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster import nodes, setting
from cluster.models import Node
from cluster.serializers import (
    DrainIn,
    HealthOut,
    NodeChange,
    NodeIn,
    NodeOut,
    StrategyIn,
    StrategyOut,
)
from cluster.wording import said
from jobs import claim, counts, lease
from jobs.api import Conflict, once
from jobs.models import Job

MOST_REASONS = 20


class StaffWrites(BasePermission):
    """Whoever is signed in may read; staff may change."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return bool(user.is_authenticated and (request.method in SAFE_METHODS or user.is_staff))


def known() -> QuerySet[Node]:
    return Node.objects.filter(removed_at=None)


def find(name: str) -> Node:
    return get_object_or_404(known(), name=name)


def context() -> dict[str, Any]:
    return {"busy": claim.busy(), "now": timezone.now()}


def represent(node: Node) -> Any:
    node.refresh_from_db()
    return NodeOut(node, context=context()).data


def as_answer(refused: nodes.Refused) -> Exception:
    """400 where a field is at fault, 409 where the node is not in a state for it."""
    if refused.field:
        return ValidationError({refused.field: [str(refused)]})
    return Conflict(str(refused))


class NodeList(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=NodeOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(NodeOut(known(), many=True, context=context()).data)

    @extend_schema(request=NodeIn, responses={201: NodeOut})
    def post(self, request: Request) -> Response:
        """Use a machine from now on; its agent may start later. One that was removed comes back.

        With an Idempotency-Key a repeated request answers 200 with the node of the first.
        """
        checked = NodeIn(data=request.data)
        checked.is_valid(raise_exception=True)
        given = checked.validated_data
        who, now = request.user.get_username(), timezone.now()

        def add() -> Node:
            return nodes.add(
                given["address"], given.get("name", ""), given.get("slots"), given.get("tags", ()),
                who, now,
            )  # fmt: skip

        try:
            node, new = once(request, add)
        except nodes.Refused as refused:
            raise as_answer(refused) from None
        if node.removed_at:
            raise Conflict(_("What was added with this Idempotency-Key has been removed since."))
        return Response(represent(node), status=201 if new else 200)


FORCE = OpenApiParameter("force", bool, description="although attempts are open there")


class NodeDetail(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=NodeOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(represent(find(name)))

    @extend_schema(request=NodeChange, responses=NodeOut)
    def patch(self, request: Request, name: str) -> Response:
        """Change its name, its slots, its tags."""
        node = find(name)
        checked = NodeChange(data=request.data)
        checked.is_valid(raise_exception=True)
        given = dict(checked.validated_data)
        if "slots" in given and given["slots"] is None:
            given["slots"] = nodes.AUTO
        try:
            nodes.change(node, **given)
        except nodes.Refused as refused:
            raise as_answer(refused) from None
        return Response(represent(node))

    @extend_schema(parameters=[FORCE], responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Use it no more; its history stays. 409 while attempts are open there."""
        node, forces = find(name), {"": False, "false": False, "0": False, "true": True, "1": True}
        force = forces.get(request.query_params.get("force", "").lower())
        if force is None:
            raise ValidationError({"force": [_("Give true or false.")]})
        try:
            nodes.remove(node, timezone.now(), force)
        except nodes.Refused as refused:
            raise as_answer(refused) from None
        return Response(status=204)


class NodeDrain(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=DrainIn, responses=NodeOut)
    def post(self, request: Request, name: str) -> Response:
        """Finish what runs, take nothing new."""
        node = find(name)
        checked = DrainIn(data=request.data)
        checked.is_valid(raise_exception=True)
        nodes.drain(Node.objects.filter(pk=node.pk), checked.validated_data.get("reason", ""))
        return Response(represent(node))


class NodeResume(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=None, responses=NodeOut)
    def post(self, request: Request, name: str) -> Response:
        """Take work again after a drain."""
        node = find(name)
        nodes.resume(Node.objects.filter(pk=node.pk))
        return Response(represent(node))


class NodeReset(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(request=None, responses=NodeOut)
    def post(self, request: Request, name: str) -> Response:
        """Close its breaker: earlier losses do not count any more."""
        node = find(name)
        nodes.reset(node, timezone.now())
        return Response(represent(node))


class Strategy(APIView):
    permission_classes = [StaffWrites]

    @extend_schema(responses=StrategyOut)
    def get(self, request: Request) -> Response:
        """How nodes are chosen, where a job does not say."""
        return Response(strategy())

    @extend_schema(request=StrategyIn, responses=StrategyOut)
    def put(self, request: Request) -> Response:
        """The dispatcher takes it from its next pass on."""
        checked = StrategyIn(data=request.data)
        checked.is_valid(raise_exception=True)
        who = request.user.get_username()
        setting.choose("strategy", checked.validated_data["strategy"], who, timezone.now())
        return Response(strategy())


def strategy() -> Any:
    chosen = setting.chosen("strategy")
    choices = [
        {"name": n, "description": setting.described(n)} for n in setting.CHOICES["strategy"]
    ]
    found = {
        "strategy": chosen.value, "choices": choices, "changed_at": chosen.changed_at,
        "changed_by": chosen.changed_by,
    }  # fmt: skip
    return StrategyOut(found).data


class Health(APIView):
    @extend_schema(responses=HealthOut)
    def get(self, request: Request) -> Response:
        """Can work be done, and what is wrong with which node."""
        rows, more = list(known()), context()
        now = more["now"]
        states = {row.name: nodes.state(row, more["busy"].get(row.pk, 0), now) for row in rows}
        alive = lease.holder("dispatcher", now) is not None
        down = list(stops(states, alive))
        ills = list(troubles(rows, states))
        found = {
            "status": "down" if down else "degraded" if ills else "healthy",
            "reasons": [*down, *ills][:MOST_REASONS],
            "dispatcher": "running" if alive else "stopped",
            "counts": {"total": len(rows), **Counter(states.values())},
            "nodes": rows,
        }
        return Response(HealthOut(found, context=more).data)


def stops(states: dict[str, str], alive: bool) -> Iterator[str]:
    """Why nothing can start at all."""
    if not alive:
        yield _("The dispatcher is not running.")
    if not states:
        yield _("No node is known.")
    elif not {"online", "suspect"}.intersection(states.values()):
        yield _("No node takes work now.")


def troubles(rows: Sequence[Node], states: dict[str, str]) -> Iterator[str]:
    """What is wrong with single nodes; a drain is somebody's wish."""
    for row in rows:
        words = {"name": row.name, "why": said(row.trouble)}
        match states[row.name]:
            case "offline" if row.trouble:
                yield _("%(name)s is offline: %(why)s") % words
            case "offline":
                yield _("%(name)s is offline.") % words
            case "quarantined":
                words["why"] = said(row.breaker_reason)
                yield _("%(name)s is quarantined: %(why)s") % words
            case "suspect" if row.canary_error:
                words["why"] = said(row.canary_error)
                yield _("%(name)s is suspect: its test job failed: %(why)s") % words
            case "suspect":
                yield _("%(name)s is suspect: it has not been heard for a while.") % words


class Overview(APIView):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        """The cluster on one page: nodes, slots, jobs."""
        rows, more = list(known()), context()
        busy = more["busy"]
        states = Counter(nodes.state(row, busy.get(row.pk, 0), more["now"]) for row in rows)
        up = [node for node in rows if node.online]
        return Response({
            "nodes": {
                "total": len(rows),
                "online": len(up),
                "draining": sum(node.draining for node in up),
                "quarantined": states["quarantined"],
                "suspect": states["suspect"],
                "offline": len(rows) - len(up),
            },
            "slots": {
                "total": sum(node.slots for node in up),
                "busy": sum(min(node.slots, busy.get(node.pk, 0)) for node in up),
            },
            "jobs": counts.by_state(Job.objects.all()),
            "processes": processes(),
        })  # fmt: skip


class DispyStatus(APIView):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        """Is the engine up, with how many nodes and jobs."""
        by_state = counts.by_state(Job.objects.all())
        alive = processes()
        online = known().filter(online=True).count()
        return Response({
            "status": "running" if alive["dispatcher"] else "stopped",
            "nodes": online,
            "nodes_known": known().count(),
            "active_jobs": by_state["running"],
            "queued_jobs": by_state["queued"],
            "total_jobs": sum(by_state.values()),
            "processes": alive,
            "versions": {
                "dispycluster": version_of_ours(),
                "dispy": version("dispy"),
                "python": platform.python_version(),
            },
        })  # fmt: skip


def processes() -> dict[str, Any]:
    """Dispatcher and monitor: since when and last heard of; null where the heartbeat is stale."""
    now = timezone.now()
    found = {name: lease.holder(name, now) for name in ("dispatcher", "monitor")}
    return {
        name: held and {"since": held.taken_at, "heartbeat_at": held.renewed_at}
        for name, held in found.items()
    }


def version_of_ours() -> str:
    from django.conf import settings

    return str(settings.SPECTACULAR_SETTINGS["VERSION"])

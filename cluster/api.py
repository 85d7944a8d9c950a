import platform
from importlib.metadata import version
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster import nodes
from cluster.models import Node
from jobs import claim, counts, lease
from jobs.models import Job


class NodeOut(serializers.ModelSerializer):
    """A node as last heard of. Needs `busy` in the context: slots taken, by node id."""

    state = serializers.SerializerMethodField()
    busy = serializers.SerializerMethodField()

    class Meta:
        model = Node
        fields = [
            "name", "address", "state", "slots", "busy", "tags", "draining", "drain_reason",
            "trouble", "cpus", "platform", "version", "patched", "passport", "cpu_percent",
            "memory_free", "disk_free", "swap_percent", "last_seen_at", "added_at",
        ]  # fmt: skip

    def get_state(self, node: Node) -> str:
        return nodes.state(node, self.get_busy(node))

    def get_busy(self, node: Node) -> int:
        return int(self.context["busy"].get(node.pk, 0))


class DrainIn(serializers.Serializer):
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


def known() -> QuerySet[Node]:
    return Node.objects.filter(removed_at=None)


def represent(node: Node) -> Any:
    return NodeOut(node, context={"busy": claim.busy()}).data


class NodeList(APIView):
    @extend_schema(responses=NodeOut(many=True))
    def get(self, request: Request) -> Response:
        return Response(NodeOut(known(), many=True, context={"busy": claim.busy()}).data)


class NodeDetail(APIView):
    @extend_schema(responses=NodeOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(represent(get_object_or_404(known(), name=name)))


class NodeDrain(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(request=DrainIn, responses=NodeOut)
    def post(self, request: Request, name: str) -> Response:
        """Finish what runs, take nothing new."""
        checked = DrainIn(data=request.data)
        checked.is_valid(raise_exception=True)
        node = get_object_or_404(known(), name=name)
        nodes.drain(Node.objects.filter(pk=node.pk), checked.validated_data.get("reason", ""))
        node.refresh_from_db()
        return Response(represent(node))


class NodeResume(APIView):
    permission_classes = [IsAdminUser]

    @extend_schema(request=None, responses=NodeOut)
    def post(self, request: Request, name: str) -> Response:
        node = get_object_or_404(known(), name=name)
        nodes.resume(Node.objects.filter(pk=node.pk))
        node.refresh_from_db()
        return Response(represent(node))


class Overview(APIView):
    @extend_schema(responses={200: dict[str, Any]})
    def get(self, request: Request) -> Response:
        """The cluster on one page: nodes, slots, jobs."""
        rows, busy = list(known()), claim.busy()
        up = [node for node in rows if node.online]
        return Response({
            "nodes": {
                "total": len(rows),
                "online": len(up),
                "draining": sum(node.draining for node in up),
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

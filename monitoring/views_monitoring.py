"""What was: charts of the cluster and of a node; what is: every number with its definition."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cluster.models import Node
from monitoring import charts, metrics, snapshot
from monitoring.metrics import Metric

DAY = charts.RANGES["24h"]
OF_NODES = ("utilisation", "throughput", "success_share", "run_mean", "speed", "lost_attempts",
            "network_latency", "dispatch_latency", "clock_skew")  # fmt: skip


@require_safe
def monitoring_page(request: HttpRequest) -> HttpResponse:
    live = request.path.startswith("/live/")
    template = "monitoring/_monitoring.html" if live else "monitoring/monitoring.html"
    return render(request, template, picture(request.GET.get("range", "")))


@require_safe
def live_node_charts(request: HttpRequest, name: str) -> HttpResponse:
    node = get_object_or_404(Node, name=name)
    return render(request, "monitoring/_node_charts.html", node_picture(node))


def node_picture(node: Node) -> dict[str, Any]:
    return {"node": node, "charts": charts.of_node(node.pk, DAY, timezone.now())}


def picture(wanted: str) -> dict[str, Any]:
    now = timezone.now()
    chosen = wanted if wanted in charts.RANGES else "1h"
    found = metrics.now_values(snapshot.read(now))
    shown = [metrics.OF_NODE[name] for name in OF_NODES]
    return {
        "ranges": list(charts.RANGES),
        "chosen": chosen,
        "charts": charts.of_cluster(charts.RANGES[chosen], now),
        "numbers": [row(metric, found.cluster[metric.name]) for metric in metrics.CLUSTER],
        "failures": found.failures.items(),
        "heads": [(_(metric.label), _(metric.definition)) for metric in shown],
        "nodes": [
            (name, [charts.shown(values[metric.name], metric.unit) for metric in shown])
            for name, values in found.nodes.items()
        ],
    }


def row(metric: Metric, value: float | None) -> dict[str, Any]:
    return {
        "label": _(metric.label),
        "value": charts.shown(value, metric.unit),
        "window": metric.window,
        "definition": _(metric.definition),
    }

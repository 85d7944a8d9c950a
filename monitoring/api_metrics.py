"""GET /api/metrics: every number now, or as series."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cluster.models import Node
from jobs.api import naming
from jobs.parameters import MOMENT, moment
from monitoring import metrics, samples, snapshot
from monitoring.metrics import Metric

HOUR = timedelta(hours=1)
LONGEST_STEP = 30 * 86400
NUMBERS = serializers.DictField(child=serializers.FloatField(allow_null=True))


class DefinitionOut(serializers.Serializer):
    """window_seconds: how far it looks back, in a series the step; 0: it is of a moment."""

    name = serializers.CharField()
    of = serializers.CharField(help_text="cluster or node")
    unit = serializers.CharField()
    window_seconds = serializers.IntegerField()
    title = serializers.CharField()
    definition = serializers.CharField()


class MetricsOut(serializers.Serializer):
    """Values now by name, null where nobody knows. With from, to or step: series instead.

    In a series `at` has the ends of the steps, and each name a value for each of them.
    """

    at = serializers.DateTimeField()
    cluster = NUMBERS
    nodes = serializers.DictField(child=NUMBERS, help_text="by name")
    failures = serializers.DictField(
        child=serializers.IntegerField(), help_text="the last hour's failed jobs, by kind"
    )
    definitions = DefinitionOut(many=True)


PARAMETERS = [
    OpenApiParameter("from", str, description=f"{MOMENT}; usual: an hour before to"),
    OpenApiParameter("to", str, description="likewise, a day to its end; usual: now"),
    OpenApiParameter("step", int, description="seconds; chosen for about 240 points"),
    OpenApiParameter("node", str, description="series of this node, not of the cluster"),
    OpenApiParameter("metric", str, many=True, description="these alone; may be repeated"),
]


class Metrics(APIView):
    @extend_schema(parameters=PARAMETERS, responses=MetricsOut)
    def get(self, request: Request) -> Response:
        """Every number now, or as series with from, to and step."""
        given, now = request.query_params, timezone.now()
        if unknown := sorted({*given} - {"from", "to", "step", "node", "metric"}):
            raise ValidationError({unknown[0]: [_("There is no such parameter.")]})
        if {"from", "to", "step", "node"} & {*given}:
            return Response(series(asked(given, now), now))
        wanted = given.getlist("metric")
        check_names(wanted, {*metrics.OF_CLUSTER, *metrics.OF_NODE})
        return Response(present(now, wanted))


def present(now: datetime, wanted: list[str]) -> dict[str, Any]:
    found = metrics.now_values(snapshot.read(now))
    chosen = [(of, metric) for of, metric in all_metrics() if not wanted or metric.name in wanted]
    return {
        "at": found.at,
        "cluster": picked(found.cluster, wanted),
        "nodes": {name: picked(values, wanted) for name, values in found.nodes.items()},
        "failures": found.failures,
        "definitions": [defined(of, metric) for of, metric in chosen],
    }


def picked(values: Mapping[str, float | None], wanted: list[str]) -> dict[str, float | None]:
    return {name: value for name, value in values.items() if not wanted or name in wanted}


def all_metrics() -> list[tuple[str, Metric]]:
    return [*(("cluster", m) for m in metrics.CLUSTER), *(("node", m) for m in metrics.NODE)]


def defined(of: str, metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name, "of": of, "unit": metric.unit, "window_seconds": metric.window,
        "title": _(metric.label), "definition": _(metric.definition),
    }  # fmt: skip


# Series


@dataclass(frozen=True)
class Asked:
    start: datetime
    end: datetime
    step: int | None
    node: Node | None
    metrics: list[Metric]


def asked(given: Any, now: datetime) -> Asked:
    """The parameters of a series, or an error that names the one at fault."""
    node = None
    if name := given.get("node"):
        node = Node.objects.filter(name=name, removed_at=None).first()
        if node is None:
            raise ValidationError({"node": [_("No node has this name.")]})
    with naming():
        end = moment("to", given["to"], ends=True) if given.get("to") else now
        start = moment("from", given["from"]) if given.get("from") else end - HOUR
    if start >= end:
        field = "from" if "from" in given else "to"
        raise ValidationError({field: [_("It must be earlier than the end.")]})
    known = metrics.OF_NODE if node else metrics.OF_CLUSTER
    wanted = given.getlist("metric")
    check_names(wanted, {*known})
    chosen = [metric for name, metric in known.items() if not wanted or name in wanted]
    return Asked(start, end, step_of(given, end - start), node, chosen)


def step_of(given: Any, length: timedelta) -> int | None:
    if "step" not in given:
        return None
    text = given["step"].strip()
    step = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not samples.FINE <= step <= LONGEST_STEP:
        message = _("Give a whole number of seconds from %(least)s to %(most)s.")
        values = {"least": samples.FINE, "most": LONGEST_STEP}
        raise ValidationError({"step": [message % values]})
    least = -(-length.total_seconds() // samples.MOST_POINTS)
    if step < least:
        message = _(
            "This would be more than %(points)s points: give %(least)s at least, or a shorter time."
        )
        values = {"points": samples.MOST_POINTS, "least": int(least)}
        raise ValidationError({"step": [message % values]})
    return step


def check_names(wanted: list[str], known: set[str]) -> None:
    if unknown := [name for name in wanted if name not in known]:
        message = _("There is no metric “%(name)s”. Known are: %(names)s.")
        values = {"name": unknown[0], "names": ", ".join(sorted(known))}
        raise ValidationError({"metric": [message % values]})


def series(what: Asked, now: datetime) -> dict[str, Any]:
    found = samples.series(
        what.node.pk if what.node else None, what.start, what.end, what.step, now
    )
    of = "node" if what.node else "cluster"
    return {
        "from": what.start,
        "to": what.end,
        "step": found.step,
        "node": what.node and what.node.name,
        "at": [point.at for point in found.points[1:]],
        "series": metrics.columns(what.metrics, found.points),
        "definitions": [defined(of, metric) for metric in what.metrics],
    }

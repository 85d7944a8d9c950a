"""A node's charts, for its page: that belongs to the cluster, which knows nothing of samples."""

from typing import Any

from django import template

from cluster.models import Node
from monitoring.views_monitoring import node_picture

register = template.Library()


@register.inclusion_tag("monitoring/_node_charts.html")
def node_charts(node: Node) -> dict[str, Any]:
    return node_picture(node)

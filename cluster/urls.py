from django.urls import path

from cluster.views import node, nodes, settings

# A node's name may hold slashes where it is from an early day: the longer paths come first.
urlpatterns = [
    path("nodes", nodes.nodes_page, name="nodes"),
    path("nodes/<path:name>/drain", node.drain, name="drain"),
    path("nodes/<path:name>/resume", node.resume, name="resume"),
    path("nodes/<path:name>/reset", node.reset, name="reset"),
    path("nodes/<path:name>/remove", node.remove, name="remove"),
    path("nodes/<path:name>", node.node_page, name="node"),
    path("settings/cluster", settings.settings_page, name="settings"),
    # Regions that refresh themselves.
    path("live/nodes", nodes.live_nodes, name="live_nodes"),
    path("live/nodes/<path:name>", node.live_node, name="live_node"),
]

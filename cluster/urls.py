from django.urls import path

from cluster import views

# A node's name is its own choice and may hold slashes: the longer paths come first.
urlpatterns = [
    path("nodes", views.nodes_page, name="nodes"),
    path("nodes/<path:name>/drain", views.drain, name="drain"),
    path("nodes/<path:name>/resume", views.resume, name="resume"),
    path("nodes/<path:name>", views.node_page, name="node"),
    # Regions that refresh themselves.
    path("live/nodes", views.nodes_page, name="live_nodes"),
    path("live/nodes/<path:name>", views.node_page, name="live_node"),
]

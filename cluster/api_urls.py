from django.urls import path

from cluster import api

urlpatterns = [
    path("cluster/overview", api.Overview.as_view(), name="api-overview"),
    path("cluster/nodes", api.NodeList.as_view(), name="api-nodes"),
    path("cluster/nodes/<str:name>", api.NodeDetail.as_view(), name="api-node"),
    path("cluster/nodes/<str:name>/drain", api.NodeDrain.as_view(), name="api-node-drain"),
    path("cluster/nodes/<str:name>/resume", api.NodeResume.as_view(), name="api-node-resume"),
    path("cluster/nodes/<str:name>/reset", api.NodeReset.as_view(), name="api-node-reset"),
    path("cluster/strategy", api.Strategy.as_view(), name="api-strategy"),
    path("cluster/health", api.Health.as_view(), name="api-cluster-health"),
    path("dispy/status", api.DispyStatus.as_view(), name="api-dispy-status"),
]

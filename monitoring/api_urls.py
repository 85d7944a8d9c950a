from django.urls import path

from monitoring import api_advice, api_alerts, api_channels, api_export, api_metrics

urlpatterns = [
    path("metrics", api_metrics.Metrics.as_view(), name="api-metrics"),
    path("cluster/optimize", api_advice.Optimize.as_view(), name="api-optimize"),
    path("cluster/optimize/refresh", api_advice.Refresh.as_view(), name="api-optimize-refresh"),
    path("cluster/optimize/undo", api_advice.Undo.as_view(), name="api-optimize-undo"),
    path("alerts", api_alerts.AlertList.as_view(), name="api-alerts"),
    path("alerts/rules", api_alerts.RuleList.as_view(), name="api-rules"),
    path("alerts/rules/<str:name>", api_alerts.RuleDetail.as_view(), name="api-rule"),
    path("alerts/<int:pk>", api_alerts.AlertDetail.as_view(), name="api-alert"),
    path(
        "alerts/<int:pk>/acknowledge",
        api_alerts.AlertAcknowledge.as_view(),
        name="api-alert-acknowledge",
    ),
    path("silences", api_alerts.SilenceList.as_view(), name="api-silences"),
    path("silences/<int:pk>", api_alerts.SilenceDetail.as_view(), name="api-silence"),
    path("maintenance", api_alerts.Maintenance.as_view(), name="api-maintenance"),
    path("monitoring/export", api_export.Export.as_view(), name="api-export"),
    path("monitoring/channels", api_channels.ChannelList.as_view(), name="api-channels"),
    path("monitoring/channels/<int:pk>", api_channels.ChannelDetail.as_view(), name="api-channel"),
    path(
        "monitoring/channels/<int:pk>/test",
        api_channels.ChannelTest.as_view(),
        name="api-channel-test",
    ),
    path(
        "monitoring/channels/<int:pk>/deliveries",
        api_channels.ChannelDeliveries.as_view(),
        name="api-channel-deliveries",
    ),
]

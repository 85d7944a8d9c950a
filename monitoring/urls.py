from django.urls import path

from monitoring import (
    api_exposition,
    views,
    views_advice,
    views_alerts,
    views_channels,
    views_monitoring,
    views_silences,
)

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("live/dashboard", views.dashboard, name="live_dashboard"),
    path("live/beats", views.beats, name="live_beats"),
    path("metrics", api_exposition.Exposition.as_view(), name="metrics"),
    path("monitoring", views_monitoring.monitoring_page, name="monitoring"),
    path("live/monitoring", views_monitoring.monitoring_page, name="live_monitoring"),
    path(
        "live/nodes/<str:name>/charts", views_monitoring.live_node_charts, name="live_node_charts"
    ),
    path("alerts", views_alerts.alerts_page, name="alerts"),
    path("alerts/silences", views_silences.silences_page, name="silences"),
    path("alerts/silences/<int:pk>/end", views_silences.end, name="end_silence"),
    path("alerts/maintenance", views_silences.maintenance, name="maintenance"),
    path("alerts/rules", views_silences.rules_page, name="rules"),
    path("alerts/<int:pk>", views_alerts.alert_page, name="alert"),
    path("alerts/<int:pk>/acknowledge", views_alerts.acknowledge, name="acknowledge"),
    path("recommendations", views_advice.recommendations_page, name="recommendations"),
    path("recommendations/refresh", views_advice.refresh, name="refresh_advice"),
    path("recommendations/apply", views_advice.apply, name="apply_advice"),
    path("recommendations/undo/<int:pk>", views_advice.undo, name="undo_advice"),
    path("live/alerts", views_alerts.alerts_page, name="live_alerts"),
    path("live/alerts/<int:pk>", views_alerts.alert_page, name="live_alert"),
    path("settings/channels", views_channels.channels_page, name="channels"),
    path("settings/channels/deliveries", views_channels.deliveries_page, name="deliveries"),
    path("settings/channels/<int:pk>", views_channels.channel_page, name="channel"),
    path("settings/channels/<int:pk>/test", views_channels.test, name="channel_test"),
    path("settings/channels/<int:pk>/switch", views_channels.switch, name="channel_switch"),
    path("settings/channels/<int:pk>/delete", views_channels.delete, name="channel_delete"),
    path("live/channels", views_channels.live_channels, name="live_channels"),
    path("live/channels/<int:pk>", views_channels.live_channel, name="live_channel"),
]

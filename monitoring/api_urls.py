from django.urls import path

from monitoring import api_alerts, api_export

urlpatterns = [
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
]

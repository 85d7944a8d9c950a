from django.urls import path

from monitoring import views, views_alerts, views_silences

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("live/dashboard", views.dashboard, name="live_dashboard"),
    path("live/beats", views.beats, name="live_beats"),
    path("alerts", views_alerts.alerts_page, name="alerts"),
    path("alerts/silences", views_silences.silences_page, name="silences"),
    path("alerts/silences/<int:pk>/end", views_silences.end, name="end_silence"),
    path("alerts/maintenance", views_silences.maintenance, name="maintenance"),
    path("alerts/rules", views_silences.rules_page, name="rules"),
    path("alerts/<int:pk>", views_alerts.alert_page, name="alert"),
    path("alerts/<int:pk>/acknowledge", views_alerts.acknowledge, name="acknowledge"),
    path("live/alerts", views_alerts.alerts_page, name="live_alerts"),
    path("live/alerts/<int:pk>", views_alerts.alert_page, name="live_alert"),
]

from django.urls import path

from monitoring import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("live/dashboard", views.dashboard, name="live_dashboard"),
    path("live/beats", views.beats, name="live_beats"),
]

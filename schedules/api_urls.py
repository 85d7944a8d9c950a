from django.urls import path

from schedules import api

urlpatterns = [
    path("schedules", api.ScheduleList.as_view(), name="api-schedules"),
    path("schedules/preview", api.SchedulePreview.as_view(), name="api-schedule-preview"),
    path("schedules/<int:pk>", api.ScheduleDetail.as_view(), name="api-schedule"),
    path("schedules/<int:pk>/pause", api.SchedulePause.as_view(), name="api-schedule-pause"),
    path("schedules/<int:pk>/resume", api.ScheduleResume.as_view(), name="api-schedule-resume"),
    path("schedules/<int:pk>/run-now", api.ScheduleRunNow.as_view(), name="api-schedule-run-now"),
    path("schedules/<int:pk>/runs", api.ScheduleRuns.as_view(), name="api-schedule-runs"),
]

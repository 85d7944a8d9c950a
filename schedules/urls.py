from django.urls import path

from schedules import views, views_form

urlpatterns = [
    path("schedules", views.schedules_page, name="schedules"),
    path("schedules/new", views_form.new_schedule, name="new_schedule"),
    path("schedules/preview", views_form.preview_fragment, name="schedule_preview"),
    path("schedules/<int:pk>", views.schedule_page, name="schedule"),
    path("schedules/<int:pk>/edit", views_form.edit_schedule, name="edit_schedule"),
    path("schedules/<int:pk>/pause", views.pause, name="pause_schedule"),
    path("schedules/<int:pk>/resume", views.resume, name="resume_schedule"),
    path("schedules/<int:pk>/run-now", views.run_now, name="run_schedule"),
    path("schedules/<int:pk>/delete", views.delete, name="delete_schedule"),
    # Regions that refresh themselves.
    path("live/schedules", views.schedules_page, name="live_schedules"),
    path("live/schedules/<int:pk>", views.live_schedule, name="live_schedule"),
]

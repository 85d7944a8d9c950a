from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    name = "schedules"

    def ready(self) -> None:
        from jobs import cleanup
        from schedules.models import needed_files

        cleanup.NEEDED.append(needed_files)

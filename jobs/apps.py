from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from jobs import tally

        post_migrate.connect(tally.install, sender=self)

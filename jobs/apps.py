from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from jobs import failure_tally, tally

        post_migrate.connect(tally.install, sender=self)
        post_migrate.connect(failure_tally.install, sender=self)

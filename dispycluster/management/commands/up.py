from typing import Any

from django.core.management.base import BaseCommand

from dispycluster.up import up


class Command(BaseCommand):
    help = "Set up what is missing, then run web, dispatcher, monitor and a local node."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        up()

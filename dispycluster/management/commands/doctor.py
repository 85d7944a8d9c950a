import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dispycluster.doctor import examine


class Command(BaseCommand):
    """For `manage.py help` and call_command; manage.py itself goes to `examine` directly, which
    then also works where the settings do not."""

    help = "Look at everything this installation rests on, say what is wrong, change nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        examine.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if status := examine.report(examine.examine(), options["json"], options["strict"]):
            sys.exit(status)

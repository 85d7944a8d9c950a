import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dispycluster.demo import demo


class Command(BaseCommand):
    help = "Estimate π in 500 jobs on the running stack, or on one that is started for it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--exit",
            action="store_true",
            help="stop what was started when it is done (so too where there is no terminal)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        try:
            good = demo(stay=terminal and not options["exit"])
        except KeyboardInterrupt:
            sys.exit(130)
        if not good:
            sys.exit(1)

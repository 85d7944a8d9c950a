import platform
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cluster.joining import wheels


class Command(BaseCommand):
    help = "Have the packages of the agent at hand for nodes without Internet, and list them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        ours = ".".join(platform.python_version_tuple()[:2])
        parser.add_argument(
            "--machine", action="append", default=[], metavar="aarch64",
            help="also for this kind, as “uname -m” says it there; may be repeated",
        )  # fmt: skip
        parser.add_argument("--python", default=ours, help=f"the Python there ({ours})")
        parser.add_argument(
            "--index", default="",
            help="take it from this package index, trusting it, such as "
            "https://www.piwheels.org/simple for armv7l",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        trouble = wheels.make_missing()
        for machine in options["machine"]:
            try:
                wheels.fetch(machine, options["python"], options["index"])
            except wheels.NoWheel as error:
                trouble.append(str(error))
        for path in wheels.stored():
            self.stdout.write(f"{path.stat().st_size:>9}  {path.name}")
        if trouble:
            raise CommandError("\n".join(trouble))

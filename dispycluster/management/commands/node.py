import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dispycluster.local_node import agent_argv, agent_environment


class Command(BaseCommand):
    help = "Run a node on this machine, with this home's port and secret."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="", help="address to listen on (127.0.0.1)")
        parser.add_argument("--name", default="", help="name of the node (this machine's)")
        parser.add_argument("--slots", type=int, default=0, help="jobs at a time (number of cores)")
        parser.add_argument("--scratch", default="", help="folder to work in (in the home)")

    def handle(self, *args: Any, **options: Any) -> None:
        argv = agent_argv(options["host"], options["name"], options["slots"], options["scratch"])
        sys.stdout.flush()
        os.execve(argv[0], argv, agent_environment(os.environ))  # noqa: S606

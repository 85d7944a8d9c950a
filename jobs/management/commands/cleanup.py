from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs.cleanup import cleanup
from jobs.models import FINAL_STATES


class Command(BaseCommand):
    help = "Delete finished jobs that are older than the retention, with their output and files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=float,
            default=settings.RETENTION_DAYS or None,
            help="age; RETENTION_DAYS",
        )
        parser.add_argument(
            "--state", action="append", choices=[str(state) for state in FINAL_STATES], default=[]
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is None or options["days"] < 0:
            raise CommandError("Give --days: RETENTION_DAYS is 0, which keeps everything.")
        cleaned = cleanup(timezone.now(), options["days"], options["state"], options["dry_run"])
        if options["dry_run"]:
            self.stdout.write(f"{cleaned.jobs} jobs would be deleted.")
        else:
            self.stdout.write(
                f"{cleaned.jobs} jobs and {cleaned.files} files ({cleaned.bytes} bytes) deleted."
            )

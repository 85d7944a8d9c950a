from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from jobs.amounts import size
from jobs.models import FINAL_STATES
from monitoring import retention, sizes
from monitoring.retention import Gone
from monitoring.sizes import Sizes, Table


class Command(BaseCommand):
    help = (
        "Delete what has outlived its time: finished jobs with their output and files, resolved "
        "alerts, notices, samples, files that belong to nothing. Says what there was before and "
        "after."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=float,
            default=settings.RETENTION_DAYS or None,
            help="how long jobs are kept after their end; RETENTION_DAYS",
        )
        parser.add_argument(
            "--state", action="append", choices=[str(state) for state in FINAL_STATES], default=[]
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would go")
        parser.add_argument(
            "--vacuum", action="store_true", help="give free space back to the disk; writers wait"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is not None and options["days"] < 0:
            raise CommandError("--days is at least 0.")
        dry, before = options["dry_run"], sizes.measure()
        gone = retention.clean(timezone.now(), options["days"], options["state"], dry)
        if options["vacuum"] and not dry:
            sizes.vacuum()
        after = before if dry else sizes.measure()
        self.stdout.write("\n".join(report(before, gone, after, dry)))
        if options["days"] is None:
            self.stdout.write("Jobs are kept for ever: RETENTION_DAYS is 0. --days deletes some.")


def report(before: Sizes, gone: Gone, after: Sizes, dry: bool) -> Iterator[str]:
    """A table; of a dry run with the rows that would be left."""
    yield line("", "rows before", "would go" if dry else "deleted", "rows after", "size before",
               "size after")  # fmt: skip
    for name, was in before.tables.items():
        count = gone.rows[name]
        if was.rows or count:
            now = Table(was.rows - count, None) if dry else after.tables[name]
            yield line(name, was.rows, count, now.rows, size(was.bytes),
                       "–" if dry and count else size(after.tables[name].bytes))  # fmt: skip
    left = sum(files.count for files in kept_there(gone))
    freed = sum(files.bytes for files in kept_there(gone))
    was, now = before.files, after.files
    if dry:
        now = Table(was.rows - left, (was.bytes or 0) - freed)
    yield line("files", was.rows, left, now.rows, size(was.bytes), size(now.bytes))
    for name in ("files without a row", "temporary files"):
        told = gone.files[name]
        yield line(f"  {name}", "", told.count, "", size(told.bytes), "")
    yield line("database", "", "", "", size(before.database), size(after.database))
    if before.free is not None:
        yield line("  of it free", "", "", "", size(before.free), size(after.free))
        if after.free and not dry:
            yield "The free space within the file is used first; --vacuum gives it to the disk."


def kept_there(gone: Gone) -> Iterator[retention.Files]:
    """Those that lay in the folder of files."""
    for name in ("files", "files without a row"):
        if name in gone.files:
            yield gone.files[name]


def line(name: str, *cells: object) -> str:
    shown = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
    return f"{name:<22}" + "".join(f"{text:>13}" for text in shown)

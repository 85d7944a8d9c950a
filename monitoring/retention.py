"""Everything that is kept for a time only, cleared away: in small steps, while all else runs."""

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from jobs import cleanup
from jobs.models import Attempt, File
from monitoring import samples
from monitoring.models import Alert, Delivery, Sample, Silence
from schedules import due

ALERT_DAYS = 90  # resolved alerts, notices that were sent or given up, silences that ended
CHUNK = 500
OLD_SECONDS = 24 * 3600  # what is younger may still be on its way to its row
FOLDER = re.compile(r"[0-9a-f]{2}")
STORED = re.compile(r"[0-9a-f]{64}")
DRAFT = re.compile(r"\.\d+\.[0-9a-f]{16}")  # jobs.files.keep writes these first
ARRIVED = re.compile(r"(\d{1,18})-\d+-[0-9a-f]{64}")  # an artifact from a node, for its attempt


@dataclass
class Files:
    count: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.count += 1
        self.bytes += size


@dataclass
class Gone:
    """What was deleted, or would be."""

    rows: Counter[str] = field(default_factory=Counter)  # by kind
    files: dict[str, Files] = field(default_factory=dict)  # by kind

    @property
    def anything(self) -> bool:
        return any(self.rows.values()) or any(files.count for files in self.files.values())


def clean(
    now: datetime, days: float | None, states: Collection[str] = (), dry_run: bool = False
) -> Gone:
    """All retention. days: how long jobs are kept after their end; None or 0 by the settings:
    for ever. A dry run counts the same and touches nothing."""
    gone = Gone()
    if days is not None:
        cleaned = cleanup.cleanup(now, days, states, dry_run)
        gone.rows.update(cleaned.rows)
        gone.files["files"] = Files(cleaned.files, cleaned.bytes)
        runs = due.outlived(now, days).count() if dry_run else due.old_runs(now, days)
        gone.rows["schedule runs"] = runs
    limit = now - timedelta(days=ALERT_DAYS)
    for kind, rows in outlived(limit).items():
        gone.rows[kind] = rows.count() if dry_run else delete(rows)
    gone.rows["samples"] = samples_due(now) if dry_run else samples.thin(now).rows
    gone.files["files without a row"] = swept(orphans(), dry_run)
    gone.files["temporary files"] = swept(leftovers(), dry_run)
    return gone


def outlived(limit: datetime) -> dict[str, QuerySet[Any]]:
    """Of the watching's memory, by kind; notices before the alerts they are about."""
    return {
        "notices": Delivery.objects.filter(~Q(state=Delivery.State.QUEUED), created_at__lt=limit),
        "alerts": Alert.objects.filter(resolved_at__lt=limit),
        "silences": Silence.objects.filter(ends_at__lt=limit),
    }


def delete(rows: QuerySet[Any]) -> int:
    """In chunks, each a transaction of its own."""
    count = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        with transaction.atomic():
            told = rows.model._default_manager.filter(pk__in=keys).delete()[1]
        count += told.get(rows.model._meta.label, 0)
    return count


def samples_due(now: datetime) -> int:
    """How many samples.thin would delete."""
    due = sum(
        Sample.objects.filter(seconds=seconds, at__lte=now - age).count()
        for seconds, age in samples.AGES.items()
    )
    most = int(settings.SAMPLES_BYTES / samples.row_bytes())
    return due + max(0, Sample.objects.count() - due - most)


# Files


def swept(found: Iterator[Path], dry_run: bool) -> Files:
    files = Files()
    for path in found:
        try:
            size = path.stat().st_size
            if not dry_run:
                path.unlink()
        except FileNotFoundError:
            continue
        files.add(size)
    return files


def orphans() -> Iterator[Path]:
    """Stored bytes without a row, and artifacts that arrived for an attempt that has ended."""
    for folder in entries(Path(settings.FILES)):
        if FOLDER.fullmatch(folder.name) and folder.is_dir():
            yield from without_row(entries(folder), STORED, stored)
    yield from without_row(entries(Path(settings.HOME) / "engine" / "incoming"), ARRIVED, open_ones)


def without_row(
    paths: list[Path], name: re.Pattern[str], needed: Callable[[list[Path]], set[Path]]
) -> Iterator[Path]:
    """Of the old ones with such a name, those that no row stands for."""
    ours = [path for path in paths if name.fullmatch(path.name)]
    for start in range(0, len(ours), CHUNK):
        part = ours[start : start + CHUNK]
        kept = needed(part)
        yield from (path for path in part if path not in kept and is_old(path))


def stored(paths: list[Path]) -> set[Path]:
    digests = {f"sha256:{path.name}": path for path in paths}
    rows = File.objects.filter(pk__in=list(digests)).order_by()
    return {digests[digest] for digest in rows.values_list("pk", flat=True)}


def open_ones(paths: list[Path]) -> set[Path]:
    attempts = {path: int(path.name.partition("-")[0]) for path in paths}
    still = Attempt.objects.filter(pk__in=set(attempts.values()), finished_at=None).order_by()
    found = set(still.values_list("pk", flat=True))
    return {path for path, attempt in attempts.items() if attempt in found}


def leftovers() -> Iterator[Path]:
    """Drafts of uploads and of artifacts, whose writer died."""
    for path in entries(Path(settings.FILES)):
        if DRAFT.fullmatch(path.name) and is_old(path):
            yield path
    for path in entries(Path(settings.HOME) / "engine" / "incoming"):
        if path.name.endswith(".part") and is_old(path):
            yield path


def entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_old(path: Path) -> bool:
    """By the clock that the file's own time is from."""
    try:
        told = path.lstat()
    except FileNotFoundError:
        return False
    return time.time() - told.st_mtime > OLD_SECONDS

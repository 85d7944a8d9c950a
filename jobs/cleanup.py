"""Retention: old final jobs and all that hangs on them, in small transactions."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction

from jobs import files
from jobs.models import (
    FINAL_STATES,
    Artifact,
    Attempt,
    Dependency,
    Event,
    File,
    IdempotencyKey,
    Job,
    JobQuerySet,
    Output,
    RunTime,
    Spec,
    Sweep,
)

CHUNK = 500
NEEDED: list[Callable[[], set[str]]] = []  # who else tells which files it needs


@dataclass
class Cleaned:
    """How much went, or would go."""

    jobs: int = 0
    files: int = 0
    bytes: int = 0


def cleanup(
    now: datetime, days: float, states: Collection[str] = (), dry_run: bool = False
) -> Cleaned:
    """Delete final jobs that ended more than `days` ago, then what nobody refers to any more."""
    ended = Job.objects.filter(
        state__in=states or FINAL_STATES, finished_at__lt=now - timedelta(days=days)
    )
    if dry_run:
        return Cleaned(jobs=ended.count())
    cleaned = Cleaned(jobs=sum(delete(ended)))
    sweep_up(now - timedelta(days=1), cleaned)
    return cleaned


def delete(jobs: JobQuerySet) -> Iterator[int]:
    """Delete those of `jobs` that are final, chunk by chunk; yields how many each time."""
    final = jobs.filter(state__in=FINAL_STATES).order_by("id")
    while ids := list(final.values_list("id", flat=True)[:CHUNK]):
        with transaction.atomic():
            # Nobody requeues between the look and the delete.
            ids = list(final.select_for_update().filter(pk__in=ids).values_list("id", flat=True))
            attempts = list(Attempt.objects.filter(job__in=ids).values_list("id", flat=True))
            erase(Output, attempt__in=attempts)
            erase(Artifact, attempt__in=attempts)
            erase(Attempt, id__in=attempts)
            erase(Event, job__in=ids)
            erase(Dependency, job__in=ids)
            erase(Dependency, on__in=ids)
            erase(IdempotencyKey, job__in=ids)
            yield erase(Job, id__in=ids)


def erase(model: type[models.Model], **where: Any) -> int:
    """DELETE without looking for dependants: the caller knows them."""
    rows = model._default_manager.filter(**where).order_by()
    return rows._raw_delete(rows.db)


def sweep_up(before: datetime, cleaned: Cleaned) -> None:
    """Sweeps, specs and files without a job, once they are old enough."""
    erase(IdempotencyKey, created_at__lt=before)
    erase(Sweep, pk__in=keys(Sweep.objects.filter(jobs=None, created_at__lt=before)))
    unused = Spec.objects.filter(jobs=None, created_at__lt=before)
    specs = keys(unused.exclude(pk__in=Sweep.objects.values("spec")))
    erase(RunTime, spec__in=specs)
    erase(Spec, pk__in=specs)
    wanted: set[str] = set()
    for body in Spec.objects.values_list("body", flat=True):
        wanted.update(body.get("files", {}).values())
    for needed in NEEDED:
        wanted |= needed()
    for file in File.objects.filter(artifact=None, created_at__lt=before).exclude(pk__in=wanted):
        # Row first: a file without a row is litter, a row without its file is a lie.
        File.objects.filter(pk=file.pk).delete()
        files.path(file.pk).unlink(missing_ok=True)
        cleaned.files += 1
        cleaned.bytes += file.size


def keys(rows: models.QuerySet[Any]) -> list[Any]:
    return list(rows.values_list("pk", flat=True))

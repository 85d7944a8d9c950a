"""Retention: old final jobs and all that hangs on them, in small transactions."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

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
    """How much went, or would go: rows by their kind, files with their bytes."""

    rows: Counter[str] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0

    @property
    def jobs(self) -> int:
        return self.rows["jobs"]


def cleanup(
    now: datetime, days: float, states: Collection[str] = (), dry_run: bool = False
) -> Cleaned:
    """Delete final jobs that ended more than `days` ago, then what nobody refers to any more."""
    limit, unused = now - timedelta(days=days), now - timedelta(days=1)
    chosen = [str(state) for state in states or FINAL_STATES]
    if dry_run:
        return foresee(chosen, limit, unused)
    cleaned = Cleaned()
    ended = Job.objects.filter(state__in=chosen, finished_at__lt=limit)
    for count in delete(ended, cleaned.rows):
        cleaned.rows["jobs"] += count
    sweep_up(unused, cleaned)
    return cleaned


def delete(jobs: JobQuerySet, rows: Counter[str] | None = None) -> Iterator[int]:
    """Delete those of `jobs` that are final, chunk by chunk; yields how many each time.

    rows: what is counted beside the jobs.
    """
    rows = Counter() if rows is None else rows
    final = jobs.filter(state__in=FINAL_STATES).order_by("id")
    while ids := list(final.values_list("id", flat=True)[:CHUNK]):
        with transaction.atomic():
            # Nobody requeues between the look and the delete.
            ids = list(final.select_for_update().filter(pk__in=ids).values_list("id", flat=True))
            attempts = list(Attempt.objects.filter(job__in=ids).values_list("id", flat=True))
            rows["pieces of output"] += erase(Output, attempt__in=attempts)
            rows["artifacts"] += erase(Artifact, attempt__in=attempts)
            rows["attempts"] += erase(Attempt, id__in=attempts)
            rows["events"] += erase(Event, job__in=ids)
            rows["dependencies"] += erase(Dependency, job__in=ids)
            rows["dependencies"] += erase(Dependency, on__in=ids)
            rows["idempotency keys"] += erase(IdempotencyKey, job__in=ids)
            count = erase(Job, id__in=ids)
        yield count


def erase(model: type[models.Model], **where: Any) -> int:
    """DELETE without looking for dependants: the caller knows them."""
    rows = model._default_manager.filter(**where).order_by()
    return rows._raw_delete(rows.db) or 0  # None: it could match nothing


def sweep_up(before: datetime, cleaned: Cleaned) -> None:
    """Sweeps, specs and files without a job, once they are old enough."""
    rows = cleaned.rows
    rows["idempotency keys"] += erase(IdempotencyKey, created_at__lt=before)
    sweeps = keys(Sweep.objects.filter(jobs=None, created_at__lt=before))
    rows["sweeps"] += erase(Sweep, pk__in=sweeps)
    unused = Spec.objects.filter(jobs=None, created_at__lt=before)
    specs = keys(unused.exclude(pk__in=Sweep.objects.values("spec")))
    rows["run times"] += erase(RunTime, spec__in=specs)
    for start in range(0, len(specs), CHUNK):
        # What others keep about a spec goes with it.
        gone = Spec.objects.filter(pk__in=specs[start : start + CHUNK]).delete()[1]
        rows["specs"] += gone.get(Spec._meta.label, 0)
    for file in unwanted(before, File.objects.filter(artifact=None), Spec.objects.all()):
        # Row first: a file without a row is litter, a row without its file is a lie.
        File.objects.filter(pk=file.pk).delete()
        files.path(file.pk).unlink(missing_ok=True)
        cleaned.files += 1
        cleaned.bytes += file.size


def unwanted(
    before: datetime, loose: models.QuerySet[File], specs: models.QuerySet[Spec]
) -> models.QuerySet[File]:
    """Of files that are no artifacts, those that no spec and nobody else needs."""
    wanted: set[str] = set()
    for body in specs.values_list("body", flat=True):
        wanted.update(body.get("files", {}).values())
    for needed in NEEDED:
        wanted |= needed()
    return loose.filter(created_at__lt=before).exclude(pk__in=wanted)


def foresee(states: list[str], limit: datetime, before: datetime) -> Cleaned:
    """What cleanup would delete, counted without deleting anything."""
    going = Job.objects.filter(state__in=states, finished_at__lt=limit).order_by()
    staying = Job.objects.filter(~Q(state__in=states) | Q(finished_at__gte=limit)).order_by()
    attempts = Attempt.objects.filter(job__in=going).order_by()
    sweeps = keys(
        Sweep.objects.filter(~Exists(staying.filter(sweep=OuterRef("pk"))), created_at__lt=before)
    )
    specs = keys(
        Spec.objects.filter(~Exists(staying.filter(spec=OuterRef("pk"))), created_at__lt=before)
        .exclude(pk__in=Sweep.objects.exclude(pk__in=sweeps).values("spec"))
    )  # fmt: skip
    kept = Artifact.objects.filter(file=OuterRef("pk")).exclude(attempt__job__in=going)
    loose = File.objects.filter(~Exists(kept))
    sizes = list(
        unwanted(before, loose, Spec.objects.exclude(pk__in=specs)).values_list("size", flat=True)
    )
    keys_going = Q(job__in=going) | Q(created_at__lt=before)
    rows = Counter({
        "jobs": going.count(),
        "attempts": attempts.count(),
        "pieces of output": Output.objects.filter(attempt__in=attempts).count(),
        "artifacts": Artifact.objects.filter(attempt__in=attempts).count(),
        "events": Event.objects.filter(job__in=going).count(),
        "dependencies": Dependency.objects.filter(Q(job__in=going) | Q(on__in=going)).count(),
        "idempotency keys": IdempotencyKey.objects.filter(keys_going).count(),
        "sweeps": len(sweeps),
        "specs": len(specs),
        "run times": RunTime.objects.filter(spec__in=specs).count(),
    })  # fmt: skip
    return Cleaned(rows, len(sizes), sum(sizes))


def keys(rows: models.QuerySet[Any]) -> list[Any]:
    return list(rows.values_list("pk", flat=True))

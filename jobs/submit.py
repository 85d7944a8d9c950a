"""The one way in: check, insert, done. Committed when it returns."""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from jobs import dependencies, failpoints, wake
from jobs.models import Job, Sweep
from jobs.rows import insert_rows, marks
from jobs.specs import spec_of

MOST_JOBS = 1_000_000  # in one sweep
JOB_FIELDS = [
    "name", "spec", "need", "sweep", "owner", "args", "priority", "max_attempts", "on_lost",
    "strategy", "state", "run_at", "held", "waits", "tried", "charged", "losses", "created_at",
    "error",
]  # fmt: skip

ATTRIBUTES = [Job._meta.get_field(name).attname for name in JOB_FIELDS]  # type: ignore[union-attr]
INSERT = f"INSERT INTO jobs_job ({', '.join(ATTRIBUTES)}) VALUES ({marks(ATTRIBUTES)})"  # noqa: S608


def submit(data: dict[str, Any], owner: Any, now: datetime) -> Job:
    """Queue one job; `data` as JobIn checked it."""
    with transaction.atomic():
        spec = spec_of(data, now)
        job = Job(
            name=data.get("name", ""),
            spec=spec,
            need=spec.need,
            owner=owner,
            args=compact(data.get("args", {})),
            priority=data.get("priority", 0),
            max_attempts=data.get("max_attempts", 1),
            on_lost=data.get("on_lost", "retry"),
            strategy=data.get("strategy", ""),
            run_at=data.get("run_at") or now,
            held=data.get("held", False),
            created_at=now,
        )
        insert(job)
        failpoints.reach("mid-submit")
        if after := waits_for(data):
            dependencies.add(job, after, now)
            job.refresh_from_db()
        wake.call()
    return job


def insert(job: Job) -> None:
    """As `save` does it, without the ORM's time for making the statement."""
    adapt = connection.ops.adapt_datetimefield_value
    values = [getattr(job, name) for name in ATTRIBUTES]
    values = [adapt(value) if isinstance(value, datetime) else value for value in values]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"{INSERT} RETURNING id", values)
            job.pk = cursor.fetchone()[0]
        else:
            cursor.execute(INSERT, values)
            job.pk = cursor.lastrowid
    job._state.adding = False
    job._state.db = connection.alias


def waits_for(data: dict[str, Any]) -> dict[int, str]:
    """The jobs to wait for, each with how: `after` is `after_ok`."""
    ok = [*data.get("after", ()), *data.get("after_ok", ())]
    return {**dict.fromkeys(data.get("after_any", ()), "any"), **dict.fromkeys(ok, "ok")}


def submit_sweep(data: dict[str, Any], owner: Any, now: datetime) -> Sweep:
    """Queue one job for each set of arguments; `data` as SweepIn checked it."""
    body, over, mode = data["spec"], data["over"], data["mode"]
    with transaction.atomic():
        spec = spec_of(body, now)
        sweep = Sweep.objects.create(
            name=data.get("name", ""), spec=spec, owner=owner, over=over, mode=mode,
            total=size(over, mode), created_at=now, jobs_after=newest(),
        )  # fmt: skip
        fixed = body.get("args", {})
        name = body.get("name", "") or sweep.name
        common = (
            body.get("priority", 0),
            body.get("max_attempts", 1),
            body.get("on_lost", "retry"),
        )
        strategy, run_at = body.get("strategy", ""), body.get("run_at") or now
        held = body.get("held", False)
        rows = (
            (name, spec.pk, spec.need_id, sweep.pk, owner.pk, compact({**fixed, **args}), *common,
             strategy, "queued", run_at, held, 0, 0, 0, 0, now, "")
            for args in expand(over, mode)
        )  # fmt: skip
        insert_rows(Job, JOB_FIELDS, rows)
        sweep.jobs_until = newest()
        sweep.save(update_fields=["jobs_until"])
        wake.call()
    return sweep


def newest() -> int:
    """The largest number that a job has."""
    return Job.objects.order_by("-id").values_list("id", flat=True).first() or 0


def expand(over: Any, mode: str) -> Iterator[dict[str, Any]]:
    """Each set of arguments, in order. The last axis of a grid moves fastest."""
    if mode == "list":
        yield from over
        return
    names, axes = list(over), [values(axis) for axis in over.values()]
    combine = itertools.product(*axes) if mode == "grid" else zip(*axes, strict=True)
    for point in combine:
        yield dict(zip(names, point, strict=True))


def values(axis: Any) -> Any:
    """An axis is a list, or {"range": [start, stop]} or [start, stop, step], stop left out."""
    return range(*axis["range"]) if isinstance(axis, dict) else axis


def size(over: Any, mode: str) -> int:
    """How many jobs `expand` makes, without making them."""
    if mode == "list":
        return len(over)
    lengths = [len(values(axis)) for axis in over.values()]
    if mode == "zip":
        return lengths[0]
    total = 1
    for length in lengths:
        total *= length
    return total


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

"""A million jobs as a month leaves them: specs, sweeps, attempts, history, failures."""

import json
from datetime import datetime, timedelta
from typing import Any

from benchmarks.work import owner

SWEEPS, NODES, DAYS = 20, 20, 30
SLOTS = 4
COMMON, RARE = f"{1000:016}", "f" * 16  # failures
WAITING = ["queued"] * 2
MOSTLY_WELL = ["succeeded"] * 93 + ["failed"] * 3 + ["cancelled"] * 2 + WAITING
MOSTLY_FAILED = ["succeeded"] * 2 + ["failed"] * 95 + ["cancelled"] + WAITING
GB = 2**30


def fill(total: int, failing: bool = False) -> None:
    """Jobs that ended over the last month, their attempts, and some that wait.

    failing: nearly all of them failed.
    """
    from django.db import connection, transaction
    from django.utils import timezone

    from jobs import failure_tally
    from jobs.models import Job
    from jobs.rows import insert_rows
    from jobs.submit import JOB_FIELDS

    now, nodes = timezone.now(), make_nodes()
    states = MOSTLY_FAILED if failing else MOSTLY_WELL
    each = total // SWEEPS
    for number in range(SWEEPS):
        sweep = make_sweep(number, each, now)
        rows = []
        for n in range(each):
            state = states[n % len(states)]
            ended = now - timedelta(days=DAYS) * (1 - (number * each + n) / total)
            queued = state == "queued"
            rows.append(
                (sweep.name, sweep.spec_id, sweep.spec.need_id, sweep.pk, sweep.owner_id,
                 f'{{"n":{n}}}', 0, 1, "retry", "", state, ended, False, 0, int(not queued),
                 int(not queued), 0, ended, "boom" if state == "failed" else "",
                 None if queued else ended, None if queued else nodes[n % NODES],
                 None if queued else 0.5)
            )  # fmt: skip
        with transaction.atomic():
            insert_rows(Job, [*JOB_FIELDS, "finished_at", "node", "run_seconds"], rows)
    with transaction.atomic(), connection.cursor() as cursor:
        add_attempts(cursor)
        mark_failures(cursor)
        failure_tally.count_anew()
    failure_tally.thin(now)
    measure_run_times(now)


def make_nodes() -> list[int]:
    """Nodes with all that an agent says of its machine."""
    from django.utils import timezone

    from cluster.models import Node

    now = timezone.now()
    packages = {f"package-{n}": f"{n}.{n % 7}.{n % 3}" for n in range(60)}
    passport = {
        "agent": "1.0", "arch": "aarch64", "bits": 64, "os": "Debian GNU/Linux 12",
        "kernel": "6.6.31", "python": "3.11.2", "board": "Raspberry Pi 4 Model B Rev 1.4",
        "cores": 4, "memory_total": 8 * GB, "packages": packages,
    }  # fmt: skip
    reading = {
        "load_1": 1.5, "temperature": 55.2, "throttled": [], "round_trip_ms": 1.2,
        "clock_skew_seconds": 0.01, "disk_total": 64 * GB, "scratch_read_only": False,
    }  # fmt: skip
    return [
        Node.objects.create(
            name=f"node-{n}", address=f"10.0.0.{n}", slots=SLOTS, online=True, patched=True,
            added_at=now - timedelta(days=DAYS), last_seen_at=now, last_claim_at=now,
            platform="Linux", version="4.15.2", cpus=4, tags=["lab", f"rack-{n % 4}"],
            auto_tags=["arch:aarch64", "py:3.11"], passport=passport, reading=reading,
            cpu_percent=40.0 + n, memory_free=5 * GB, memory_total=8 * GB, disk_free=40 * GB,
            swap_percent=1.0, canary_at=now, dispatch_ms=12.0, speed=0.9 + n / 100,
            speed_samples=500,
        ).pk
        for n in range(NODES)
    ]  # fmt: skip


def make_sweep(number: int, total: int, now: datetime) -> Any:
    """Each with work of its own."""
    from jobs.models import Sweep
    from jobs.serializers import JobIn
    from jobs.specs import spec_of

    body: dict[str, Any] = {"kind": "command", "command": ["render", f"scene-{number}.blend"]}
    if number % 4 == 0:
        body["needs"] = {"tags": [f"rack-{number % 4}"], "memory_mb": 256}
    checked = JobIn(data=body)
    checked.is_valid(raise_exception=True)
    return Sweep.objects.create(
        name=f"scene {number}", spec=spec_of(checked.validated_data, now), owner=owner(),
        over={"n": {"range": [0, total]}}, mode="grid", total=total, created_at=now,
        jobs_after=number * total, jobs_until=(number + 1) * total,
    )  # fmt: skip


def add_attempts(cursor: Any) -> None:
    """One for each job that did not wait, with its receipt and two lines of history."""
    receipt = json.dumps({
        "strategy": "least_connections", "bundle_size": 8, "nodes": NODES,
        "candidates": {f"node-{n}": 0.25 for n in range(10)}, "ruled_out": {},
    })  # fmt: skip
    cursor.execute(
        "INSERT INTO jobs_attempt (job_id, number, node_id, bundle, slots, placement, claimed_at,"
        " started_at, finished_at, outcome, error, error_type, traceback, stdout_bytes,"
        " stderr_bytes, run_seconds, exit_code) SELECT id, 1, node_id, id / 8, 1, %s, finished_at,"
        " finished_at, finished_at, state, error, '', '', 0, 0, 0.5,"
        " CASE state WHEN 'succeeded' THEN 0 WHEN 'failed' THEN 1 END"
        " FROM jobs_job WHERE state <> 'queued' ORDER BY id",
        [receipt],
    )
    for state, why in (("'running'", "on a node"), ("state", "state")):
        why = why if why == "state" else f"'{why}'"
        cursor.execute(
            "INSERT INTO jobs_event (job_id, at, state, attempt, who, why) SELECT id, finished_at,"
            f" {state}, 1, 'dispatcher', {why} FROM jobs_job WHERE state <> 'queued' ORDER BY id"
        )


def mark_failures(cursor: Any) -> None:
    """Half of them of one kind, the others of forty, and one of a kind of its own."""
    kinds = "CASE WHEN id % 2 = 0 THEN 0 ELSE id / 100 % 40 END"
    last = "substr({}, -16)" if cursor.db.vendor == "sqlite" else "right({}, 16)"
    digest = last.format(f"'{'0' * 16}' || (1000 + {kinds})")
    first = "(SELECT min(id) FROM jobs_attempt WHERE outcome = 'failed')"
    cursor.execute(
        "UPDATE jobs_attempt SET error_type = 'ValueError',"
        f" error = 'ValueError: of kind ' || {kinds},"
        f" fingerprint = CASE WHEN id = {first} THEN '{RARE}' ELSE {digest} END"
        " WHERE outcome = 'failed'"
    )
    cursor.execute(
        "UPDATE jobs_job SET failure = (SELECT fingerprint FROM jobs_attempt"
        " WHERE job_id = jobs_job.id) WHERE state = 'failed'"
    )


def measure_run_times(now: datetime) -> None:
    """As the dispatcher keeps them, and the monitor a pace of each."""
    from cluster.models import Node
    from jobs.models import RunTime, Spec
    from monitoring.models import Pace

    pairs = [
        (spec, node)
        for spec in Spec.objects.values_list("pk", flat=True)
        for node in Node.objects.values_list("pk", flat=True)
    ]
    RunTime.objects.bulk_create(
        RunTime(spec_id=spec, node_id=node, count=2000, log_mean=-0.7, log_variance=0.1,
                updated_at=now)
        for spec, node in pairs
    )  # fmt: skip
    Pace.objects.bulk_create(
        Pace(spec_id=spec, node_id=node, log_mean=-0.75, moved_at=now) for spec, node in pairs
    )

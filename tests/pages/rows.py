"""Rows for the pages: jobs in every state, with attempts and output that means no good."""

import json
from datetime import datetime, timedelta
from typing import Any

from cluster.models import Node
from jobs import fingerprint
from jobs.models import Artifact, Attempt, Job, Output
from tests.factories import make_job

HOSTILE = '<script>alert("x")</script>'


def make_ended(
    now: datetime, node: Node, state: str = "succeeded", outcome: str = "", **body: Any
) -> Job:
    """A job with one attempt that has ended."""
    changes = {name: body.pop(name) for name in ("result", "error") if name in body}
    job = make_job(now - timedelta(minutes=5), **body)
    started = now - timedelta(minutes=4)
    Attempt.objects.create(
        job=job, number=1, node=node, bundle=job.pk, claimed_at=started, started_at=started,
        finished_at=now - timedelta(minutes=1), outcome=outcome or state, run_seconds=180.0,
        error=changes.get("error", ""), exit_code=0 if state == "succeeded" else 1,
        fingerprint=fingerprint.cause(ended, "", changes.get("error", ""), "").digest
        if (ended := outcome or state) in fingerprint.FAILURES else None,
        placement={"strategy": "least_connections", "candidates": {node.name: 0.5},
                   "ruled_out": {HOSTILE: "offline"}},
    )  # fmt: skip
    Job.objects.filter(pk=job.pk).update(
        state=state, tried=1, charged=1, node=node, started_at=started, run_seconds=180.0,
        finished_at=now - timedelta(minutes=1), **changes,
    )  # fmt: skip
    job.refresh_from_db()
    return job


def make_running(now: datetime, node: Node, **body: Any) -> Job:
    """A job with one open attempt."""
    job = make_job(now - timedelta(minutes=5), **body)
    Attempt.objects.create(
        job=job, number=1, node=node, bundle=job.pk, claimed_at=now, started_at=now
    )
    Job.objects.filter(pk=job.pk).update(state="running", tried=1, node=node, started_at=now)
    job.refresh_from_db()
    return job


def write(job: Job, data: bytes, stream: str = "stdout", offset: int = 0) -> Attempt:
    """Output of the job's last attempt."""
    attempt = job.attempts.latest("number")
    Output.objects.create(attempt=attempt, stream=stream, offset=offset, data=data)
    wrote = {f"{stream}_bytes": offset + len(data)}
    Attempt.objects.filter(pk=attempt.pk).update(**wrote)
    return attempt


def make_world(now: datetime, node: Node, count: int = 3) -> None:
    """`count` jobs of every state, named to hurt."""
    for number in range(count):
        name = f"{HOSTILE} {number}"
        make_job(now, name=name)
        make_job(now, name=name, run_at=(now + timedelta(hours=1)).isoformat())
        write(make_running(now, node, name=name), b"so far\npart")
        done = make_ended(now, node, name=name, result=json.dumps({HOSTILE: HOSTILE}))
        write(done, f"{HOSTILE}\n".encode())
        failed = make_ended(now, node, "failed", name=name, error=HOSTILE)
        attempt = write(failed, HOSTILE.encode(), "stderr")
        Artifact.objects.create(attempt=attempt, name=HOSTILE, size=3, error=HOSTILE)
        make_ended(now, node, "cancelled", name=name)

"""Every change of a job's and an attempt's state. docs/lifecycle.md draws them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from jobs import retry
from jobs.models import FINAL_STATES, Attempt, Job, JobQuerySet, OnLost, Outcome, State
from jobs.rows import update_rows
from jobs.submit import wake_dispatcher


@dataclass(frozen=True)
class Closing:
    """How an attempt ended."""

    attempt: int
    outcome: str
    error: str = ""
    error_type: str = ""
    traceback: str = ""
    exit_code: int | None = None
    result: str | None = None  # JSON text
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_seconds: float | None = None
    cpu_seconds: float | None = None
    max_rss_kb: int | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0


@dataclass(frozen=True)
class Standing:
    """What decides about a running job when its attempt ends."""

    job: int
    claimed_at: datetime
    charged: int
    losses: int
    max_attempts: int
    on_lost: str
    cancel_requested: bool


@dataclass(frozen=True)
class Decision:
    """The job's next state and counters."""

    state: str
    charged: int
    losses: int
    run_at: datetime | None = None  # set where it is queued again
    error: str = ""


def decide(closing: Closing, job: Standing, now: datetime) -> Decision:
    """What becomes of the job. Pure."""
    charged = job.charged + (closing.outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
    losses = job.losses + (closing.outcome == Outcome.LOST)
    here = Decision(State.FAILED, charged, losses, error=closing.error)
    if closing.outcome == Outcome.SUCCEEDED:
        return replace(here, state=State.SUCCEEDED, charged=job.charged + 1, error="")
    if job.cancel_requested or closing.outcome == Outcome.CANCELLED:
        return replace(here, state=State.CANCELLED, error=closing.error or "cancelled")
    if closing.outcome == Outcome.RELEASED:
        return replace(here, state=State.QUEUED, run_at=now, error="")
    if closing.outcome == Outcome.LOST:
        if job.on_lost == OnLost.FAIL:
            return replace(here, error=f"lost: {closing.error}; not run again, as asked")
        if losses >= retry.MOST_LOSSES:
            return replace(here, error=f"lost {losses} times, the last time: {closing.error}")
        return replace(here, state=State.QUEUED, run_at=now)
    if run_at := retry.next_run(charged, job.max_attempts, now):
        return replace(here, state=State.QUEUED, run_at=run_at)
    return here


ATTEMPT_CLOSED = [
    "finished_at", "outcome", "error", "error_type", "traceback", "exit_code", "started_at",
    "run_seconds", "cpu_seconds", "max_rss_kb", "stdout_bytes", "stderr_bytes",
]  # fmt: skip
JOB_MOVED = [
    "state", "charged", "losses", "error", "run_at", "finished_at", "started_at", "run_seconds",
    "exit_code", "result", "cancel_requested_at",
]  # fmt: skip


@transaction.atomic
def close(closings: Sequence[Closing], now: datetime) -> set[int]:
    """Close attempts that are still open and move their jobs on.

    Returns the attempts it closed; the others were closed before: the first answer stands.
    """
    wanted = {closing.attempt: closing for closing in reversed(closings)}
    open_rows = (
        Attempt.objects.select_for_update(of=("self", "job"))
        .filter(pk__in=wanted, finished_at=None)
        .order_by("job_id")
        .values_list(
            "id", "job_id", "claimed_at", "job__charged", "job__losses", "job__max_attempts",
            "job__on_lost", "job__cancel_requested_at", "job__run_at",
        )
    )  # fmt: skip
    attempts, jobs = [], []
    for pk, job_id, claimed_at, charged, losses, most, on_lost, cancel, run_at in open_rows:
        closing = wanted[pk]
        job = Standing(job_id, claimed_at, charged, losses, most, on_lost, cancel is not None)
        decision = decide(closing, job, now)
        finished = min(now, max(claimed_at, closing.finished_at or now))
        started = min(finished, max(claimed_at, closing.started_at)) if closing.started_at else None
        attempts.append(attempt_row(pk, closing, started, finished))
        jobs.append(job_row(job_id, closing, decision, started, finished, run_at))
    update_rows(Attempt, ATTEMPT_CLOSED, attempts)
    update_rows(Job, JOB_MOVED, jobs)
    return {row[-1] for row in attempts}


def attempt_row(
    pk: int, c: Closing, started: datetime | None, finished: datetime
) -> tuple[Any, ...]:
    return (
        finished, str(c.outcome), c.error, c.error_type[:100], c.traceback, c.exit_code, started,
        c.run_seconds, c.cpu_seconds, c.max_rss_kb, c.stdout_bytes, c.stderr_bytes, pk,
    )  # fmt: skip


def job_row(
    pk: int, c: Closing, d: Decision, started: datetime | None, finished: datetime, run_at: datetime
) -> tuple[Any, ...]:
    final = d.state != State.QUEUED
    return (
        str(d.state), d.charged, d.losses, d.error, d.run_at or run_at,
        finished if final else None, started if final else None,
        c.run_seconds if final else None, c.exit_code if final else None,
        c.result if d.state == State.SUCCEEDED else None, None, pk,
    )  # fmt: skip


def mark_started(attempt_ids: Collection[int], now: datetime) -> int:
    """Note that open attempts are running now."""
    fresh = Attempt.objects.filter(pk__in=attempt_ids, finished_at=None, started_at=None)
    jobs = list(fresh.values_list("job_id", flat=True))
    Job.objects.filter(pk__in=jobs, state=State.RUNNING).update(started_at=now)
    return fresh.update(started_at=now)


def cancel(jobs: JobQuerySet, now: datetime) -> int:
    """Cancel what is queued at once, ask for what is running. How many it concerned."""

    def queued() -> int:
        waiting = jobs.filter(state=State.QUEUED)
        return waiting.update(
            state=State.CANCELLED, finished_at=now, error="cancelled before it started"
        )

    with transaction.atomic():
        changed = queued()
        running = jobs.filter(state=State.RUNNING, cancel_requested_at=None)
        changed += running.update(cancel_requested_at=now)
        changed += queued()  # those that went back to the queue in between
        wake_dispatcher()
    return changed


def requeue(jobs: JobQuerySet, now: datetime) -> int:
    """Queue final jobs again, by a person's wish: counters and result start afresh."""
    with transaction.atomic():
        changed = jobs.filter(state__in=FINAL_STATES).update(
            state=State.QUEUED, run_at=now, finished_at=None, started_at=None, run_seconds=None,
            charged=0, losses=0, result=None, error="", exit_code=None, cancel_requested_at=None,
        )  # fmt: skip
        wake_dispatcher()
    return changed


def on_our_clock(
    started: float, run_seconds: float, newest_end: float, now: datetime
) -> tuple[datetime, datetime]:
    """A node's times moved onto our clock: the newest end of a message is its arrival."""
    begin = now - timedelta(seconds=max(0.0, newest_end - started))
    return begin, begin + timedelta(seconds=max(0.0, run_seconds))

"""Every change of a job's and an attempt's state. docs/lifecycle.md draws them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

from jobs import dependencies, events, failure_tally, fingerprint, retry, wake
from jobs.models import FINAL_STATES, Attempt, Job, JobQuerySet, OnLost, Outcome, Spec, State
from jobs.rows import moment, select, update_rows, when

# From each state, where a job may go and what takes it there. Nothing else is ever written.
TRANSITIONS: dict[str, dict[str, str]] = {
    State.QUEUED: {
        State.RUNNING: "claimed",
        State.CANCELLED: "cancelled by a person, or waits in vain",
    },
    State.RUNNING: {
        State.SUCCEEDED: "its attempt succeeded",
        State.FAILED: "its attempts are used up",
        State.CANCELLED: "stopped at a person's wish",
        State.QUEUED: "retried, lost or released",
    },
    State.SUCCEEDED: {State.QUEUED: "requeued by a person"},
    State.FAILED: {State.QUEUED: "requeued by a person"},
    State.CANCELLED: {State.QUEUED: "requeued by a person"},
}


class Closing(NamedTuple):
    """How an attempt ended."""

    attempt: int
    outcome: str
    never_started: bool = False  # lost, but certainly before it ran
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


class Standing(NamedTuple):
    """A running job and its open attempt, as far as the attempt's end is concerned."""

    attempt: int
    job: int
    bundle: int
    number: int
    node: int
    node_name: str
    address: str
    spec: int
    owner: int
    claimed_at: datetime
    started_at: datetime | None
    charged: int
    losses: int
    max_attempts: int
    on_lost: str
    cancel_requested: bool


class Decision(NamedTuple):
    """The job's next state and counters."""

    state: str
    charged: int
    losses: int
    run_at: datetime | None = None  # set where it is queued again
    error: str = ""


def decide(closing: Closing, job: Standing, retry_on: Mapping[str, Any], now: datetime) -> Decision:
    """What becomes of the job. Pure, and complete: every outcome has its consequence."""
    counts = closing.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT)
    charged, losses = job.charged + counts, job.losses + (closing.outcome == Outcome.LOST)
    if closing.outcome == Outcome.SUCCEEDED:
        return Decision(State.SUCCEEDED, charged, losses)
    here = Decision(State.FAILED, charged, losses, error=closing.error)
    if job.cancel_requested or closing.outcome == Outcome.CANCELLED:
        return here._replace(state=State.CANCELLED, error=closing.error or "cancelled")
    if closing.outcome == Outcome.RELEASED:
        return here._replace(state=State.QUEUED, run_at=now, error="")
    if closing.outcome == Outcome.LOST:
        if job.on_lost == OnLost.FAIL and not closing.never_started:
            return here._replace(error=f"lost: {closing.error}; not run again, as asked")
        if losses >= retry.MOST_LOSSES:
            return here._replace(error=f"lost {losses} times, the last time: {closing.error}")
        return here._replace(state=State.QUEUED, run_at=now)
    run_at = retry.next_run(charged, job.max_attempts, now)
    timed_out = closing.outcome == Outcome.TIMED_OUT
    if run_at and retry.worth_it(retry_on, timed_out, closing.exit_code, closing.error_type):
        return here._replace(state=State.QUEUED, run_at=run_at)
    return here


STANDING = [
    "id", "job", "bundle", "number", "node", "node__name", "node__address", "job__spec",
    "job__owner", "claimed_at", "started_at", "job__charged", "job__losses", "job__max_attempts",
    "job__on_lost", "job__cancel_requested_at",
]  # fmt: skip
ATTEMPT_CLOSED = [
    "finished_at", "outcome", "error", "error_type", "traceback", "exit_code", "started_at",
    "run_seconds", "cpu_seconds", "max_rss_kb", "stdout_bytes", "stderr_bytes",
]  # fmt: skip
JOB_ENDED = [
    "state", "charged", "losses", "error", "finished_at", "started_at", "run_seconds",
    "exit_code", "result", "cancel_requested_at",
]  # fmt: skip
JOB_QUEUED = [
    "state", "charged", "losses", "error", "run_at", "finished_at", "started_at", "run_seconds",
    "exit_code", "result", "cancel_requested_at",
]  # fmt: skip


def standings(attempts: QuerySet[Attempt]) -> dict[int, Standing]:
    """The open ones among `attempts`, by id and in that order; their jobs are locked."""
    still_open = attempts.filter(finished_at=None)
    if connection.features.has_select_for_update:
        # In order, as everybody does: no two wait for each other.
        jobs = Job.objects.select_for_update().filter(pk__in=still_open.values("job"))
        list(jobs.order_by("pk").values_list("pk", flat=True))
    query = still_open.order_by().values_list(*STANDING).query
    found = sorted(select(*query.sql_with_params()))
    return {values[0]: standing(*values) for values in found}


def standing(*values: Any) -> Standing:
    *others, claimed_at, started_at, charged, losses, most, on_lost, cancelled_at = values
    begun = started_at and when(started_at)
    asked = cancelled_at is not None
    times = (when(claimed_at), begun)
    return Standing._make((*others, *times, charged, losses, most, on_lost, asked))


@transaction.atomic
def close(
    closings: Sequence[Closing], now: datetime, known: Mapping[int, Standing] | None = None
) -> set[int]:
    """Close attempts that are still open and move their jobs on.

    `known`: standings() of this very transaction, if it was read already. Returns the attempts
    it closed; the others were closed before: the first answer stands.
    """
    wanted = {closing.attempt: closing for closing in reversed(closings)}
    if not wanted:
        return set()
    if known is None:
        known = standings(Attempt.objects.filter(pk__in=wanted))
    rules = retry_rules(known, wanted)
    attempts, finals, queued, history, succeeded, ended = [], [], [], [], [], {}
    for pk, closing in wanted.items():
        job = known.get(pk)
        if job is None:
            continue
        decision = decide(closing, job, rules.get(job.spec, {}), now)
        finished = min(now, max(job.claimed_at, closing.finished_at or now))
        started = closing.started_at and min(finished, max(job.claimed_at, closing.started_at))
        begun, end = moment(started) if started else None, moment(finished)  # each used twice
        attempts.append(attempt_row(pk, closing, begun, end))
        if closing.outcome == Outcome.SUCCEEDED:
            succeeded.append(pk)
        else:
            history.append(
                (job.job, now, str(decision.state), job.number, events.DISPATCHER,
                 why(closing, job.node_name))
            )  # fmt: skip
        if decision.state == State.QUEUED:
            queued.append(queued_row(decision, job))
        else:
            finals.append(ended_row(closing, decision, job, begun, end))
            ended[job.job] = str(decision.state)
    close_rows(attempts, finals, queued, {pk: mark(wanted[pk]) for *_, pk in attempts}, known)
    events.note_rows(history)
    events.note_succeeded(succeeded, now)
    dependencies.settle(ended, now)
    return {row[-1] for row in attempts}


def retry_rules(
    known: Mapping[int, Standing], closings: Mapping[int, Closing]
) -> dict[int, Mapping[str, Any]]:
    """Of the specs whose attempts failed: what is worth another try."""
    specs = {
        known[pk].spec
        for pk, closing in closings.items()
        if closing.outcome in (Outcome.FAILED, Outcome.TIMED_OUT) and pk in known
    }
    return dict(Spec.objects.filter(pk__in=specs).values_list("id", "retry_on")) if specs else {}


def why(closing: Closing, node: str) -> str:
    """One line for the history."""
    words = f"{closing.outcome.replace('_', ' ')} on {node}"
    if not closing.error:
        return words
    return f"{words}: {closing.error.partition(chr(10))[0]}"[: events.MOST_WHY]


def attempt_row(pk: int, c: Closing, started: str | None, finished: str) -> tuple[Any, ...]:
    return (
        finished, str(c.outcome), c.error, c.error_type[:100], c.traceback, c.exit_code, started,
        c.run_seconds, c.cpu_seconds, c.max_rss_kb, c.stdout_bytes, c.stderr_bytes, pk,
    )  # fmt: skip


def close_rows(
    attempts: list[tuple[Any, ...]], finals: list[tuple[Any, ...]],
    queued: list[tuple[Any, ...]], marked: Mapping[int, str | None],
    known: Mapping[int, Standing],
) -> None:  # fmt: skip
    """Write the attempts' ends and what becomes of their jobs; failures get their fingerprint.

    Where there are none, no statement names it.
    """
    failed = {pk: digest for pk, digest in marked.items() if digest}
    of_jobs = {known[pk].job: digest for pk, digest in failed.items()}
    for model, names, rows, found, name in (
        (Attempt, ATTEMPT_CLOSED, attempts, failed, "fingerprint"),
        (Job, JOB_ENDED, finals, of_jobs, "failure"),
        (Job, JOB_QUEUED, queued, of_jobs, "failure"),
    ):
        if failed:
            more = ((*row[:-1], found.get(row[-1]), row[-1]) for row in rows)
            update_rows(model, [*names, name], more)
        else:
            update_rows(model, names, rows)
    failure_tally.note(failed)


def mark(c: Closing) -> str | None:
    if c.outcome not in fingerprint.FAILURES:
        return None
    return fingerprint.cause(str(c.outcome), c.error_type, c.error, c.traceback).digest


def ended_row(
    c: Closing, d: Decision, job: Standing, started: str | None, finished: str
) -> tuple[Any, ...]:
    return (
        str(d.state), d.charged, d.losses, d.error, finished, started, c.run_seconds, c.exit_code,
        c.result if d.state == State.SUCCEEDED else None, None, job.job,
    )  # fmt: skip


def queued_row(d: Decision, job: Standing) -> tuple[Any, ...]:
    return (str(d.state), d.charged, d.losses, d.error, d.run_at, None, None, None, None, None,
            None, job.job)  # fmt: skip


def mark_started(attempt_ids: Collection[int], now: datetime) -> int:
    """Note that open attempts are running now."""
    if not attempt_ids:
        return 0
    fresh = Attempt.objects.filter(pk__in=attempt_ids, finished_at=None, started_at=None)
    jobs = list(fresh.values_list("job_id", flat=True))
    Job.objects.filter(pk__in=jobs, state=State.RUNNING).update(started_at=now)
    return fresh.update(started_at=now)


def cancel(jobs: JobQuerySet, now: datetime, who: str) -> int:
    """Cancel what is queued at once, ask for what is running. How many it concerned."""
    with transaction.atomic():
        changed = cancel_queued(jobs, now, who)
        running = jobs.filter(state=State.RUNNING, cancel_requested_at=None)
        if events.note_all(running, now, "", who, "cancel asked for"):
            changed += running.update(cancel_requested_at=now)
        changed += cancel_queued(jobs, now, who)  # those that went back in between
        wake.call()
    return changed


def cancel_queued(jobs: JobQuerySet, now: datetime, who: str) -> int:
    waiting = jobs.filter(state=State.QUEUED)
    if not events.note_all(waiting, now, State.CANCELLED.value, who, "before it started"):
        return 0
    waited_for = waiting.filter(dependants__isnull=False)
    ended = dict.fromkeys(waited_for.values_list("pk", flat=True), State.CANCELLED.value)
    changed = waiting.update(
        state=State.CANCELLED, finished_at=now, error="cancelled before it started"
    )
    dependencies.settle(ended, now)
    return changed


def requeue(jobs: JobQuerySet, now: datetime, who: str) -> int:
    """Queue final jobs again, by a person's wish: counters and result start afresh."""
    with transaction.atomic():
        final = jobs.filter(state__in=FINAL_STATES)
        if not events.note_all(final, now, State.QUEUED.value, who, "requeued"):
            return 0
        dependencies.forget(final)
        changed = final.update(
            state=State.QUEUED, run_at=now, finished_at=None, started_at=None, run_seconds=None,
            charged=0, losses=0, result=None, error="", exit_code=None, cancel_requested_at=None,
            held=False, waits=0, failure=None,
        )  # fmt: skip
        wake.call()
    return changed


def change(jobs: JobQuerySet, now: datetime, who: str, **values: Any) -> int:
    """Change priority, run_at, held or max_attempts of jobs that are still queued."""
    words = ", ".join(f"{name} = {value}" for name, value in values.items())
    with transaction.atomic():
        queued = jobs.filter(state=State.QUEUED)
        events.note_all(queued, now, "", who, f"changed: {words}")
        changed = queued.update(**values)
        wake.call()
    return changed


def on_our_clock(
    started: float, run_seconds: float, newest_end: float, now: datetime
) -> tuple[datetime, datetime]:
    """A node's times moved onto our clock: the newest end of a message is its arrival."""
    begin = now - timedelta(seconds=max(0.0, newest_end - started))
    return begin, begin + timedelta(seconds=max(0.0, run_seconds))

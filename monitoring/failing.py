"""Schedules whose last times failed: what the rule schedule_failing looks at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from cluster import wording
from jobs.rows import marks, moment, select, when
from schedules.due import US

MOST_RUNS = 20  # of one schedule, the newest, that are looked at
MOST = 1000  # schedules whose times are read; of the others nothing is said
OVER = timedelta(days=1)  # a schedule without a further time is told of for so long

BAD = ("refused", "missed", "failed")  # such a time failed; a sweep from one failed job on
NOT_YET = ("overlap", "open", "cancelled")  # says nothing, either way: see the one before


@dataclass(frozen=True)
class Time:
    """What became of one time: refused, missed, overlap, or the state of the work it started."""

    outcome: str  # "gone" where that is deleted
    at: datetime
    reason: str = ""
    job: int | None = None
    sweep: int | None = None


@dataclass(frozen=True)
class Failing:
    """A schedule whose newest times failed, so many in a row."""

    id: int
    name: str
    in_a_row: int  # MOST_RUNS at most; 0: not counted
    last: str  # of BAD: what became of the newest of them
    since: datetime  # when the first of them was seen to
    at: datetime  # and the newest
    reason: str = ""  # why it was refused
    job: int | None = None  # the newest that failed, if it was a job
    sweep: int | None = None  # if it was a sweep
    paused: bool = False  # by itself, after it was refused too often
    more: bool = False  # as far back as anybody looked


def judge(pk: int, name: str, paused: bool, times: Iterable[Time]) -> Failing | None:
    """`times`: the newest first."""
    looked_at, bad = list(times), list[Time]()
    more = len(looked_at) >= MOST_RUNS
    for one in looked_at:
        if one.outcome in BAD:
            bad.append(one)
        elif one.outcome not in NOT_YET:
            more = False
            break
    if not bad:
        return None
    last, first = bad[0], bad[-1]
    failed = next((one for one in bad if one.outcome == "failed"), Time("", last.at))
    return Failing(
        id=pk, name=name, in_a_row=len(bad), last=last.outcome, since=first.at, at=last.at,
        reason=last.reason, job=failed.job, sweep=failed.sweep, paused=paused, more=more,
    )  # fmt: skip


# The state of what a run started, from the kept counts where it was a sweep.
SLOT = "(SELECT sum(t.count) FROM jobs_tally t WHERE t.slot = r.sweep_id * 4 + {})"
BECAME = f"""CASE WHEN r.outcome <> 'started' THEN r.outcome
    WHEN r.job_id IS NOT NULL THEN coalesce((SELECT CASE
        WHEN j.state IN ('queued', 'running') THEN 'open' ELSE j.state END
        FROM jobs_job j WHERE j.id = r.job_id), 'gone')
    WHEN {SLOT.format(0)} > 0 THEN 'open' WHEN {SLOT.format(2)} > 0 THEN 'failed'
    WHEN {SLOT.format(3)} > 0 THEN 'cancelled' WHEN {SLOT.format(1)} > 0 THEN 'succeeded'
    ELSE 'gone' END"""  # noqa: S608
# The newest few, of those since somebody changed it: that may have been the repair.
NEWEST = f"""r.schedule_id = s.id AND r.at > s.changed_at AND r.scheduled_for >= coalesce(
    (SELECT n.scheduled_for FROM schedules_run n WHERE n.schedule_id = s.id
        ORDER BY n.scheduled_for DESC LIMIT 1 OFFSET {MOST_RUNS - 1}), %s)"""  # noqa: S608
SUSPECTS = f"""SELECT s.id, s.name, s.paused_at FROM schedules_schedule s
    WHERE (s.next_at IS NOT NULL OR s.paused_by = %s OR s.paused_at IS NULL AND s.reckoned_at > %s)
    AND (SELECT {BECAME} FROM schedules_run r
        WHERE {NEWEST} AND {BECAME} NOT IN ('overlap', 'open', 'cancelled')
        ORDER BY r.scheduled_for DESC LIMIT 1) IN ('refused', 'missed', 'failed')
    ORDER BY s.id"""  # noqa: S608
TIMES = f"""SELECT r.schedule_id, {BECAME}, r.at, r.reason, r.job_id, r.sweep_id
    FROM schedules_schedule s JOIN schedules_run r ON {NEWEST}
    WHERE s.id IN ({{}}) ORDER BY r.schedule_id, r.scheduled_for DESC"""  # noqa: S608
NEVER = datetime(1, 1, 1, tzinfo=UTC)


def failing(now: datetime) -> tuple[Failing, ...]:
    """In one statement where all is well, in two where not. A run and its job by their indexes."""
    suspects = {
        pk: (name, paused_at is not None)
        for pk, name, paused_at in select(SUSPECTS, [US, moment(now - OVER), moment(NEVER)])
    }
    if not suspects:
        return ()
    counted, beyond = list(suspects)[:MOST], list(suspects)[MOST:]
    rows = select(TIMES.format(marks(counted)), [moment(NEVER), *counted])
    found = (
        judge(pk, *suspects[pk], [time_of(row) for row in group])
        for pk, group in groupby(rows, key=lambda row: row[0])
    )
    uncounted = (Failing(pk, suspects[pk][0], 0, "", now, now) for pk in beyond)
    return tuple(one for one in (*found, *uncounted) if one)


def time_of(row: Sequence[Any]) -> Time:
    _schedule, became, at, reason, job, sweep = row
    return Time(became, when(at), wording.read(reason), job, sweep)

"""What is due is started, each time once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from jobs import cleanup, lifecycle
from jobs.files import store
from jobs.models import File, Job, State, Sweep
from schedules import due, keeping
from schedules.models import Run, Schedule
from tests.schedules.conftest import Make

HOUR = timedelta(hours=1)
pytestmark = pytest.mark.django_db


def outcomes(schedule: Schedule) -> list[str]:
    return list(schedule.runs.order_by("scheduled_for").values_list("outcome", flat=True))


def again(schedule: Schedule) -> Schedule:
    return Schedule.objects.get(pk=schedule.pk)


def test_a_due_schedule_starts_its_job_once(make: Make, now: datetime) -> None:
    schedule = make(name="nightly")
    assert schedule.next_at == now + HOUR
    assert due.run(now + HOUR - timedelta(seconds=1)) == 0
    assert due.run(now + HOUR) == 1
    assert due.run(now + HOUR) == 0
    job, run, schedule = Job.objects.get(), Run.objects.get(), again(schedule)
    assert (job.name, job.owner, job.created_at) == ("nightly", schedule.owner, now + HOUR)
    assert (run.outcome, run.job, run.scheduled_for) == ("started", job, now + HOUR)
    assert (schedule.last_job_id, schedule.last_at, schedule.started) == (job.pk, now + HOUR, 1)
    assert schedule.next_at == now + 2 * HOUR


def test_a_sweep_is_started_as_well(make: Make, now: datetime) -> None:
    spec = {"kind": "command", "command": "echo {n}"}
    schedule = make(sweep={"spec": spec, "over": {"n": [1, 2, 3]}})
    due.run(now + HOUR)
    sweep = Sweep.objects.get()
    assert (sweep.total, sweep.name, Job.objects.count()) == (3, schedule.name, 3)
    assert again(schedule).last_sweep_id == sweep.pk


def test_where_nothing_is_due_one_statement_is_asked_and_none_writes(
    make: Make, now: datetime, django_assert_num_queries: Any
) -> None:
    make()
    with django_assert_num_queries(1) as asked:
        assert due.run(now) == 0
    assert isinstance(asked, CaptureQueriesContext)
    assert asked.captured_queries[0]["sql"].startswith("SELECT")


def test_the_same_time_is_not_started_twice_though_next_at_was_put_back(
    make: Make, now: datetime
) -> None:
    schedule = make()
    due.run(now + HOUR)
    Schedule.objects.filter(pk=schedule.pk).update(next_at=now + HOUR)
    assert due.run(now + HOUR) == 1
    assert Job.objects.count() == 1
    assert again(schedule).next_at == now + 2 * HOUR


@pytest.mark.parametrize(
    ("policy", "expected", "jobs"),
    [("skip", ["missed"], 0), ("once", ["missed", "started"], 1),
     ("all", ["started", "started", "started"], 3)],
)  # fmt: skip
def test_what_was_missed(
    make: Make, now: datetime, policy: str, expected: list[str], jobs: int
) -> None:
    schedule = make(missed=policy)
    late = now + 3 * HOUR + timedelta(minutes=20)
    while due.run(late):
        pass
    assert outcomes(schedule) == expected
    assert Job.objects.count() == jobs
    assert again(schedule).next_at == now + 4 * HOUR
    if policy == "skip":
        assert Run.objects.get().until == now + 3 * HOUR


def test_one_call_sees_to_a_bounded_number(
    make: Make, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "MOST_AT_ONCE", 2)
    for _number in range(5):
        make()
    assert [due.run(now + HOUR) for _call in range(4)] == [2, 2, 1, 0]


def test_not_while_the_last_one_is_open(make: Make, now: datetime) -> None:
    schedule = make(overlap="skip")
    due.run(now + HOUR)
    due.run(now + 2 * HOUR)
    assert outcomes(schedule) == ["started", "overlap"]
    job = Job.objects.get()
    assert Run.objects.get(outcome="overlap").reason == f"job {job.pk}"
    lifecycle.cancel(Job.objects.all(), now, "alice")
    due.run(now + 3 * HOUR)
    assert outcomes(schedule) == ["started", "overlap", "started"]


def test_not_while_the_last_sweep_is_open(make: Make, now: datetime) -> None:
    work = {"spec": {"kind": "command", "command": "true"}, "over": {"n": [1, 2]}}
    schedule = make(overlap="skip", sweep=work)
    due.run(now + HOUR)
    due.run(now + 2 * HOUR)
    assert outcomes(schedule) == ["started", "overlap"]


def test_the_last_one_is_cancelled_for_the_new(make: Make, now: datetime) -> None:
    schedule = make(overlap="cancel")
    due.run(now + HOUR)
    due.run(now + 2 * HOUR)
    states = Job.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.CANCELLED, State.QUEUED]
    assert outcomes(schedule) == ["started", "started"]


def test_a_body_that_is_not_valid_any_more_is_told_and_does_not_come_back_at_once(
    make: Make, now: datetime
) -> None:
    schedule = make(overlap="cancel", job={"kind": "function", "function": "montecarlo.pi",
                                           "args": {"samples": 10}})  # fmt: skip
    due.run(now + HOUR)
    Schedule.objects.update(body={"kind": "function", "function": "montecarlo.gone"})
    assert [due.run(now + 2 * HOUR) for _call in range(3)] == [1, 0, 0]
    schedule = again(schedule)
    assert schedule.last_error.startswith("No function montecarlo.gone")
    assert outcomes(schedule) == ["started", "refused"]
    assert Job.objects.get().state == State.QUEUED  # nothing is cancelled for what cannot start
    assert schedule.next_at == now + 3 * HOUR


def test_a_deactivated_owner_starts_nothing_and_after_ten_times_it_is_paused(
    make: Make, alice: User, now: datetime
) -> None:
    schedule = make()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    for number in range(1, 13):
        due.run(now + number * HOUR)
    schedule = again(schedule)
    assert outcomes(schedule) == ["refused"] * 10
    assert schedule.last_error == "The user alice is deactivated."
    assert (schedule.state, schedule.paused_by) == ("paused", "schedules")
    assert Job.objects.count() == 0


def test_what_nobody_foresaw_is_told_and_jams_nothing(
    make: Make, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make(name="bad"), make(name="good")
    start = due.bodies.start

    def fail(what: str, data: dict[str, Any], owner: Any, at: datetime) -> Any:
        made = start(what, data, owner, at)
        if data["name"] == "bad":
            raise RuntimeError("no such luck")
        return made

    monkeypatch.setattr(due.bodies, "start", fail)
    assert due.run(now + HOUR) == 2
    assert again(bad).last_error == "RuntimeError: no such luck"
    assert (outcomes(bad), outcomes(good)) == (["refused"], ["started"])
    assert Job.objects.get().name == "good"


def test_when_the_database_goes_all_of_it_comes_again(
    make: Make, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = make()

    def fail(*_args: Any) -> Any:
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(due.bodies, "start", fail)
        with pytest.raises(OperationalError):
            due.run(now + HOUR)
    assert outcomes(schedule) == []
    due.run(now + HOUR)
    assert outcomes(schedule) == ["started"]


def test_paused_it_starts_nothing_and_resumed_it_makes_up_for_nothing(
    make: Make, now: datetime
) -> None:
    schedule = make(missed="all")
    assert keeping.pause(schedule, "alice", "moving house", now)
    assert not keeping.pause(schedule, "bob", "", now)
    assert due.run(now + 3 * HOUR) == 0
    assert keeping.resume(schedule, now + 3 * HOUR)
    assert not keeping.resume(schedule, now + 3 * HOUR)
    assert due.run(now + 3 * HOUR) == 0
    assert again(schedule).next_at == now + 4 * HOUR


def test_after_its_end_it_is_over(make: Make, now: datetime) -> None:
    schedule = make(end_at=now + HOUR)
    due.run(now + HOUR)
    schedule = again(schedule)
    assert (schedule.state, schedule.next_at, outcomes(schedule)) == ("over", None, ["started"])


def test_a_clock_that_was_ahead_and_is_set_back_stops_nothing(make: Make, now: datetime) -> None:
    schedule = make(missed="once")
    ahead = now + timedelta(days=300)
    due.run(ahead)
    assert outcomes(schedule) == ["missed", "started"]
    due.run(now + timedelta(minutes=5))
    assert again(schedule).next_at == now + HOUR
    due.run(now + HOUR)
    assert outcomes(schedule) == ["started", "started"]  # what was not yet time was not missed
    due.run(now + 2 * HOUR)
    assert Job.objects.count() == 3


def test_a_small_step_back_starts_nothing_twice(make: Make, now: datetime) -> None:
    make()
    due.run(now + HOUR)
    for seconds in (-30, -10, 0, 10):
        due.run(now + HOUR + timedelta(seconds=seconds))
    assert Job.objects.count() == 1


def test_an_hour_back_starts_nothing_twice(make: Make, now: datetime) -> None:
    schedule = make(every_seconds=600, cron="", anchor=now)
    for minutes in range(0, 65, 5):
        due.run(now + timedelta(minutes=minutes))
    assert Job.objects.count() == 6
    for minutes in range(0, 80, 5):  # the same hour once more
        due.run(now + timedelta(minutes=minutes))
    assert Job.objects.count() == 7
    assert Run.objects.filter(schedule=schedule, outcome="started").count() == 7


def test_run_now_is_a_run_of_its_own(make: Make, now: datetime) -> None:
    schedule = make(overlap="skip")
    keeping.pause(schedule, "alice", "", now)
    run = due.run_now(schedule, "alice", now)
    assert (run.who, run.job) == ("alice", Job.objects.get())
    with pytest.raises(due.Overlaps, match=f"job {run.job_id}"):
        due.run_now(schedule, "alice", now + HOUR)
    User.objects.update(is_active=False)
    lifecycle.cancel(Job.objects.all(), now, "alice")
    with pytest.raises(due.Refused, match="deactivated"):
        due.run_now(schedule, "alice", now + HOUR)
    assert Run.objects.count() == 1


def test_a_new_rule_counts_from_now_and_another_name_does_not(make: Make, now: datetime) -> None:
    schedule = make()
    later = now + timedelta(minutes=70)
    assert keeping.change(schedule, {"name": "other"}, later).next_at == now + HOUR
    assert keeping.change(schedule, {"cron": "30 * * * *"}, later).next_at == later + timedelta(
        minutes=20
    )


def test_old_runs_go_and_the_last_stays(make: Make, now: datetime) -> None:
    schedule, other = make(), make()
    for number in range(1, 5):
        due.run(now + number * HOUR)
    assert due.old_runs(now + timedelta(days=31), 30) == 6
    assert [run.scheduled_for for run in schedule.runs.all()] == [now + 4 * HOUR]
    assert other.runs.count() == 1
    assert due.old_runs(now + timedelta(days=31), 30) == 0


def test_what_it_started_may_be_cleaned_up(make: Make, now: datetime) -> None:
    schedule = make(overlap="skip")
    due.run(now + HOUR)
    lifecycle.cancel(Job.objects.all(), now + HOUR, "alice")
    assert cleanup.cleanup(now + timedelta(days=40), 30).jobs == 1
    assert due.run(again(schedule).next_at or now) == 1
    assert outcomes(schedule) == ["started", "started"]


def test_its_files_are_kept_though_no_job_uses_them(make: Make, alice: User, now: datetime) -> None:
    kept, other = store([b"kept"], alice, now), store([b"other"], alice, now)
    make(job={"kind": "command", "command": ["cat", "a"], "files": {"a": kept.pk}})
    cleanup.cleanup(now + timedelta(days=40), 30)
    assert list(File.objects.values_list("pk", flat=True)) == [kept.pk]
    assert other.pk != kept.pk


def test_the_rows_refuse_nonsense(make: Make, now: datetime) -> None:
    from django.db import IntegrityError, transaction

    schedule = make()
    changes: list[dict[str, Any]] = [
        {"cron": ""}, {"every_seconds": 60}, {"paused_at": now, "next_at": F("next_at")},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            Schedule.objects.filter(pk=schedule.pk).update(**change)
    Run.objects.create(schedule=schedule, scheduled_for=now, at=now, outcome="missed")
    for outcome in ("missed", "started"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Run.objects.create(
                schedule=schedule, scheduled_for=now if outcome == "missed" else now + HOUR,
                at=now, outcome=outcome,
            )  # fmt: skip


def test_daylight_saving_is_the_schedules_own(make: Make) -> None:
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    schedule = make(before, cron="30 2 * * *", time_zone="Europe/Berlin")
    assert schedule.next_at == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 03:00, after the gap
    due.run(datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC))
    assert again(schedule).next_at == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)

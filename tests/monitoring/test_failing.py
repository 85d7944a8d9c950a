"""Schedules that are failing: what is read of them, what is found, and in which words."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from cluster.words import Words
from jobs.models import Job
from monitoring import alert_words, alerts, silences, snapshot, watch
from monitoring.failing import Failing, Time, failing, judge
from monitoring.models import Alert
from monitoring.rules import Changed, find, with_changes
from schedules import due, keeping
from schedules.models import Run, Schedule
from schedules.serializers import ScheduleIn
from tests.factories import NOW, make_job, make_user
from tests.monitoring.watched import well

HOUR = timedelta(hours=1)


def of(*outcomes: str) -> Failing | None:
    """The newest last, as they are written down."""
    times = [
        Time("failed", at, sweep=n + 1) if one == "swept" else Time(one, at, "gone", n + 1)
        for n, one in enumerate(outcomes) if (at := NOW + n * HOUR)
    ]  # fmt: skip
    return judge(7, "nightly", False, reversed(times))


@pytest.mark.parametrize(
    ("outcomes", "count", "last"),
    [
        (["succeeded", "failed", "failed"], 2, "failed"),
        (["failed", "succeeded", "failed"], 1, "failed"),
        (["failed", "missed", "refused"], 3, "refused"),
        (["failed", "overlap", "failed", "open", "cancelled"], 2, "failed"),
        (["failed", "gone", "missed"], 1, "missed"),
    ],
)
def test_times_that_failed_are_counted_from_the_newest(
    outcomes: list[str], count: int, last: str
) -> None:
    found = of(*outcomes)
    assert found and (found.in_a_row, found.last) == (count, last)


@pytest.mark.parametrize(
    "outcomes",
    [[], ["open"], ["failed", "succeeded"], ["failed", "gone"], ["overlap", "cancelled"]],
)
def test_where_the_last_brought_something_nothing_is_told(outcomes: list[str]) -> None:
    assert of(*outcomes) is None


def rule(found: Failing | None, threshold: float | None = None) -> list[str]:
    rules = with_changes({"schedule_failing": Changed(threshold=threshold)})
    snapshot = well(failing=(found,) if found else ())
    return [f"{one.rule} {one.subject}" for one in find(snapshot, rules).findings]


def test_three_in_a_row_are_an_alert_and_one_that_could_not_start() -> None:
    told = ["schedule_failing schedule 7"]
    assert rule(of("failed", "failed")) == rule(of("missed")) == []
    assert rule(of("failed", "missed", "failed")) == rule(of("refused")) == told
    assert rule(of("missed"), 1) == told
    assert rule(of("failed", "failed", "failed"), 5) == []


@pytest.mark.parametrize(
    ("outcomes", "words", "advice"),
    [
        (["failed"], "The last run of the schedule “nightly” failed.", "its output says why"),
        (["failed"] * 4, "The schedule “nightly” failed 4 times in a row, the last time because "
         "its job failed.", "pause the schedule"),
        (["missed", "swept"], "The schedule “nightly” failed 2 times in a row, the last time "
         "because jobs of its sweep failed.", "from one failed job on"),
        (["swept"], "Jobs of the last sweep of the schedule “nightly” failed.", "requeue"),
        (["missed"], "The schedule “nightly” left its last time out: nobody was there.", "monitor"),
        (["missed"] * 3, "3 times in a row, the last time because nobody was", "make up for"),
        (["failed"] * 20, "failed at least 20 times in a row", "its output says why"),
        (["succeeded", *["failed"] * 19], "failed 19 times in a row", "its output says why"),
        (["refused"], "The schedule “nightly” could not start its work: gone", "page says what"),
    ],
)  # fmt: skip
def test_it_is_told_in_a_sentence_with_advice(outcomes: list[str], words: str, advice: str) -> None:
    rules = with_changes({"schedule_failing": Changed(threshold=1)})
    [finding] = find(well(failing=(of(*outcomes),)), rules).findings
    alert = Alert(rule=finding.rule, subject=finding.subject, value=finding.value,
                  facts=dict(finding.facts))  # fmt: skip
    assert words in alert_words.summary(alert)
    assert advice in alert_words.advice(alert)
    urls = [one.url for one in alert_words.evidence(alert)]
    last = len(outcomes)
    shown = {"failed": [f"/jobs/{last}"], "swept": [f"/jobs?sweep={last}&state=failed"]}
    assert urls == ["/schedules/7", *shown.get(outcomes[-1], [])]


# Read from the rows


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


def make(owner: User, at: datetime, name: str = "nightly", **values: Any) -> Schedule:
    values = {"name": name, "cron": "0 * * * *", "job": {"kind": "command", "command": "date"},
              **values}  # fmt: skip
    if "sweep" in values:
        del values["job"]
    checked = ScheduleIn(data=values, context={"owner": owner})
    checked.is_valid(raise_exception=True)
    return keeping.create(checked.validated_data, owner, at)


def end(run: Run, state: str) -> None:
    jobs = run.sweep.jobs.all() if run.sweep else Job.objects.filter(pk__in=[run.job_id])
    jobs.update(state=state, finished_at=run.at)


def began(schedule: Schedule, now: datetime, *states: str) -> list[Run]:
    """A time for each state of its work, an hour apart, from `now` on."""
    made = []
    for hour, state in enumerate(states):
        schedule.refresh_from_db()
        run = due.run_now(schedule, "", now + hour * HOUR)
        if state != "open":
            end(run, state)
        made.append(run)
    return made


def look(at: datetime) -> None:
    alerts.judge(snapshot.judged(snapshot.read(at)), at)


def test_failing_jobs_and_sweeps_are_found(alice: User, now: datetime) -> None:
    well_done = make(alice, now - HOUR, "fine")
    began(well_done, now, "failed", "succeeded")
    spec = {"kind": "command", "command": "date"}
    grid = make(alice, now - HOUR, "grid", sweep={"spec": spec, "over": {"n": [1, 2]}})
    runs = began(grid, now, "failed", "failed", "open")
    assert runs[1].sweep
    runs[1].sweep.jobs.filter(pk=runs[1].sweep.jobs.latest("pk").pk).update(state="succeeded")
    nightly = make(alice, now - HOUR)
    last = began(nightly, now, "failed", "failed", "failed", "cancelled")[2]
    found = {one.id: one for one in failing(now + 9 * HOUR)}
    assert set(found) == {grid.pk, nightly.pk}
    swept = found[grid.pk]
    assert (swept.in_a_row, swept.last, swept.job) == (2, "failed", None)
    assert (swept.sweep, swept.at) == (runs[1].sweep_id, now + HOUR)
    one = found[nightly.pk]
    assert (one.name, one.in_a_row, one.job, one.since) == ("nightly", 3, last.job_id, now)
    began(nightly, now + 5 * HOUR, "succeeded")
    assert [one.id for one in failing(now + 9 * HOUR)] == [grid.pk]


def test_what_could_not_start_and_what_was_late_are_found(alice: User, now: datetime) -> None:
    schedule = make(alice, now)
    body = {"kind": "function", "function": "montecarlo.gone"}
    Schedule.objects.filter(pk=schedule.pk).update(body=body)
    due.run(now + HOUR)
    [one] = failing(now + HOUR)
    assert (one.last, one.in_a_row, one.paused) == ("refused", 1, False)
    assert one.reason.startswith("No function montecarlo.gone")
    for hour in range(2, 11):
        due.run(now + hour * HOUR)
    schedule.refresh_from_db()
    assert schedule.paused_by == due.US
    [one] = failing(now + 99 * HOUR)
    assert (one.in_a_row, one.paused) == (10, True)
    late = make(alice, now, "late", missed="skip")
    due.run(now + 90 * HOUR + timedelta(minutes=30))
    [one] = [one for one in failing(now + 99 * HOUR) if one.id == late.pk]
    assert (one.last, one.in_a_row) == ("missed", 1)


def test_a_change_begins_anew_and_a_pause_is_somebodys_wish(alice: User, now: datetime) -> None:
    schedule = make(alice, now - HOUR)
    began(schedule, now, "failed", "failed", "failed")
    later = now + 4 * HOUR
    assert failing(later)
    keeping.pause(schedule, "alice", "", later)
    assert not failing(later)
    keeping.resume(schedule, later)
    assert failing(later)
    keeping.change(schedule, {"body": {"kind": "command", "command": "ls"}}, later)
    assert not failing(later)
    over = make(alice, now, "over", end_at=(now + HOUR).isoformat())
    Schedule.objects.filter(pk=over.pk).update(next_at=None, reckoned_at=now + 3 * HOUR)
    began(over, now + HOUR, "failed")
    assert [one.name for one in failing(later)] == ["over"]
    assert not failing(later + 24 * HOUR)


def test_what_was_deleted_says_nothing(alice: User, now: datetime) -> None:
    schedule = make(alice, now - HOUR)
    runs = began(schedule, now, "failed", "failed")
    assert runs[1].job
    runs[1].job.delete()
    assert not failing(now + 9 * HOUR)


def test_it_fires_and_is_over_when_a_run_succeeds(
    alice: User, now: datetime, client: Client
) -> None:
    schedule = make(alice, now - HOUR, "<b>nightly</b>")
    began(schedule, now, "failed", "failed", "failed")
    at = now + 4 * HOUR
    look(at)
    alert = Alert.objects.get(rule="schedule_failing")
    assert (alert.state, alert.severity, alert.value) == ("firing", "warning", 3.0)
    client.force_login(alice)
    text = client.get(f"/alerts/{alert.pk}").content.decode()
    assert f'href="/schedules/{schedule.pk}"' in text and "<b>nightly" not in text
    assert 'href="/nodes/schedule' not in text and "3 runs" in text
    told = client.get(f"/api/alerts/{alert.pk}").json()
    assert told["subject"] == f"schedule {schedule.pk}" and told["unit"] == "runs"
    assert told["evidence"][0]["url"] == f"/schedules/{schedule.pk}"
    began(schedule, at, "succeeded")
    for seconds in (1, 62):
        then = at + timedelta(seconds=seconds)
        look(then)
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_an_open_alert_names_the_run_that_failed_last(alice: User, now: datetime) -> None:
    schedule = make(alice, now - 2 * HOUR)
    began(schedule, now, *["failed"] * 12)
    look(now + 12 * HOUR)
    alert = Alert.objects.get(rule="schedule_failing")
    assert "12 times in a row" in alert_words.summary(alert)
    for hour in range(12, 22):
        [run] = began(schedule, now + hour * HOUR, "failed")
        then = now + (hour + 1) * HOUR
        look(then)
        alert.refresh_from_db()
        times = f"{hour + 1} times" if hour < 19 else "at least 20 times"
        assert f"failed {times} in a row" in alert_words.summary(alert)
        assert alert_words.evidence(alert)[1].url == f"/jobs/{run.job_id}"


def many(owner: User, now: datetime, count: int) -> list[Schedule]:
    made = [make(owner, now - HOUR, f"s{n}") for n in range(count)]
    for one in made:
        began(one, now, "failed", "failed", "failed")
    return made


def open_alerts() -> dict[str, Alert]:
    rows = Alert.objects.filter(rule="schedule_failing", resolved_at=None)
    return {one.subject: one for one in rows}


def test_many_that_fail_of_one_cause_are_one_alert(
    alice: User, now: datetime, client: Client
) -> None:
    alone = make(alice, now - HOUR, "alone")
    began(alone, now, "failed", "failed", "failed")
    own = f"schedule {alone.pk}"
    look(now + 4 * HOUR)
    made = many(alice, now, 13)
    at = now + 5 * HOUR
    look(at)
    assert set(open_alerts()) == {own, ""}
    alert = open_alerts()[""]
    assert alert.facts["schedules"] == [one.pk for one in made]
    assert alert_words.summary(alert).startswith("13 schedules are failing: s0, s1, ")
    assert alert_words.summary(alert).endswith("s11, …")
    assert "what they share" in alert_words.advice(alert)
    urls = [one.url for one in alert_words.evidence(alert)]
    assert urls == [*(f"/schedules/{one.pk}" for one in made[:12]), "/schedules"]
    client.force_login(alice)
    assert "13 schedules are failing" in client.get(f"/alerts/{alert.pk}").content.decode()
    for one in made[2:]:
        began(one, at, "succeeded")
    look(at + HOUR)
    look(at + HOUR + timedelta(minutes=2))
    assert open_alerts()[""].facts["schedules"] == [one.pk for one in made[:2]]
    quiet = [silences.add("", f"schedule {one.pk}", "known", at + 9 * HOUR, "alice", at)
             for one in made[:2]]  # fmt: skip
    assert silences.silenced(open_alerts()[""], quiet)
    assert not silences.silenced(open_alerts()[""], quiet[:1])
    for one in made[:2]:
        began(one, at + HOUR, "succeeded")
    look(at + 2 * HOUR)
    look(at + 2 * HOUR + timedelta(minutes=2))
    assert set(open_alerts()) == {own}


def test_of_more_than_are_counted_what_is_open_stays_open(
    alice: User, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = make(alice, now - HOUR, "first"), make(alice, now - HOUR, "last")
    began(last, now, "failed", "failed", "failed")
    look(now + 4 * HOUR)
    subject = f"schedule {last.pk}"
    assert set(open_alerts()) == {subject}
    monkeypatch.setattr("monitoring.failing.MOST", 1)
    began(first, now, "failed", "failed", "failed")
    for minutes in (5, 10):
        look(now + 4 * HOUR + timedelta(minutes=minutes))
    assert set(open_alerts()) == {subject, f"schedule {first.pk}"}
    assert open_alerts()[subject].cleared_at is None


def test_they_are_read_for_the_alerts_alone(alice: User, now: datetime) -> None:
    schedule = make(alice, now - HOUR)
    began(schedule, now, "failed", "failed", "failed")
    with CaptureQueriesContext(connection) as asked:
        snapshot.read(now + 4 * HOUR)
    assert not [one for one in asked if "schedules_" in one["sql"]]
    watch.Look()(now + 4 * HOUR)
    assert set(open_alerts()) == {f"schedule {schedule.pk}"}


def test_the_reason_is_told_in_the_readers_language(alice: User, now: datetime) -> None:
    schedule = make(alice, now - HOUR)
    due.refuse(schedule, now, now, Words("every slot is taken"))
    at = now + HOUR
    look(at)
    alert = Alert.objects.get(rule="schedule_failing")
    assert alert_words.summary(alert).endswith("could not start its work: every slot is taken")
    with translation.override("fr"):
        assert "tous les emplacements" in alert_words.summary(alert)


@pytest.mark.django_db
def test_a_thousand_schedules_are_asked_for_in_two_statements_at_most(alice: User) -> None:
    now = timezone.now()
    first = make(alice, now - 100 * HOUR)
    Schedule.objects.bulk_create(
        Schedule(name=f"s{n}", owner=alice, what="job", body=first.body, cron="0 * * * *",
                 zone="UTC", next_at=now, reckoned_at=now, created_at=first.created_at,
                 changed_at=first.changed_at)
        for n in range(999)
    )  # fmt: skip
    good, bad = make_job(now), make_job(now)
    Job.objects.filter(pk=good.pk).update(state="succeeded", finished_at=now)
    Job.objects.filter(pk=bad.pk).update(state="failed", finished_at=now)
    pks = list(Schedule.objects.values_list("pk", flat=True))
    Run.objects.bulk_create(
        (Run(schedule_id=pk, scheduled_for=now - hour * HOUR, at=now - hour * HOUR,
             outcome="started", job_id=bad.pk if pk % 100 == 0 else good.pk)
         for pk in pks for hour in range(24)),
        batch_size=2000,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as asked:
        began_at = time.perf_counter()
        found = failing(now)
        took = time.perf_counter() - began_at
    assert {one.id: one.in_a_row for one in found} == {pk: 20 for pk in pks if pk % 100 == 0}
    assert len(asked) == 2 and took < 1

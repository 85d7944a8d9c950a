"""The pages about schedules."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from cluster.models import Node
from cluster.words import Words
from jobs.models import Job
from schedules import due, keeping
from schedules.models import Run, Schedule, maker
from tests.factories import make_job, make_sweep, make_user
from tests.pages.conftest import Counted
from tests.pages.rows import HOSTILE

pytestmark = pytest.mark.django_db
FORM = {"name": "nightly", "cron": "0 2 * * *", "every_seconds": "", "time_zone": "Europe/Berlin",
        "start_at": "", "end_at": "", "missed": "once", "overlap": "allow", "what": "job",
        "body": '{"kind": "command", "command": "date"}'}  # fmt: skip


def make_schedule(owner: User, now: datetime, name: str = "nightly", **more: Any) -> Schedule:
    values = {"name": name, "what": "job", "body": {"kind": "command", "command": "date"},
              "cron": "0 * * * *", "zone": "UTC"} | more  # fmt: skip
    return keeping.create(values, owner, now)


def make_eventful(owner: User, now: datetime, name: str) -> Schedule:
    """With a time of every outcome, in words that mean no good."""
    schedule = make_schedule(owner, now - timedelta(hours=5), name)
    due.run_now(schedule, HOSTILE, now)
    sweep = make_sweep(2, now)
    rows: list[dict[str, Any]] = [
        {"outcome": "missed", "until": now - timedelta(hours=3)},
        {"outcome": "overlap", "reason": "job 1"},
        {"outcome": "refused", "reason": HOSTILE},
        {"outcome": "started", "sweep": sweep},
        {"outcome": "started", "job_id": 999_999},  # cleaned up since
    ]
    for number, row in enumerate(rows):
        at = now - timedelta(hours=5 - number)
        Run.objects.create(schedule=schedule, scheduled_for=at, at=now, **row)
    Schedule.objects.filter(pk=schedule.pk).update(last_error=HOSTILE)
    return schedule


def text_of(response: Any) -> str:
    assert response.status_code == 200
    found: str = response.content.decode()
    return found


def test_the_pages_are_whole_and_escape_what_others_wrote(
    page: Client, alice: User, now: datetime
) -> None:
    assert "No schedules yet" in text_of(page.get("/schedules"))
    schedule = make_eventful(alice, now, HOSTILE[:100])
    keeping.pause(make_schedule(alice, now, "x"), HOSTILE, HOSTILE, now)
    one = f"/schedules/{schedule.pk}"
    for path in ("/schedules", "/live/schedules", one, f"/live{one}", f"{one}/edit",
                 "/schedules/new", f"{one}?before={Run.objects.latest('pk').pk}"):  # fmt: skip
        text = text_of(page.get(path))
        assert HOSTILE not in text, path
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path
    text = text_of(page.get(one))
    for words in ("nobody was there", "job 1 was still open", "asked for by", "The next times",
                  "was deleted since", "not started:"):  # fmt: skip
        assert words in text, words


def test_the_number_of_statements_does_not_grow_with_the_rows(
    staff: Client, alice: User, now: datetime, counted: Counted
) -> None:
    first = make_eventful(alice, now, "0")
    paths = ["/schedules", f"/schedules/{first.pk}", "/admin/schedules/schedule/",
             "/admin/schedules/run/"]  # fmt: skip
    few = {}
    for path in paths:
        staff.get(path)
        with counted() as statements:
            text_of(staff.get(path))
        few[path] = len(statements)
    for number in range(1, 4):
        make_eventful(alice, now, str(number))
        due.run_now(first, "alice", now + timedelta(seconds=number))
    for path in paths:
        with counted() as statements:
            staff.get(path)
        assert len(statements) <= few[path], (path, *statements)


def test_a_schedule_is_made_by_the_form(page: Client) -> None:
    response = page.post("/schedules/new", FORM)
    schedule = Schedule.objects.get()
    assert response["Location"] == f"/schedules/{schedule.pk}"
    assert (schedule.cron, schedule.zone, schedule.what) == ("0 2 * * *", "Europe/Berlin", "job")
    assert schedule.body == {"kind": "command", "command": "date"}


def test_checking_only_shows_the_next_times_and_saves_nothing(page: Client) -> None:
    text = text_of(page.post("/schedules/new", {**FORM, "preview": "1"}))
    assert len(re.findall(r"02:00:00 CES?T", text)) == 5
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cron": "0 25 * * *"}, "The hour, 25: give 0 to 23"),
        ({"cron": ""}, "Give either cron or every_seconds."),
        ({"every_seconds": "60"}, "Give either cron or every_seconds."),
        ({"time_zone": "Mars/Base"}, "There is no time zone Mars/Base."),
        ({"body": "{"}, "No JSON:"),
        ({"body": '{"kind": "command"}'}, "command: A job of kind command needs this."),
        ({"what": "sweep"}, "command: Unknown field."),
        ({"name": ""}, "This field is required."),
        ({"start_at": "2027-01-02T00:00", "end_at": "2027-01-01T00:00"}, "ends before it starts"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    page: Client, changes: dict[str, str], words: str
) -> None:
    text = text_of(page.post("/schedules/new", {**FORM, **changes}))
    assert words in text.replace("&quot;", '"')
    assert not Schedule.objects.exists()


def test_start_and_end_are_read_by_the_schedules_own_clock(page: Client) -> None:
    page.post("/schedules/new", {**FORM, "start_at": "2027-07-01T06:00"})
    schedule = Schedule.objects.get()
    assert schedule.start_at and schedule.start_at.isoformat() == "2027-07-01T04:00:00+00:00"
    text = text_of(page.get(f"/schedules/{schedule.pk}/edit"))
    assert 'value="2027-07-01T06:00:00"' in text


def test_it_is_edited_and_what_is_emptied_is_gone(page: Client) -> None:
    page.post("/schedules/new", {**FORM, "start_at": "2027-07-01T06:00"})
    schedule = Schedule.objects.get()
    change = {**FORM, "cron": "", "every_seconds": "600", "overlap": "skip"}
    page.post(f"/schedules/{schedule.pk}/edit", change)
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.every_seconds, schedule.start_at) == ("", 600, None)
    assert schedule.overlap == "skip" and schedule.anchor
    page.post(f"/schedules/{schedule.pk}/edit", {**FORM, "time_zone": ""})
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.every_seconds, schedule.zone) == ("0 2 * * *", None, "UTC")


def test_the_fragment_shows_the_next_times_or_what_is_wrong(page: Client) -> None:
    path = "/schedules/preview"
    fine = {"cron": "*/15 * * * *", "time_zone": "Asia/Tokyo"}
    assert text_of(page.get(path, fine)).count(" JST") == 5
    assert "The minute, x" in text_of(page.get(path, {"cron": "x * * * *"}))
    assert "show up here" in text_of(page.get(path))
    over = {"cron": "@daily", "end_at": "2020-01-01T00:00"}
    assert "no such time any more" in text_of(page.get(path, over))


def test_pause_resume_run_now_and_delete(page: Client, alice: User, now: datetime) -> None:
    schedule = make_schedule(alice, now)
    path = f"/schedules/{schedule.pk}"
    page.post(f"{path}/pause", {"reason": "moving house"})
    assert "moving house" in text_of(page.get(path))
    page.post(f"{path}/resume")
    schedule.refresh_from_db()
    assert schedule.paused_at is None and schedule.next_at
    page.post(f"{path}/run-now")
    assert Job.objects.get().name == "nightly"
    page.post(f"{path}/delete")
    assert not Schedule.objects.exists()
    assert Job.objects.exists()


def test_what_cannot_run_now_says_why(page: Client, alice: User, now: datetime) -> None:
    schedule = make_schedule(alice, now, overlap="skip")
    path = f"/schedules/{schedule.pk}"
    page.post(f"{path}/run-now")
    assert "Not while the last one is open" in text_of(page.post(f"{path}/run-now", follow=True))
    Schedule.objects.update(overlap="allow", body={"kind": "function", "function": "no.such"})
    assert "No function no.such" in text_of(page.post(f"{path}/run-now", follow=True))


def test_others_may_look_but_not_touch(page: Client, alice: User, now: datetime) -> None:
    schedule = make_schedule(make_user("bob"), now)
    path = f"/schedules/{schedule.pk}"
    text = text_of(page.get(path))
    assert "Run now" not in text and 'id="pause"' not in text
    for action in ("pause", "resume", "run-now", "delete", "edit"):
        assert page.post(f"{path}/{action}").status_code == 403
    assert page.get(f"{path}/edit").status_code == 403


def test_a_job_and_a_sweep_can_be_scheduled(page: Client, node: Node, now: datetime) -> None:
    job = make_job(now, command=["echo", "again"], priority=7, name="thumbs")
    assert f"/schedules/new?job={job.pk}" in text_of(page.get(f"/jobs/{job.pk}"))
    text = text_of(page.get(f"/schedules/new?job={job.pk}"))
    assert "&quot;again&quot;" in text and "&quot;priority&quot;: 7" in text
    assert 'value="thumbs"' in text
    sweep = make_sweep(3, now)
    assert f"/schedules/new?sweep={sweep.pk}" in text_of(page.get(f"/sweeps/{sweep.pk}"))
    text = text_of(page.get(f"/schedules/new?sweep={sweep.pk}"))
    assert "montecarlo.pi_block" in text and "&quot;range&quot;" in text
    body = re.search(r"<textarea[^>]*>\s*(.*?)</textarea>", text, re.DOTALL)
    assert body
    sent = {**FORM, "what": "sweep", "body": body[1].replace("&quot;", '"')}
    assert page.post("/schedules/new", sent).status_code == 302
    assert page.get("/schedules/new?job=99").status_code == 404


def test_the_submit_page_hands_over_what_was_typed(page: Client) -> None:
    typed = {"command": "convert in.png out.png", "name": "thumbs", "schedule": "1"}
    response = page.post("/submit?kind=command", typed)
    assert response["Location"] == "/schedules/new?from=submit"
    text = text_of(page.get(response["Location"]))
    assert "convert in.png out.png" in text and 'value="thumbs"' in text
    assert not Job.objects.exists()


def test_a_job_and_a_sweep_name_the_schedule_that_made_them(
    page: Client, alice: User, now: datetime
) -> None:
    nightly = make_schedule(alice, now, HOSTILE[:100])
    spec = {"kind": "command", "command": "date"}
    grid = make_schedule(alice, now, "grid", what="sweep",
                         body={"spec": spec, "over": {"n": [1, 2]}})  # fmt: skip
    job = due.run_now(nightly, "", now).job
    sweep = due.run_now(grid, "", now).sweep
    assert job and sweep
    member = sweep.jobs.latest("pk")
    text = text_of(page.get(f"/jobs/{job.pk}"))
    assert f'href="/schedules/{nightly.pk}"' in text and HOSTILE not in text
    for path in (f"/jobs/{member.pk}", f"/sweeps/{sweep.pk}"):
        assert f'<a href="/schedules/{grid.pk}">grid</a>' in text_of(page.get(path))
    told = page.get(f"/api/jobs/{member.pk}").json()["schedule"]
    assert told == {"id": grid.pk, "name": "grid"}
    alone, apart = make_job(now), make_sweep(1, now)
    for path in (f"/jobs/{alone.pk}", f"/sweeps/{apart.pk}"):
        assert not re.search(r'href="/schedules/\d', text_of(page.get(path)))
    assert page.get(f"/api/jobs/{alone.pk}").json()["schedule"] is None
    Run.objects.all().delete()  # cleaned up
    assert page.get(f"/api/jobs/{job.pk}").json()["schedule"] is None


def test_the_schedule_is_found_by_an_index_in_one_statement(
    alice: User, now: datetime, counted: Counted
) -> None:
    schedule = make_schedule(alice, now)
    run = due.run_now(schedule, "", now)
    Run.objects.bulk_create(
        Run(schedule=schedule, scheduled_for=now + timedelta(seconds=n + 1), at=now,
            outcome="started", **{"sweep_id" if n % 2 else "job_id": 10**9 + n})
        for n in range(5000)
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE schedules_run" if connection.vendor == "postgresql" else "ANALYZE")
    for job, sweep, index in ((run.job_id, None, "run_job"), (None, 10**9 + 1, "run_sweep")):
        with counted() as statements:
            assert maker(job, sweep) == {"id": schedule.pk, "name": schedule.name}
        [statement] = statements
        with connection.cursor() as cursor:
            words = "QUERY PLAN " if connection.vendor == "sqlite" else ""
            cursor.execute(f"EXPLAIN {words}{statement}")
            assert f"schedule_{index}" in str(cursor.fetchall())


def test_what_became_of_a_time_is_told_in_the_readers_language(
    page: Client, alice: User, now: datetime
) -> None:
    taken = Words("every slot is taken")  # of which French has a translation
    schedule = make_schedule(alice, now)
    due.refuse(schedule, now, now, taken)
    due.note(schedule, now - timedelta(hours=1), now, Run.Outcome.OVERLAP, taken)
    Schedule.objects.update(paused_at=now, paused_why=taken, next_at=None)
    for path in ("/schedules", f"/schedules/{schedule.pk}", f"/api/schedules/{schedule.pk}",
                 f"/api/schedules/{schedule.pk}/runs"):  # fmt: skip
        french = text_of(page.get(path, headers={"accept-language": "fr"}))
        assert "tous les emplacements" in french and str(taken) not in french, path
        assert str(taken) in text_of(page.get(path)), path


def test_what_is_gone_is_told_in_the_readers_language(
    page: Client, alice: User, now: datetime
) -> None:
    spec = {"kind": "function", "function": "montecarlo.gone"}
    command = {"kind": "command", "command": "true", "files": {"a.csv": "sha256:0"}}
    for what, body, english, other in (
        ("job", spec, "No function montecarlo.gone in tasks/.", "Pas de fonction montecarlo.gone"),
        ("sweep", {"spec": command, "over": {"n": [1]}}, "a.csv: no such file", "a.csv : pas de"),
    ):
        schedule = make_schedule(alice, now, what)
        Schedule.objects.filter(pk=schedule.pk).update(what=what, body=body)
        due.run(now + timedelta(hours=1))
        path = f"/schedules/{schedule.pk}"
        french = text_of(page.get(path, headers={"accept-language": "fr"}))
        assert other in french and english not in french
        assert english in text_of(page.get(path))

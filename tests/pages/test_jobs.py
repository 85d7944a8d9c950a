"""The job list and a job's page."""

import json
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from cluster.models import Node
from jobs.models import Attempt, Job
from jobs.views.listing import PAGE
from tests.factories import make_job, make_user
from tests.pages.rows import make_ended, make_running, write


def shown(response: object) -> list[int]:
    return [row.job.pk for row in response.context["page"].rows]  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_the_list_pages_by_key_in_both_directions(page: Client, now: datetime) -> None:
    ids = [make_job(now).pk for _ in range(PAGE + 7)][::-1]
    first = page.get("/jobs")
    assert shown(first) == ids[:PAGE]
    assert first.context["page"].newer is None
    second = page.get(f"/jobs?before={first.context['page'].older}")
    assert shown(second) == ids[PAGE:]
    assert second.context["page"].older is None
    assert shown(page.get(f"/jobs?after={second.context['page'].newer}")) == ids[:PAGE]


@pytest.mark.django_db
def test_filters_stay_in_every_link_of_the_list(page: Client, node: Node, now: datetime) -> None:
    for _ in range(PAGE + 1):
        make_ended(now, node, "failed", name="wanted")
    make_job(now, name="other")
    text = page.get("/jobs?q=wanted&state=failed").content.decode()
    assert "?q=wanted&amp;state=failed&amp;before=" in text
    assert "?q=wanted&amp;state=failed&amp;state=queued" in text
    assert 'name="query" value="q=wanted&amp;state=failed"' in text
    assert "51 jobs" in text


@pytest.mark.django_db
def test_the_list_filters_by_span_and_tag(page: Client, node: Node, now: datetime) -> None:
    old = make_job(now - timedelta(days=2))
    tagged = make_job(now, needs={"tags": ["gpu"]})
    ended = make_ended(now, node)
    assert shown(page.get("/jobs?age=1h")) == [ended.pk, tagged.pk]
    assert shown(page.get("/jobs?tag=gpu")) == [tagged.pk]
    assert shown(page.get("/jobs?ended=24h")) == [ended.pk]
    assert old.pk in shown(page.get("/jobs?age=7d&state=&node="))


@pytest.mark.django_db
def test_a_filter_that_makes_no_sense_is_said_and_shows_nothing(page: Client) -> None:
    response = page.get("/jobs?state=nonsense")
    assert response.status_code == 200
    assert "state: One of" in response.content.decode()


@pytest.mark.django_db
def test_news_hold_the_rows_that_moved_and_count_the_new_ones(
    page: Client, node: Node, now: datetime
) -> None:
    ended, waiting = make_ended(now, node), make_job(now)
    newest = waiting.pk
    make_job(now)
    known = f"{ended.pk}.succeeded+{waiting.pk}.queued"
    text = page.get(f"/live/jobs?known={known}&newest={newest}").content.decode()
    assert f'id="job-{waiting.pk}-state"' in text
    assert f'id="job-{ended.pk}-state"' not in text
    assert "1 new job" in text
    text = page.get(f"/live/jobs?known={ended.pk}.running&newest={newest}").content.decode()
    assert f'id="job-{ended.pk}-state"' in text


@pytest.mark.django_db
def test_news_of_a_filter_that_makes_no_sense_are_not_asked_for(page: Client) -> None:
    make_job()
    text = page.get("/jobs?state=foo").content.decode()
    assert "state: One of" in text
    assert "/live/jobs" not in text
    assert "/live/jobs" in page.get("/jobs?state=failed").content.decode()
    for query in ("state=foo", "since=x", "sweep=²", "q=%00"):
        answer = page.get(f"/live/jobs?{query}&newest=1")
        assert answer.status_code == 400, query
        assert answer.content.decode().startswith(query.partition("=")[0] + ": ")


@pytest.mark.django_db
def test_numbers_that_are_none_break_no_page(page: Client, now: datetime) -> None:
    pk = make_job(now).pk
    for path in ("/jobs?q=²", "/jobs?before=²", "/jobs?after=²", "/jobs?sweep=²", "/jobs?q=%00",
                 "/jobs?node=%00", "/jobs?tag=%00", "/jobs?ended=%00", "/sweeps?before=²",
                 f"/live/jobs?newest=²&known=².queued+0{pk}.queued+x.+{'9' * 30}.queued",
                 f"/live/jobs?newest={'9' * 30}"):  # fmt: skip
        assert page.get(path).status_code == 200, path
    chosen = {"action": "cancel", "job": ["²", "9" * 30, pk], "confirmed": "1"}
    assert page.post("/jobs/bulk", chosen).status_code == 302
    assert Job.objects.get().state == "cancelled"


@pytest.mark.django_db
def test_many_are_cancelled_after_a_question_with_the_count(
    page: Client, node: Node, now: datetime
) -> None:
    mine = [make_job(now).pk for _ in range(3)]
    ended = make_ended(now, node).pk
    others = make_job(now, owner=make_user("bob")).pk
    data = {"action": "cancel", "job": [*mine, ended, others], "query": "q=&state=queued"}
    question = page.post("/jobs/bulk", data)
    assert "Cancel 3 jobs?" in question.content.decode()
    assert "2 more were selected" in question.content.decode()
    assert Job.objects.filter(state="cancelled").count() == 0
    done = page.post("/jobs/bulk", {**data, "confirmed": "1"})
    assert done["Location"] == "/jobs?q=&state=queued"
    assert set(Job.objects.filter(state="cancelled").values_list("pk", flat=True)) == set(mine)


@pytest.mark.django_db
def test_all_that_match_are_deleted_but_only_those_that_ended(
    staff: Client, node: Node, now: datetime
) -> None:
    for _ in range(PAGE + 3):
        make_ended(now, node, "failed", name="bad")
    kept = [make_ended(now, node, name="good").pk, make_job(now, name="bad").pk]
    data = {"action": "delete", "all": "1", "query": "q=bad", "confirmed": "1"}
    staff.post("/jobs/bulk", data)
    assert set(Job.objects.values_list("pk", flat=True)) == set(kept)


@pytest.mark.django_db
@pytest.mark.parametrize("action", ["cancel", "requeue", "delete"])
def test_a_job_of_somebody_else_is_left_alone(
    page: Client, staff: Client, node: Node, now: datetime, action: str
) -> None:
    owner = make_user("bob")
    job = make_ended(now, node, "failed", owner=owner)
    if action == "cancel":
        job = make_job(now, owner=owner)
    assert page.post(f"/jobs/{job.pk}/{action}").status_code == 403
    assert page.get(f"/jobs/{job.pk}/{action}").status_code == 405
    assert f"/jobs/{job.pk}/{action}" not in page.get(f"/jobs/{job.pk}").content.decode()
    assert staff.post(f"/jobs/{job.pk}/{action}").status_code == 302
    changed = Job.objects.filter(pk=job.pk).first()
    assert (changed and changed.state) == {"cancel": "cancelled", "requeue": "queued"}.get(action)


@pytest.mark.django_db
def test_a_failure_is_shown_at_once_with_its_last_lines(
    page: Client, node: Node, now: datetime
) -> None:
    job = make_ended(now, node, "failed", error="exited with code 1")
    write(job, b"first\nthe disk is full\n", "stderr")
    Attempt.objects.filter(job=job).update(traceback="Traceback:\n  boom", error_type="exit")
    text = page.get(f"/jobs/{job.pk}").content.decode()
    failure = text[text.index("failure-title") : text.index('id="console"')]
    for words in ("exited with code 1", "the disk is full", "Traceback:", "pi-1", "exit code 1"):
        assert words in failure


@pytest.mark.django_db
def test_output_has_numbered_lines_and_a_mark_where_it_was_cut(
    page: Client, node: Node, now: datetime
) -> None:
    job = make_ended(now, node)
    write(job, b"one\n\x1b[31mtwo\x1b[0m\x07\n")
    attempt = write(job, b"end \xff\n", offset=5_000_000)
    text = page.get(f"/jobs/{job.pk}").content.decode()
    assert (
        '<li id="L2"><a href="#L2">2</a><span class="text"><span class="ansi-31">two</span>' in text
    )
    assert "5.0 MB left out here" in text
    assert '<li id="Lx1"><a href="#Lx1">+1</a><span class="text">end \ufffd</span>' in text
    raw = page.get(f"/attempts/{attempt.pk}/stdout/raw")
    assert raw["Content-Type"] == "text/plain; charset=utf-8"
    assert raw["Content-Disposition"].startswith("attachment;")
    assert raw.getvalue() == b"one\n\x1b[31mtwo\x1b[0m\x07\nend \xff\n"


@pytest.mark.django_db
def test_output_of_a_running_job_goes_on_where_the_page_stopped(
    page: Client, node: Node, now: datetime
) -> None:
    job = make_running(now, node)
    attempt = write(job, b"one\ntw")
    text = page.get(f"/jobs/{job.pk}").content.decode()
    assert f"/live/attempts/{attempt.pk}/stdout?offset=4&amp;line=1" in text
    write(job, b"o\nthree\n", offset=6)
    more = page.get(f"/live/attempts/{attempt.pk}/stdout?offset=4&line=1").content.decode()
    assert '<li id="L2"><a href="#L2">2</a><span class="text">two</span>' in more
    assert "offset=14&amp;line=3" in more
    Attempt.objects.filter(pk=attempt.pk).update(finished_at=now, outcome="succeeded")
    ended = page.get(f"/live/attempts/{attempt.pk}/stdout?offset=14&line=3")
    assert ended["HX-Retarget"] == "#console"
    assert "data-refresh" not in ended.content.decode()


@pytest.mark.django_db
def test_a_result_is_pretty_on_the_page_and_exact_in_the_download(
    page: Client, node: Node, now: datetime
) -> None:
    job = make_ended(now, node, result='{"a":1.10,"b":[1,2]}')
    assert "&quot;a&quot;: 1.1," in page.get(f"/jobs/{job.pk}").content.decode()
    download = page.get(f"/jobs/{job.pk}/result.json")
    assert download.content == b'{"a":1.10,"b":[1,2]}'
    assert download["Content-Disposition"] == f'attachment; filename="job-{job.pk}-result.json"'


@pytest.mark.django_db
def test_the_same_job_by_curl_is_a_body_the_api_takes(
    page: Client, alice: User, now: datetime
) -> None:
    job = make_job(
        now, command=["echo", "it's"], needs={"memory_mb": 64}, priority=3, env={"A": "b"}
    )
    context = page.get(f"/jobs/{job.pk}").context
    body = json.loads(context["body"])
    assert "Authorization: Bearer $DISPYCLUSTER_TOKEN" in context["curl"]
    answer = page.post("/api/jobs", json.dumps(body), content_type="application/json")
    assert answer.status_code == 201
    again = Job.objects.latest("pk")
    assert (again.spec_id, again.need_id, again.priority) == (job.spec_id, job.need_id, 3)
    compile(context["python"], "snippet", "exec")


@pytest.mark.django_db
def test_a_queued_job_is_held_and_let_go(page: Client, now: datetime) -> None:
    job = make_job(now, owner=User.objects.get(username="alice"))
    for held, words in (("1", "Let go"), ("0", "Hold")):
        answer = page.post(f"/jobs/{job.pk}/hold", {"held": held}, follow=True)
        assert words in answer.content.decode()
        job.refresh_from_db()
        assert job.held == (held == "1")
    Job.objects.update(state="cancelled", finished_at=now)
    page.post(f"/jobs/{job.pk}/hold", {"held": "1"})
    job.refresh_from_db()
    assert not job.held

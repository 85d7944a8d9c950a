"""Filters that no index serves look at the newest jobs of each state, say so, and go on from it."""

import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cluster.models import Node
from jobs import counts, reach
from jobs.models import Job
from tests.factories import make_job, make_sweep
from tests.pages.conftest import Counted
from tests.pages.rows import make_ended

pytestmark = pytest.mark.django_db


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that looks at four jobs of each state alone, and pages by three."""
    monkeypatch.setattr(reach, "NEWEST", 4)
    monkeypatch.setattr(reach, "COUNTED", 4)
    monkeypatch.setattr("jobs.views.listing.PAGE", 3)


def chips(response: Any) -> dict[str, str]:
    return {chip["state"]: str(chip["count"]) for chip in response.context["chips"]}


def mixed(now: datetime, node: Node) -> list[Job]:
    """Thirty jobs, in several states; every third is wanted."""
    found = []
    for n in range(30):
        name = "wanted" if n % 3 == 0 else "other"
        if n % 2:
            found.append(make_job(now, name=name))
        else:
            found.append(make_ended(now, node, ["succeeded", "failed"][n % 4 == 0], name=name))
    return found


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("query", ["q=wanted", "q=wanted&state=queued", "q=wanted&state=failed"])
def test_going_on_shows_each_match_once_and_leaves_none_out(
    page: Client, node: Node, now: datetime, query: str
) -> None:
    states = [query.rpartition("=")[2]] if "state" in query else ["queued", "succeeded", "failed"]
    wanted = [job.pk for job in mixed(now, node) if job.name == "wanted" and job.state in states]
    path, seen, steps = f"/jobs?{query}", list[int](), 0
    while path:
        response = page.get(path)
        shown = response.context["page"]
        seen += [row.job.pk for row in shown.rows]
        if shown.cut:
            assert "Look further back" in response.content.decode()
        path, steps = shown.older and f"/jobs?{query}&before={shown.older}", steps + 1
    assert seen == wanted[::-1]
    path, back = f"/jobs?{query}&after=0", list[int]()
    while path:
        shown = page.get(path).context["page"]
        back += [row.job.pk for row in shown.rows][::-1]
        path = shown.newer and f"/jobs?{query}&after={shown.newer}"
    assert back == wanted
    assert steps > 2


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("query", ["q=rare", "q=no+such", "q=other"])
def test_old_jobs_are_no_news_and_are_not_looked_through(
    page: Client, node: Node, now: datetime, query: str
) -> None:
    make_job(now, name="rare")
    last = mixed(now, node)[-1].pk
    response = page.get(f"/jobs?{query}")
    found = re.search(r'hx-get="(/live/jobs[^"]*)"', response.content.decode())
    assert found
    path = unescape(found[1])
    assert f"newest={last}" in path  # so the news start behind it, by the key
    assert page.get(path).context["fresh"] == 0
    make_job(now, name=query.removeprefix("q=").replace("+", " "))
    assert page.get(path).context["fresh"] == 1


def test_a_job_that_came_in_while_the_page_was_made_is_no_news_if_it_is_on_it(
    page: Client, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job(now)
    monkeypatch.setattr("jobs.views.listing.newest_job", lambda: make_job(now).pk - 1)
    response = page.get("/jobs")
    assert response.context["newest"] == response.context["page"].rows[0].job.pk


@pytest.mark.usefixtures("near")
def test_a_count_that_is_not_of_all_says_at_least(page: Client, node: Node, now: datetime) -> None:
    made = mixed(now, node)
    response = page.get("/jobs?q=wanted")
    assert chips(response)["queued"] == "1+"  # of the newest four
    assert chips(response)["running"] == "0"
    text = response.content.decode()
    assert "all matching" in text and "at least" in text
    # Filters for which counts are kept are counted whole.
    assert chips(page.get("/jobs"))["queued"] == "15"
    assert "30 jobs" in page.get("/jobs?ended=&q=").content.decode()
    Job.objects.filter(pk__in=[job.pk for job in made[:29]]).delete()
    assert chips(page.get("/jobs?q=other"))["queued"] == "1"


def test_a_state_that_is_asked_for_twice_counts_once(page: Client, now: datetime) -> None:
    make_job(now)
    for query in ("state=queued&state=queued", "state=pending", "state=pending&state=queued"):
        response = page.get(f"/jobs?{query}")
        assert str(response.context["total"]) == "1", query
        assert [chip["state"] for chip in response.context["chips"] if chip["on"]] == ["queued"]
    response = page.get("/jobs?state=failed&state=failed&state=pending")
    assert str(response.context["total"]) == "1"


def test_filters_with_kept_counts_count_the_same(page: Client, node: Node, now: datetime) -> None:
    sweep = make_sweep(7, now)
    for n in range(6):
        make_ended(now, node, ["succeeded", "failed", "cancelled"][n % 3])
    Job.objects.filter(state="failed").update(finished_at=now - timedelta(days=3))
    for query, jobs in (
        (f"sweep={sweep.pk}", Job.objects.filter(sweep=sweep)),
        ("ended=24h", Job.objects.filter(finished_at__gte=now - timedelta(days=1))),
        ("ended=7d", Job.objects.filter(finished_at__gte=now - timedelta(days=7))),
        ("kind=command", Job.objects.filter(spec__kind="command")),
        ("owner=alice", Job.objects.filter(owner__username="alice")),
        ("node=pi-1&state=failed", Job.objects.filter(node__name="pi-1")),
        ("reason=pending", Job.objects.filter(state="queued")),
    ):
        found = {state: str(n) for state, n in counts.by_state(jobs).items()}
        response = page.get(f"/jobs?{query}")
        if "reason" in query:
            assert str(response.context["total"]) == found["queued"]
        else:
            assert chips(response) == found, query


def test_a_filter_makes_the_same_statements_whatever_the_number_of_jobs(
    page: Client, node: Node, counted: Counted
) -> None:
    now = timezone.now()
    paths = [
        "/jobs?q=x", "/jobs?node=pi-1", "/jobs?owner=alice", "/jobs?tag=gpu", "/jobs?kind=command",
        "/jobs?age=24h", "/jobs?ended=7d", "/jobs?reason=pending", "/jobs?state=failed&q=x",
        "/jobs?before=5&q=x", "/jobs?after=5&q=x", "/jobs?failure=0000000000000000",
        "/live/jobs?q=x&newest=1", "/api/jobs?q=x",
    ]  # fmt: skip

    def made() -> dict[str, int]:
        found = {}
        for path in paths:
            page.get(path)
            with counted() as statements:
                assert page.get(path).status_code == 200
            found[path] = len(statements)
        return found

    make_job(now, name="x")  # where nothing matches, nothing is looked for
    for _ in range(10):
        make_ended(now, node, "failed", name="x", needs={"tags": ["gpu"]})
    few = made()
    make_sweep(1000, now)
    assert made() == few
    assert max(few.values()) <= 16


@pytest.mark.usefixtures("near")
def test_the_api_goes_on_likewise(page: Client, node: Node, now: datetime) -> None:
    wanted = [job.pk for job in mixed(now, node) if job.name == "wanted"]
    for word, first in (("next", "limit=3"), ("previous", "limit=3&cursor=cj0xJnA9MA==")):
        path, seen, empty = f"/api/jobs?q=wanted&{first}", list[int](), 0
        while path:
            told = page.get(path).json()
            found = [job["id"] for job in told["results"]]
            seen += found if word == "next" else found[::-1]
            path, empty = told[word], empty + (len(found) < 3)
        assert seen == (wanted[::-1] if word == "next" else wanted)
        assert empty > 1  # short pages, which were not the last


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("word", ["next", "previous"])
def test_the_api_turns_round_on_any_page_and_skips_no_row(
    page: Client, now: datetime, word: str
) -> None:
    jobs = [make_job(now, name="other" if n % 13 else "wanted") for n in range(40)]
    wanted = [job.pk for job in jobs if job.name == "wanted"]
    first = "limit=1" if word == "next" else "limit=1&cursor=cj0xJnA9MA=="
    path, passed, empty = f"/api/jobs?q=wanted&{first}", list[int](), 0
    while path:
        told = page.get(path).json()
        back = told["previous" if word == "next" else "next"]
        if not told["results"]:
            empty += 1
            # Back over pages that are empty, to the row that was told last.
            while back and not (turned := page.get(back).json())["results"]:
                back = turned["previous" if word == "next" else "next"]
            assert back and turned["results"][0]["id"] == passed[-1]
        passed += [job["id"] for job in told["results"]]
        path = told[word]
    assert passed == (wanted[::-1] if word == "next" else wanted)
    assert empty > 3


def test_a_sweep_is_listed_and_acted_on_whatever_came_before_and_after(
    page: Client, now: datetime
) -> None:
    make_job(now)
    sweep, other = make_sweep(5, now), make_sweep(2, now)
    make_job(now)
    numbers = list(sweep.jobs.order_by("-pk").values_list("pk", flat=True))
    sweep.refresh_from_db()
    assert (sweep.jobs_after, sweep.jobs_until) == (min(numbers) - 1, max(numbers))
    for until in (sweep.jobs_until, None):  # null: of a time before it was kept
        sweep.jobs_until = until
        sweep.save()
        response = page.get(f"/jobs?sweep={sweep.pk}")
        assert [row.job.pk for row in response.context["page"].rows] == numbers
        found = page.get(f"/api/jobs?sweep={sweep.pk}&sweep={other.pk}").json()["results"]
        assert len(found) == 7
    assert page.get("/api/jobs?sweep=999").json()["results"] == []
    for action, state in (("cancel", "cancelled"), ("requeue", "queued"), ("cancel", "cancelled")):
        form = {"query": f"sweep={sweep.pk}", "all": "1", "action": action, "confirmed": "1"}
        page.post("/jobs/bulk", form)
        assert set(sweep.jobs.values_list("state", flat=True)) == {state}
    page.post("/jobs/bulk", {**form, "action": "delete"})
    assert not sweep.jobs.exists()
    assert Job.objects.count() == 4

"""Failures by what they have in common: pages, filter, API, requeue."""

import json
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation

from cluster.models import Node
from jobs import failures, lifecycle
from jobs.lifecycle import Closing
from jobs.models import Attempt, Job
from jobs.views.failing import brief
from tests.factories import make_job, make_node, make_user
from tests.pages.conftest import Counted
from tests.pages.rows import HOSTILE, make_running

pytestmark = pytest.mark.django_db
WORDS = "ValueError: bad value 3"


def fail(
    now: datetime, node: Node, error: str = WORDS, outcome: str = "failed", **body: Any
) -> Job:
    """A job whose one attempt ends so, by the door that all take."""
    kind = {"failed": "ValueError", "timed_out": "timeout"}.get(outcome, "")
    job = make_running(now, node, **body)
    told = Closing(job.attempts.get().pk, outcome, error=error, error_type=kind)
    lifecycle.close([told], now)
    job.refresh_from_db()
    return job


def digest(job: Job) -> str:
    found = job.attempts.latest("number").fingerprint
    assert found
    return found


def shown(response: Any) -> list[int]:
    return [row.job.pk for row in response.context["page"].rows]


def test_an_attempt_that_fails_gets_a_fingerprint_and_others_none(
    node: Node, now: datetime
) -> None:
    first, second = fail(now, node), fail(now, node, "ValueError: bad value 44")
    assert digest(first) == digest(second)
    for outcome in ("succeeded", "cancelled", "released"):
        assert fail(now, node, outcome=outcome).attempts.get().fingerprint is None
    late, lost = fail(now, node, outcome="timed_out"), fail(now, node, outcome="lost")
    assert len({digest(first), digest(late), digest(lost)}) == 3


def test_failures_of_before_get_theirs_by_the_migration(node: Node, now: datetime) -> None:
    jobs = [fail(now, node), fail(now, node), fail(now, node, "KeyError: 'x'")]
    ended = fail(now, node, outcome="cancelled")
    before = [digest(job) for job in jobs]
    Attempt.objects.update(fingerprint=None)
    import_module("jobs.migrations.0006_failures_have_fingerprints").mark(apps, None)
    assert [digest(job) for job in jobs] == before
    assert ended.attempts.get().fingerprint is None


def test_groups_tell_how_often_where_and_what(node: Node, now: datetime) -> None:
    other = make_node("pi-2")
    for _ in range(3):
        fail(now - timedelta(hours=2), node, command=["a"])
    last = fail(now, other, command=["b"])
    fail(now, node, "KeyError: 'x'")
    fail(now - timedelta(days=8), node)
    Job.objects.filter(pk=last.pk).update(state="succeeded")
    found, rest = failures.groups(failures.since(7, now))
    assert (found.title, found.count, found.jobs, found.failed) == (
        "ValueError: bad value …",
        4,
        4,
        3,
    )
    assert [(share.name, share.count) for share in found.nodes] == [("pi-1", 3), ("pi-2", 1)]
    assert [(share.name, share.count) for share in found.specs] == [("a", 3), ("b", 1)]
    assert (found.first_at, found.last_at) == (now - timedelta(hours=2), now)
    assert found.example.job_id == last.pk
    assert rest.count == 1
    assert len(failures.groups(failures.since(7, now), most=1)) == 1


@pytest.mark.parametrize(
    ("counts", "in_all", "outcome", "words"),
    [
        ([5], 3, "failed", "Only on n0: look at that machine first."),
        ([1], 3, "failed", "Once, on n0: too little to tell the machine from the code."),
        ([5], 1, "failed", "There is only one node: nothing tells the machine from the code."),
        ([2, 2], 3, "failed", "On 2 of 3 nodes: look at the code, or at what they all depend on."),
        ([19, 1], 3, "failed", "Almost all on n0 (19 of 20): look at that machine first."),
        ([2], 3, "lost", "The nodes or the way to them, not the jobs: 1 of 3 nodes."),
    ],
)
def test_the_nodes_say_whether_to_look_at_the_machine_or_at_the_code(
    counts: list[int], in_all: int, outcome: str, words: str, now: datetime
) -> None:
    nodes = [failures.Share(n, f"n{n}", count) for n, count in enumerate(counts)]
    example = Attempt(outcome=outcome)
    group = failures.Group("0" * 16, sum(counts), 1, now, example, nodes=nodes)
    with translation.override("en"):
        assert failures.whose_fault(group, in_all) == words


def test_the_pages_show_the_groups_and_one_of_them(page: Client, node: Node, now: datetime) -> None:
    job = fail(now, node)
    text = page.get("/failures").content.decode()
    assert "ValueError: bad value …" in text
    start = f"{failures.since(7, now):%Y-%m-%dT00:00Z}"
    assert f"/jobs?failure={digest(job)}&amp;state=failed&amp;ended={start}" in text
    assert shown(page.get(f"/jobs?failure={digest(job)}&state=failed&ended={start}")) == [job.pk]
    assert "Requeue this failed job" in text
    one = page.get(f"/failures/{digest(job)}?days=30").content.decode()
    assert WORDS in one
    assert f"/jobs/{job.pk}/attempts/1" in one
    assert f"/failures/{digest(job)}" in page.get(f"/jobs/{job.pk}").content.decode()
    assert page.get(f"/failures/{'0' * 16}").status_code == 404
    assert page.get("/failures/nonsense").status_code == 404
    before = fail(now - timedelta(days=3), node, "KeyError: 'x'")
    text = page.get(f"/failures/{digest(before)}?days=1").content.decode()
    assert "it did before" in text


def test_hostile_text_is_only_text(page: Client, node: Node, now: datetime) -> None:
    job = fail(now, node, f"{HOSTILE}\u202e\x1b[31m{HOSTILE}", name=HOSTILE)
    for path in ("/failures", f"/failures/{digest(job)}", f"/jobs?failure={digest(job)}"):
        text = page.get(path).content.decode()
        assert HOSTILE not in text
        assert "<script>" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    rows = brief(now, make_user())
    text = render_to_string("monitoring/_failures.html", rows)
    assert "Failures by cause" in text
    assert "<script>" not in text


def test_the_list_and_the_api_filter_by_failure(page: Client, node: Node, now: datetime) -> None:
    first, second = fail(now, node), fail(now, node, "KeyError: 'x'")
    make_job(now)
    assert shown(page.get(f"/jobs?failure={digest(first)}")) == [first.pk]
    both = page.get(f"/jobs?failure={digest(first)}&failure={digest(second)}&state=failed")
    assert shown(both) == [second.pk, first.pk]
    found = page.get(f"/api/jobs?failure={digest(second)}").json()
    assert [job["id"] for job in found["results"]] == [second.pk]
    assert "16 hexadecimal digits" in page.get("/jobs?failure=a/b").content.decode()
    refused = page.get("/api/jobs?failure=xyz")
    assert refused.status_code == 400
    assert "failure" in refused.json()
    lifecycle.requeue(Job.objects.filter(pk=first.pk), now, "alice")
    assert shown(page.get(f"/jobs?failure={digest(first)}&state=failed")) == []


def test_the_button_asks_first_then_queues_again_what_is_yours(
    page: Client, node: Node, now: datetime
) -> None:
    mine = [fail(now, node) for _ in range(3)]
    others = fail(now, node, owner=make_user("bob"))
    elsewhere = fail(now, node, "KeyError: 'x'")
    response = page.get("/failures")
    assert "Requeue these 3 failed jobs" in response.content.decode()
    row = next(row for row in response.context["rows"] if row.group.fingerprint == digest(others))
    form = {"query": row.failed, "all": "1", "action": "requeue"}
    asked = page.post("/jobs/bulk", form).content.decode()
    assert "Queue 3 jobs again?" in asked
    assert "1 more was selected" in asked
    page.post("/jobs/bulk", {**form, "confirmed": "1"})
    states = dict(Job.objects.values_list("pk", "state"))
    assert {states[job.pk] for job in mine} == {"queued"}
    assert states[others.pk] == states[elsewhere.pk] == "failed"
    assert "Requeue these" not in page.get("/failures").content.decode()


def test_the_api_tells_groups_and_requeues_them(
    page: Client, staff: Client, node: Node, now: datetime
) -> None:
    job, others = fail(now, node), fail(now, node, owner=make_user("bob"))
    told = page.get("/api/failures?days=30").json()
    [group] = told["results"]
    assert (told["days"], told["more"]) == (30, False)
    assert (group["count"], group["failed"], group["requeueable"]) == (2, 2, 1)
    assert group["example"]["error"] == WORDS
    assert group["nodes"] == [{"name": "pi-1", "count": 2}]
    path = f"/api/failures/{group['fingerprint']}"
    assert page.get(path).json()["title"] == "ValueError: bad value …"
    assert page.get(f"/api/failures/{'0' * 16}").status_code == 404
    assert "days" in page.get("/api/failures?days=4").json()

    def requeue(client: Client, body: Any) -> Any:
        return client.post(f"{path}/requeue", json.dumps(body), content_type="application/json")

    assert requeue(page, {"days": "x"}).status_code == 400
    assert requeue(page, [1]).status_code == 400
    assert requeue(page, {"days": 1}).json() == {"requeued": 1, "left_out": 1}
    assert requeue(page, {}).json() == {"requeued": 0, "left_out": 1}
    assert requeue(staff, {}).json() == {"requeued": 1, "left_out": 0}
    assert set(Job.objects.values_list("state", flat=True)) == {"queued"}
    tries = page.get(f"/api/jobs/{job.pk}").json()["tries"]
    assert tries[0]["fingerprint"] == group["fingerprint"]
    assert others.attempts.get().fingerprint == group["fingerprint"]


def test_statements_do_not_grow_with_the_failures(
    page: Client, alice: User, node: Node, now: datetime, counted: Counted
) -> None:
    def many(number: int) -> list[int]:
        for n in range(number):
            place = make_node(f"n-{Node.objects.count()}")
            job = fail(now, place, f"{'x' * (n + 1)}", command=[f"c{n}"])
        found = []
        for ask in (
            lambda: page.get("/failures"), lambda: page.get("/api/failures"),
            lambda: page.get(f"/failures/{digest(job)}"), lambda: brief(now, alice),
        ):  # fmt: skip
            ask()
            with counted() as statements:
                ask()
            found.append(len(statements))
        return found

    few = many(2)
    assert many(6) == few
    assert few[-1] <= 8

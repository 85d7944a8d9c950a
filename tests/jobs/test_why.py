"""Why a job waits, as the API tells it."""

import math
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cluster.models import Node
from jobs import lease
from jobs.dispatcher import Desk, run_once
from jobs.health import Health
from jobs.models import Job, RunTime
from tests.factories import make_job, make_node, make_user
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    now = timezone.now()
    epoch = lease.take("dispatcher", "tests", now)
    assert epoch
    return Desk(epoch, Health(now))


def why(job: Job) -> dict[str, Any]:
    client = Client()
    client.force_login(make_user())
    answer = client.get(f"/api/jobs/{job.pk}/why")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def reasons(told: dict[str, Any]) -> dict[str, list[str]]:
    return {node["name"]: node["reasons"] for node in told["nodes"]}


def test_each_node_is_held_against_each_test_with_its_present_value(desk: Desk) -> None:
    make_node("a", slots=4, tags=["fast"])
    make_node("b", online=False)
    told = why(make_job(timezone.now(), needs={"tags": ["gpu"]}))
    assert told["state"] == "queued"
    assert reasons(told) == {"a": ["lacks the tag gpu"], "b": ["offline", "lacks the tag gpu"]}
    tests = {test["name"]: (test["ok"], test["now"]) for test in told["nodes"][0]["tests"]}
    assert tests["slots"] == (True, "4 of 4 free")
    assert tests["tags"] == (False, "lacks the tag gpu")
    assert told["change"] == "Give a the tag gpu."
    assert told["expected_start"] is None


@pytest.mark.parametrize(
    ("node", "body", "change"),
    [
        ({"draining": True}, {}, "Resume a: it is draining."),
        ({"online": False}, {}, "Bring a back: its agent does not answer."),
        ({"breaker_opened_at": timezone.now(), "breaker_reason": "x"}, {},
         "Reset the breaker of a, or wait until its test job succeeds."),
        ({"memory_free": 2**27, "memory_total": 2**32}, {"needs": {"memory_mb": 512}},
         "Free memory on a, or ask for less than 512 MB."),
        ({}, {"needs": {"nodes": ["z"]}}, "Let it run on a, too."),
        ({}, {"needs": {"exclude": ["a"]}}, "Do not exclude a."),
        ({}, {"needs": {"slots": 3}}, "Ask for no more than a has."),
        ({"draining": True, "online": False}, {}, None),
        ({}, {"held": True}, "Let it go: somebody holds it."),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_the_single_change_that_would_start_it(
    desk: Desk, node: dict[str, Any], body: dict[str, Any], change: str | None
) -> None:
    make_node("a", **node)
    assert why(make_job(timezone.now(), **body))["change"] == change


def test_without_a_dispatcher_nothing_starts(settings: Any) -> None:
    make_node("a")
    assert why(make_job(timezone.now()))["change"] == "Start the dispatcher: it is not running."


def test_the_change_it_names_does_start_it(desk: Desk) -> None:
    node = make_node("a")
    job = make_job(timezone.now(), needs={"tags": ["gpu"]})
    engine = FakeEngine()
    run_once(engine, desk, timezone.now())
    assert not engine.sent
    Node.objects.filter(pk=node.pk).update(tags=["gpu"])
    run_once(engine, desk, timezone.now())
    assert len(engine.sent) == 1
    job.refresh_from_db()
    told = why(job)
    assert told["state"] == "running"
    assert told["receipt"]["node"] == "a"
    assert told["receipt"]["strategy"] == "least_connections"
    assert told["position"] is None


def test_place_and_expected_start_of_a_job_behind_others(desk: Desk) -> None:
    node = make_node("a", slots=2)
    now = timezone.now()
    jobs = [make_job(now) for _ in range(6)]
    urgent = make_job(now, priority=5)
    assert why(jobs[5])["position"] == 7
    assert why(urgent)["position"] == 1
    assert why(jobs[5])["expected_start"] is None  # nothing was measured yet
    RunTime.objects.create(
        spec=jobs[0].spec, node=node, count=9, log_mean=math.log(10), log_variance=0.0,
        updated_at=now,
    )  # fmt: skip
    run_once(FakeEngine(), desk, now)  # two of them run
    told = why(jobs[5])
    assert told["position"] == 5
    expected = told["expected_start"]
    earliest = timezone.datetime.fromisoformat(expected["earliest"])  # type: ignore[attr-defined]
    latest = timezone.datetime.fromisoformat(expected["latest"])  # type: ignore[attr-defined]
    # 2 running and 4 waiting before it, 10 s each, on 2 slots
    assert timedelta(seconds=24) < earliest - now < timedelta(seconds=31)
    assert timedelta(seconds=29) < latest - now < timedelta(seconds=32)

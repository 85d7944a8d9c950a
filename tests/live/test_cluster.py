"""Breakers, canaries, tags and slots on real nodes."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cluster import nodes
from cluster.models import Node
from jobs.models import Attempt, Job
from tests.factories import make_user
from tests.faults.work import ended, make_job, outcomes, runs_on
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=2, slots=3) as running:
        yield running.up()


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True))
    return client


def node_at(address: str) -> Node:
    return Node.objects.get(address=address)


def test_a_killed_node_is_quarantined_its_jobs_go_elsewhere_and_it_returns_by_itself(
    made: Fleet, tmp_path: Path
) -> None:
    victim, other = made.addresses
    time.sleep(5)  # the dispatcher's own restart grace
    nodes.drain(Node.objects.filter(address=other))
    stop = tmp_path / "stop"
    jobs = [make_job(command=f"while [ ! -e {stop} ]; do sleep 0.1; done") for _ in range(3)]
    wait_for(lambda: all(runs_on(job, victim) for job in jobs), 15, "all run on the victim")
    nodes.resume(Node.objects.filter(address=other))
    made.kill(victim)
    wait_for(lambda: not node_at(victim).online, 10, "its death is seen")
    wait_for(lambda: node_at(victim).breaker_opened_at, 5, f"the breaker\n{made.logs()}")
    assert "different jobs were lost" in node_at(victim).breaker_reason
    wait_for(lambda: all(runs_on(job, other) for job in jobs), 10, "they run elsewhere")
    stop.touch()
    for job in jobs:
        assert ended(job).state == "succeeded"
        assert outcomes(job) == ["lost", "succeeded"]
    made.start_node(victim)
    wait_for(lambda: node_at(victim).online, 15, f"it is back\n{made.logs()}")
    wait_for(lambda: node_at(victim).breaker_opened_at is None, 25, f"trusted\n{made.logs()}")
    again = node_at(victim)
    assert again.canary_error == ""
    assert again.canary_at
    assert again.dispatch_ms is not None
    assert 0 < again.dispatch_ms < 5000
    nodes.drain(Node.objects.filter(address=other))
    assert ended(make_job(command=["true"])).node == again


def why(client: Client, job: Job) -> dict[str, Any]:
    return dict(client.get(f"/api/jobs/{job.pk}/why").json())


def test_a_job_that_needs_a_tag_starts_within_two_seconds_of_the_tag(
    made: Fleet, staff: Client
) -> None:
    job = make_job(command=["true"], needs={"tags": ["gpu"]})
    told = why(staff, job)
    assert {n["name"]: n["reasons"] for n in told["nodes"]} == {
        "node-1": ["lacks the tag gpu"],
        "node-2": ["lacks the tag gpu"],
    }
    assert told["change"] == "Give node-1 the tag gpu."
    time.sleep(1.5)  # more than a pass
    assert not Attempt.objects.exists()
    answer = staff.patch("/api/cluster/nodes/node-2", {"tags": ["gpu"]}, "application/json")
    assert answer.status_code == 200, answer.content
    took = wait_for(Attempt.objects.exists, 5, "its start")
    assert took < 2
    assert ended(job).node == node_at(made.addresses[1])


def test_a_job_of_several_slots_waits_for_them_and_keeps_others_out(
    made: Fleet, tmp_path: Path
) -> None:
    nodes.drain(Node.objects.filter(address=made.addresses[1]))
    stop = tmp_path / "stop"
    wait = f"while [ ! -e {stop} ]; do sleep 0.1; done"
    small = make_job(command=wait)
    wait_for(lambda: runs_on(small, made.addresses[0]), 10, "start")
    big = make_job(command=wait, needs={"slots": 2}, priority=1)
    wait_for(lambda: runs_on(big, made.addresses[0]), 10, "two slots were free")
    late = make_job(command=["true"])
    bigger = make_job(command=["true"], needs={"slots": 3}, priority=2)
    time.sleep(1.5)
    assert not Attempt.objects.filter(job__in=[late, bigger]).exists()
    assert Attempt.objects.get(job=big).slots == 2
    stop.touch()
    for job in (small, big, late, bigger):
        assert ended(job).state == "succeeded", job.error


def test_every_idle_node_sings_and_gets_a_speed(made: Fleet) -> None:
    wait_for(lambda: Node.objects.filter(canary_at=None).count() == 0, 20, made.logs())
    wait_for(lambda: Node.objects.filter(speed=None).count() == 0, 40, made.logs())
    for node in Node.objects.all():
        assert node.canary_error == ""
        assert node.speed_evidence[0]["spec"] == 0
        assert 0.2 < (node.speed or 0) < 5
    assert not Job.objects.exists()  # a canary is nobody's job


def test_nodes_come_and_go_by_the_api(made: Fleet, staff: Client, tmp_path: Path) -> None:
    address = made.addresses[0].rsplit(".", 1)[0] + ".77"
    made.addresses.append(address)
    answer = staff.post("/api/cluster/nodes", {"address": address}, "application/json")
    assert answer.status_code == 201, answer.content
    wait_for(lambda: "no agent runs there" in node_at(address).trouble, 10, "said in words")
    made.start_node(address)
    wait_for(lambda: node_at(address).online, 10, f"it is used\n{made.logs()}")
    name = node_at(address).name
    job = make_job(command=["true"], needs={"nodes": [name]})
    assert ended(job).node == node_at(address)
    assert staff.delete(f"/api/cluster/nodes/{name}").status_code == 204
    late = make_job(command=["true"], needs={"nodes": [name]}, run_at=timezone.now())
    wait_for(lambda: "gone" in made.logs() or "removed" in made.logs(), 10, "it is let go")
    time.sleep(4)  # the list is looked at every three seconds
    assert not node_at(address).online
    assert not late.attempts.exists()

"""F16 to F18: the web is killed mid-submit, requests repeat in parallel, cancels race with ends."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from cluster.models import Node
from jobs import lifecycle
from jobs.lifecycle import Closing
from jobs.models import Attempt, IdempotencyKey, Job, Outcome, Spec, State
from tests import factories
from tests.faults.record import verdict
from tests.faults.web import Web
from tests.faults.work import make_job
from tests.live.fleet import fleet

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]

INTERLEAVINGS = 1000 if os.environ.get("DISPYCLUSTER_FAULTS") == "all" else 200
BODY = {"kind": "command", "command": ["true"]}
PARALLEL = 50


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with fleet(tmp_path, nodes=0) as made:
        web = Web(made)
        web.sign_in(factories.make_user())
        yield web


def test_f16_the_web_is_killed_mid_submit(web: Web) -> None:
    web.start(DISPYCLUSTER_FAILPOINT="mid-submit")
    with pytest.raises((OSError, EOFError)):
        web.submit(BODY, "mine")
    assert not Job.objects.exists()
    assert not Spec.objects.exists()
    assert not IdempotencyKey.objects.exists()
    web.stop()
    web.start()
    status, made, _ = web.submit(BODY, "mine")
    assert status == 201
    status, again, _ = web.submit(BODY, "mine")
    assert status == 200
    assert made["id"] == again["id"]
    verdict("F16", Job.objects.all(), final=False)
    assert Job.objects.count() == 1


def test_f17_fifty_requests_with_one_key_are_one_job(web: Web) -> None:
    web.start()
    barrier = threading.Barrier(PARALLEL)

    def post(_: int) -> tuple[int, Any]:
        barrier.wait()
        status, body, _headers = web.submit(BODY, "one")
        return status, body.get("id")

    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(post, range(PARALLEL)))
    assert Counter(status for status, _ in answers) == {201: 1, 200: PARALLEL - 1}
    assert len({pk for _, pk in answers}) == 1
    assert web.submit({**BODY, "priority": 1}, "one")[0] == 409
    assert Job.objects.count() == 1
    verdict("F17", Job.objects.all(), final=False)


@pytest.mark.timeout(300)
def test_f18_cancel_against_finish() -> None:
    node = factories.make_node()
    finals: Counter[str] = Counter()
    barrier = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:  # whose threads keep their connections
        jobs = [race(node, pool, barrier) for _ in range(INTERLEAVINGS)]
        wait([pool.submit(leave, barrier) for _ in range(3)])
    for job in jobs:
        before = Job.objects.get(pk=job.pk)
        finals[before.state] += 1
        assert lifecycle.cancel(Job.objects.filter(pk=job.pk), timezone.now(), "bob") == 0
        after = Job.objects.get(pk=job.pk)
        assert (after.state, after.finished_at) == (before.state, before.finished_at)
    assert finals.keys() <= {State.SUCCEEDED, State.CANCELLED, State.FAILED}
    verdict("F18", jobs, states=dict(finals))


def leave(barrier: threading.Barrier) -> None:
    barrier.wait()  # so that each thread has one to leave
    connection.close()


def race(node: Node, pool: ThreadPoolExecutor, barrier: threading.Barrier) -> Job:
    """Cancel and end a running job at the same moment; then whatever is still to be said."""
    job = make_job()
    now = timezone.now()
    with transaction.atomic():
        attempt = Attempt.objects.create(
            job=job, number=1, node=node, bundle=job.pk, claimed_at=now
        )
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, tried=1, node=node)
    outcome = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.LOST)[job.pk % 3]
    ways = [
        lambda: lifecycle.close([Closing(attempt.pk, outcome, error="x")], timezone.now()),
        lambda: lifecycle.cancel(Job.objects.filter(pk=job.pk), timezone.now(), "alice"),
        lambda: lifecycle.close([Closing(attempt.pk, Outcome.LOST)], timezone.now()),
    ]

    def act(way: Any) -> None:
        barrier.wait()
        way()

    list(pool.map(act, ways))
    if Job.objects.get(pk=job.pk).state == State.QUEUED:  # lost before the cancel was asked for
        lifecycle.cancel(Job.objects.filter(pk=job.pk), timezone.now(), "alice")
    return job

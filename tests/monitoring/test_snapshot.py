"""The snapshot: what is there is in it, unknown is None, and it asks no more with more rows."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from cluster.models import Node
from cluster.words import MOST, is_stored
from jobs.models import Job, Lease
from monitoring import alert_words, asking, snapshot
from monitoring.models import Alert, Sample
from tests.factories import hold_lease, make_job, make_node, make_sweep

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    asking.kept_day.key = None


def end(job: Job, state: str, at: datetime) -> None:
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=at)


def test_of_an_empty_cluster_nothing_is_made_up(now: datetime) -> None:
    seen = snapshot.read(now)
    assert seen.dispatcher_at is None and not seen.dispatcher_up
    assert seen.nodes == () and seen.slots == seen.free_slots == 0
    assert seen.oldest_wait_seconds is None and seen.ready_before is None
    assert seen.submitted == {1: None, 5: None, 15: None}
    assert seen.ended_hour == (0, 0) and seen.ended_day_before == (0, 0)
    assert seen.stuck is None and seen.failures == {} and seen.database_growth is None
    assert seen.database_bytes and seen.home_free


def test_jobs_nodes_and_heartbeats_are_seen(now: datetime) -> None:
    hold_lease(now - timedelta(seconds=4))
    Lease.objects.update(note="no room")
    make_node("pi-1", slots=4, last_seen_at=now, reading={"temperature": 61.5, "throttled": []},
              memory_free=2**30, memory_total=2**32, tags=["fast"])  # fmt: skip
    make_node("pi-2", slots=2, draining=True)
    make_node("pi-3", slots=2, breaker_opened_at=now, breaker_reason="lost three")
    make_job(now - timedelta(seconds=90))
    make_job(now - timedelta(seconds=900), held=True)
    make_job(now, run_at=now + timedelta(hours=1))
    end(make_job(now), "succeeded", now - timedelta(minutes=3))
    end(make_job(now), "failed", now - timedelta(minutes=50))
    end(make_job(now), "failed", now - timedelta(hours=20))
    seen = snapshot.read(now)
    assert (seen.dispatcher_at, seen.dispatcher_note) == (now - timedelta(seconds=4), "no room")
    assert seen.dispatcher_up and not seen.monitor_up
    assert (seen.by_state["queued"], seen.ready, seen.oldest_wait_seconds) == (3, 1, 90.0)
    assert (seen.slots, seen.free_slots, seen.online) == (4, 4, 3)
    assert seen.ended[1] == {"succeeded": 0, "failed": 0, "cancelled": 0}
    assert seen.ended[5]["succeeded"] == seen.ended[15]["succeeded"] == 1
    assert (seen.ended_hour, seen.ended_day_before) == ((1, 1), (0, 1))
    first, second, third = seen.nodes
    assert (first.temperature, first.throttled, first.memory_percent) == (61.5, (), 75.0)
    assert first.cpu_percent is None and first.tags == {"fast"} and first.state == "online"
    assert (second.state, third.state, third.breaker) == ("drained", "quarantined", "open")


def test_a_job_that_no_node_can_take_is_found(now: datetime) -> None:
    make_node("pi-1")
    make_job(now)
    [first, _second] = [
        make_job(now - timedelta(seconds=s), needs={"tags": ["gpu"]}) for s in (60, 30)
    ]
    stuck = snapshot.read(now).stuck
    assert stuck and (stuck["jobs"], stuck["job"]) == (2, first.pk)
    assert stuck["since"] == "2026-03-01T11:59:00+00:00"
    assert "pi-1" in stuck["why"] and "gpu" in stuck["why"]
    alert = Alert(rule="stuck_jobs", value=2.0, facts=stuck)
    assert alert_words.summary(alert).endswith("can ever take: pi-1: lacks the tag gpu")
    with translation.override("fr"):
        assert "gpu" in (told := alert_words.summary(alert)) and "lacks" not in told
    Node.objects.update(tags=["gpu"], online=False)
    assert snapshot.read(now).stuck is None


def test_the_reasons_why_jobs_are_stuck_are_kept_as_all_words_are_cut(now: datetime) -> None:
    make_node("pi-1")
    make_job(now, needs={"tags": [f"{n:040}" for n in range(20)]})
    stuck = snapshot.read(now).stuck
    assert stuck
    [reason] = stuck["reasons"]
    assert is_stored(reason["why"]) and len(reason["why"]["values"]["tags"]) == MOST
    old = {"node": "pi-1", "text": "lacks the tag %(tags)s", "values": {"tags": "gpu"}}
    alert = Alert(rule="stuck_jobs", value=1.0, facts={"reasons": [old]})  # of an older release
    assert alert_words.summary(alert).endswith("pi-1: lacks the tag gpu")


def test_what_was_is_read_from_the_samples(now: datetime) -> None:
    def sample(seconds: float, resolution: int, **values: float) -> None:
        at = now - timedelta(seconds=seconds)
        Sample.objects.create(at=at, seconds=resolution, values=values)

    job = make_job(now)
    size = asking.database_bytes()
    assert size
    sample(305, 10, submitted_total=job.pk - 1)
    sample(601, 10, ready=7, submitted_total=0)
    sample(3601, 10, jobs_succeeded_total=90, jobs_failed_total=9)
    sample(25 * 3600 + 30, 60, jobs_succeeded_total=40, jobs_failed_total=2)
    sample(86400, 60, database_bytes=size - 1000)
    seen = snapshot.read(now)
    assert seen.submitted == {1: None, 5: 1, 15: None}
    assert seen.ready_before == 7
    assert seen.ended_day_before == (50, 7)
    assert seen.database_growth == pytest.approx(1000, rel=0.2, abs=50_000)


def test_beyond_what_is_counted_the_queue_is_as_long_as_what_is_kept_says(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "COUNTED", 3)
    make_sweep(5, now)
    make_job(now, run_at=now + timedelta(hours=1))
    assert snapshot.read(now).ready == 5


def test_the_number_of_statements_is_fixed(now: datetime) -> None:
    def asked() -> int:
        with CaptureQueriesContext(connection) as statements:
            snapshot.read(now)
        return len(statements)

    make_node("pi-1")
    make_job(now, needs={"tags": ["none-has-it"]})
    few = asked()
    make_sweep(30, now)
    for number in range(5):
        make_node(f"pi-more-{number}")
        make_job(now, needs={"tags": [f"nobody-{number}"]})
    assert asked() <= few <= 20

"""Running totals: each attempt is counted once, whenever it ends and whenever somebody looks."""

import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from cluster.models import Node
from jobs.models import Attempt, Job
from monitoring import samples, snapshot, totals
from monitoring.models import Totals
from tests.factories import make_job, make_node, make_user

pytestmark = pytest.mark.django_db


def open_attempt(job: Job, now: datetime, waited: float = 1.0) -> Attempt:
    Job.objects.filter(pk=job.pk).update(state="running", tried=job.tried + 1, run_at=now)
    job.refresh_from_db()
    node = Node.objects.first() or make_node()
    Job.objects.filter(pk=job.pk).update(node=node)
    job.refresh_from_db()
    return Attempt.objects.create(
        job=job, node=node, number=job.tried, bundle=1, claimed_at=now + timedelta(seconds=waited)
    )


def close(attempt: Attempt, outcome: str, now: datetime, state: str, seconds: float = 2.0) -> None:
    ran = None if outcome in ("lost", "released") else seconds
    Attempt.objects.filter(pk=attempt.pk).update(outcome=outcome, finished_at=now, run_seconds=ran)
    ended = now if state not in ("queued", "running") else None
    Job.objects.filter(pk=attempt.job_id).update(state=state, finished_at=ended)


def counted(now: datetime) -> dict[str, float]:
    return dict(totals.follow(now)["cluster"])


def test_what_was_before_the_first_look_is_not_counted_what_is_open_is(now: datetime) -> None:
    node = make_node()
    old, running = (make_job(now, name=name) for name in ("old", "running"))
    Job.objects.update(node=node)
    for job in (old, running):
        job.refresh_from_db()
    close(open_attempt(old, now), "succeeded", now, "succeeded")
    attempt = open_attempt(running, now)
    assert counted(now)["jobs_succeeded_total"] == 0
    close(attempt, "succeeded", now, "succeeded")
    found = counted(now)
    assert (found["jobs_succeeded_total"], found["runs_total"], found["waits_total"]) == (1, 1, 0)
    assert Totals.objects.get().still_open == []
    assert counted(now) == found


def test_a_retry_is_an_attempt_more_and_one_job(now: datetime) -> None:
    counted(now)
    job = make_job(now, max_attempts=2)
    close(open_attempt(job, now), "failed", now, "queued")
    first = counted(now)
    assert (first["attempts_failed_total"], first["jobs_failed_total"]) == (1, 0)
    assert first["waits_total"] == 0  # queued again: when it could have started is gone
    close(open_attempt(job, now, 7), "succeeded", now, "succeeded", 20)
    found = totals.follow(now)
    cluster = found["cluster"]
    assert (cluster["jobs_succeeded_total"], cluster["attempts_failed_total"]) == (1, 1)
    assert (cluster["waits_total"], cluster["wait_seconds_total"]) == (1, 7)
    assert (cluster["wait_le_5_total"], cluster["wait_le_10_total"]) == (0, 1)
    assert (cluster["run_le_10_total"], cluster["run_le_30_total"]) == (1, 2)
    [node] = found["nodes"].values()
    assert node == {
        "attempts_failed_total": 1, "attempts_succeeded_total": 1, "runs_total": 2,
        "run_seconds_total": 22,
    }  # fmt: skip


def test_in_any_order_each_attempt_is_counted_once(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "NEW", totals.NEW.replace("LIMIT 50000", "LIMIT 3"))
    counted(now)
    chance, still_open, opened = random.Random(7), list[Attempt](), 0
    for _step in range(60):
        if chance.random() < 0.5:
            still_open.append(open_attempt(make_job(now), now))
            opened += 1
        elif still_open:
            attempt = still_open.pop(chance.randrange(len(still_open)))
            close(attempt, "succeeded", now, "succeeded")
        if chance.random() < 0.4:
            counted(now)
    while Totals.objects.get().attempt != Attempt.objects.latest("pk").pk:
        counted(now)
    found = counted(now)
    ended = opened - len(still_open)
    names = ("attempts_succeeded_total", "jobs_succeeded_total", "runs_total", "run_le_5_total")
    assert [found[name] for name in names] == [ended] * 4
    assert found["waits_total"] == opened
    assert Totals.objects.get().still_open == sorted(attempt.pk for attempt in still_open)


def test_an_attempt_that_is_deleted_while_open_is_forgotten(now: datetime) -> None:
    attempt = open_attempt(make_job(now), now)
    counted(now)
    attempt.delete()
    close(open_attempt(make_job(now), now), "lost", now, "failed")
    found = counted(now)
    assert Totals.objects.get().still_open == []
    assert (found["attempts_lost_total"], found["runs_total"]) == (1, 0)


def test_a_second_monitor_adds_nothing_twice(now: datetime) -> None:
    counted(now)
    close(open_attempt(make_job(now), now), "succeeded", now, "succeeded")
    old = Totals.objects.get()
    counted(now)
    stale = Totals.objects.filter(pk=1, attempt=old.attempt, moved_at=old.moved_at)
    assert stale.update(attempt=0) == 0


def test_of_a_node_that_was_away_for_a_day_the_monitor_is_not_blamed(
    now: datetime, client: Client
) -> None:
    node, at = make_node("pi-1"), timezone.now()
    page = f"/nodes/{node.name}"
    client.force_login(make_user("alice"))
    assert "does not run" in client.get(page).content.decode()
    for hours in (49, 48.5):
        then = at - timedelta(hours=hours)
        samples.keep(snapshot.read(then), then)
    Node.objects.update(online=False)
    for hours in (48, 0):
        then = at - timedelta(hours=hours)
        samples.keep(snapshot.read(then), then)
    told = totals.ended_on(node.pk, at)
    assert told and (told.since, told.by_outcome) == (None, {})
    text = client.get(page).content.decode()
    assert "did not see this node up" in text and "does not run" not in text
    assert "as the monitor counted them" not in text


def test_a_nodes_last_day_is_the_difference_of_its_totals(now: datetime) -> None:
    node, job = make_node(), make_job(now, max_attempts=9)
    assert totals.ended_on(node.pk, now) is None  # nobody has looked yet

    def end(hours: float, *outcomes: str) -> datetime:
        at = now + timedelta(hours=hours)
        for outcome in outcomes:
            close(open_attempt(job, at), outcome, at, "queued")
            job.refresh_from_db()
        samples.keep(snapshot.read(at), at)
        return at

    end(0)
    end(1, "failed")
    at = end(2, "lost", "failed")
    young = totals.ended_on(node.pk, at)
    assert young is not None  # of a node that is not a day old: since it was seen first
    assert (young.since, young.until) == (now, at)
    assert young.by_outcome == {"failed": 2, "lost": 1}
    then = end(6)
    for hours in (6.02, 20):  # on the way, the samples of a minute are made
        end(hours)
    at = end(30, "succeeded", "timed_out")
    told = totals.ended_on(node.pk, at)
    assert told and told.since == then
    rows = Attempt.objects.filter(finished_at__gt=told.since, finished_at__lte=told.until)
    assert told.by_outcome == Counter(rows.values_list("outcome", flat=True))
    assert totals.ended_on(node.pk, at + timedelta(minutes=2)) is None  # nobody looks any more

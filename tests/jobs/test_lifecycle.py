"""Dependencies, holds, retry policies, histories."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from jobs import lifecycle
from jobs.lifecycle import TRANSITIONS
from jobs.models import Attempt, Dependency, Event, Job, State
from tests.factories import make_job, make_node, make_sweep
from tests.fakes import FakeEngine
from tests.jobs.conftest import Pass

pytestmark = pytest.mark.django_db


def states(*jobs: Job) -> list[str]:
    return [Job.objects.get(pk=job.pk).state for job in jobs]


def history(job: Job) -> list[tuple[str, str]]:
    return list(Event.objects.filter(job=job).values_list("state", "why"))


def test_the_table_of_transitions_is_complete() -> None:
    assert set(TRANSITIONS) == set(State.values)
    assert all(to in State.values for row in TRANSITIONS.values() for to in row)


@pytest.mark.parametrize(
    "nonsense",
    [{"state": "succeeded"}, {"finished_at": datetime(2026, 1, 1)}],
)
@pytest.mark.filterwarnings("ignore:DateTimeField")
def test_nonsense_cannot_be_written(now: datetime, nonsense: dict[str, Any]) -> None:
    job = make_job(now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**nonsense)


def test_two_open_attempts_of_one_job_cannot_be_written(one_pass: Pass, now: datetime) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    [attempt] = Attempt.objects.all()
    attempt.pk, attempt.number = None, 2
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt.save()
    assert job.attempts.count() == 1


def test_a_job_waits_for_another_to_succeed(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node(slots=3)
    first = make_job(now)
    second = make_job(now, after=[first.pk])
    one_pass(now)
    assert states(first, second) == ["running", "queued"]
    engine.end(engine.only())
    one_pass(now)
    assert states(first, second) == ["succeeded", "running"]
    assert not Dependency.objects.exists()


def test_who_waits_in_vain_is_cancelled_with_the_reason_and_so_on_down(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    first = make_job(now)
    second = make_job(now, after_ok=[first.pk])
    third = make_job(now, after=[second.pk])
    anyway = make_job(now, after_any=[third.pk])
    one_pass(now)
    engine.end(engine.only(), "failed", error="no")
    one_pass(now)
    assert states(first, second, third, anyway) == ["failed", "cancelled", "cancelled", "running"]
    second.refresh_from_db()
    assert second.error == f"job {first.pk}, which it waits for, failed"


def test_what_has_ended_already_counts_at_once(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    done, failed = make_job(now), make_job(now)
    Job.objects.filter(pk=done.pk).update(state="succeeded", finished_at=now)
    Job.objects.filter(pk=failed.pk).update(state="failed", finished_at=now)
    free = make_job(now, after=[done.pk], after_any=[failed.pk])
    vain = make_job(now, after=[failed.pk])
    assert states(free, vain) == ["queued", "cancelled"]
    one_pass(now)
    assert states(free) == ["running"]


def test_cancelling_what_is_waited_for_cancels_who_waits(now: datetime) -> None:
    first = make_job(now)
    second = make_job(now, after=[first.pk])
    lifecycle.cancel(Job.objects.filter(pk=first.pk), now, "alice")
    assert states(first, second) == ["cancelled", "cancelled"]
    assert history(first) == [("cancelled", "before it started")]


def test_a_requeued_job_waits_for_nothing(one_pass: Pass, now: datetime) -> None:
    make_node(slots=4)
    first = make_job(now, held=True)
    second = make_job(now, after=[first.pk])
    lifecycle.cancel(Job.objects.filter(pk=second.pk), now, "alice")
    lifecycle.requeue(Job.objects.filter(pk=second.pk), now, "alice")
    one_pass(now)
    assert states(first, second) == ["queued", "running"]


def test_a_held_job_waits_until_it_is_let_go(one_pass: Pass, now: datetime) -> None:
    make_node()
    job = make_job(now, held=True)
    one_pass(now)
    assert states(job) == ["queued"]
    assert lifecycle.change(Job.objects.all(), now, "alice", held=False) == 1
    one_pass(now)
    assert states(job) == ["running"]
    assert lifecycle.change(Job.objects.all(), now, "alice", priority=1) == 0


@pytest.mark.parametrize(
    ("policy", "end", "again"),
    [
        ({}, {"outcome": "failed", "exit_code": 1, "error_type": "exit"}, True),
        ({"exit_codes": [75]}, {"outcome": "failed", "exit_code": 75}, True),
        ({"exit_codes": [75]}, {"outcome": "failed", "exit_code": 1}, False),
        ({"exit_codes": [75]}, {"outcome": "timed_out"}, False),
        ({"timeout": True}, {"outcome": "timed_out"}, True),
        ({"exceptions": ["OSError"]}, {"outcome": "failed", "error_type": "OSError"}, True),
        ({"exceptions": ["OSError"]}, {"outcome": "failed", "error_type": "KeyError"}, False),
    ],
)
def test_only_the_failures_named_are_tried_again(
    engine: FakeEngine, one_pass: Pass, now: datetime, policy: Any, end: Any, again: bool
) -> None:
    make_node()
    job = make_job(now, max_attempts=3, retry_on=policy)
    one_pass(now)
    engine.end(engine.only(), **end)
    one_pass(now)
    assert states(job) == ["queued" if again else "failed"]


def test_the_next_attempt_is_elsewhere_where_there_is_a_choice(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a"), make_node("b")
    job = make_job(now)
    one_pass(now)
    engine.lose(engine.only())
    one_pass(now)
    used = list(job.attempts.order_by("number").values_list("node__name", flat=True))
    assert used == ["a", "b"]


def test_every_change_is_told_with_when_who_and_why(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a")
    job = make_job(now, max_attempts=2)
    one_pass(now)
    engine.end(engine.only(), "failed", error="exited with status 3")
    one_pass(now)
    lifecycle.cancel(Job.objects.all(), now, "alice")
    lifecycle.requeue(Job.objects.all(), now, "bob")
    assert history(job) == [
        ("running", "sent to a"),
        ("queued", "failed on a: exited with status 3"),
        ("cancelled", "before it started"),
        ("queued", "requeued"),
    ]
    whose = list(Event.objects.values_list("who", flat=True))
    assert whose == ["dispatcher", "dispatcher", "alice", "bob"]


def test_a_late_answer_is_told_and_changes_nothing(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node("a")
    job = make_job(now, on_lost="fail")
    one_pass(now)
    engine.lose(engine.only())
    one_pass(now)
    engine.end(engine.only())
    one_pass(now)
    assert states(job) == ["failed"]
    assert history(job)[-1] == ("", "a late answer from a was put aside")


def test_a_sweep_is_cancelled_in_a_fixed_number_of_statements(
    now: datetime, django_assert_max_num_queries: Any
) -> None:
    sweep = make_sweep(500, now)
    with django_assert_max_num_queries(12):
        lifecycle.cancel(Job.objects.filter(sweep=sweep), now, "alice")
    assert Job.objects.filter(state="cancelled").count() == 500
    assert Event.objects.count() == 500


def test_an_attempt_long_past_its_time_is_given_up(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node(slots=2)
    limited = make_job(now, timeout_seconds=10, on_lost="fail")
    endless = make_job(now)
    one_pass(now)
    one_pass(now + timedelta(seconds=60))
    assert states(limited, endless) == ["running", "running"]
    one_pass(now + timedelta(seconds=90))
    one_pass(now + timedelta(seconds=91))
    assert states(limited, endless) == ["failed", "running"]
    assert len(engine.cancelled) == 1


def test_the_database_has_every_constraint_and_index_that_the_models_name() -> None:
    """A migration may take one away by mistake."""
    for model in apps.get_models():
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, model._meta.db_table)
        named = [*model._meta.constraints, *model._meta.indexes]
        assert {each.name for each in named} <= found.keys(), model

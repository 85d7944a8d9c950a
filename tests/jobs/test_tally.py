"""Counts that are kept must be those that counting finds, whatever happened to the jobs."""

from datetime import datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count

from jobs import cleanup, counts, lifecycle, tally
from jobs.models import Job, Tally
from tests.factories import make_job, make_node, make_sweep
from tests.fakes import FakeEngine


def counted(jobs: Any) -> dict[str, int]:
    return dict(jobs.order_by().values_list("state").annotate(Count("id")))


def check() -> None:
    kept = {state: n for state, n in counts.by_state(Job.objects.all()).items() if n}
    assert kept == counted(Job.objects.all())
    for sweep in {*Job.objects.values_list("sweep", flat=True), 1} - {None}:
        kept = {state: n for state, n in counts.of_sweeps([sweep])[sweep].items() if n}
        assert kept == counted(Job.objects.filter(sweep=sweep))


@pytest.mark.django_db(transaction=True)
def test_counts_follow_every_change(engine: FakeEngine, one_pass: Any, now: datetime) -> None:
    check()
    make_node(slots=2)
    sweep, single = make_sweep(30, now), make_job(now)
    check()
    one_pass(now)
    check()
    for bundle in list(engine.sent):
        engine.end(bundle)
    one_pass(now)
    check()
    some = Job.objects.filter(sweep=sweep)
    lifecycle.cancel(some, now, "alice")
    check()
    lifecycle.requeue(some.filter(state="cancelled"), now, "alice")
    check()
    lifecycle.cancel(Job.objects.all(), now, "alice")
    for bundle in list(engine.sent):
        engine.lose(bundle)
    one_pass(now)
    check()
    assert sum(cleanup.delete(Job.objects.filter(pk=single.pk))) <= 1
    check()
    Job.objects.filter(sweep=sweep, state="cancelled").delete()
    check()


@pytest.mark.django_db(transaction=True)
def test_many_rows_of_a_tally_become_one(now: datetime) -> None:
    for _ in range(tally.MANY + 2):
        make_job(now)
    rows = Tally.objects.count()
    assert rows == (1 if connection.vendor == "sqlite" else tally.MANY + 2)
    tally.compact()
    assert Tally.objects.count() == 1
    check()


@pytest.mark.django_db(transaction=True)
def test_migrate_counts_anew(now: datetime) -> None:
    make_job(now)
    Tally.objects.update(count=99)
    call_command("migrate", verbosity=0)
    check()

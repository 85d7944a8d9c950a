"""What is submitted by statements of its own is what the ORM would have written."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from jobs import specs, submit
from jobs.cleanup import cleanup
from jobs.models import Job, Need, Spec
from jobs.serializers import check_job
from tests.factories import make_user

pytestmark = pytest.mark.django_db

BODY = {
    "kind": "command", "command": ["ls"], "needs": {"tags": ["arm64"]}, "args": {"é": [1, None]},
    "name": "list", "priority": -3, "max_attempts": 4, "on_lost": "fail", "held": True,
    "strategy": "round_robin", "run_at": "2026-03-02T10:00:00.5+02:00",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_spec_known() -> None:
    specs.known.clear()


def test_the_job_returned_is_the_row(now: datetime) -> None:
    for body in (BODY, {"kind": "command", "command": "true"}):
        made = submit.submit(check_job(body), make_user(), now)
        read = Job.objects.get(pk=made.pk)
        for field in Job._meta.concrete_fields:
            assert getattr(made, field.attname) == getattr(read, field.attname), field.name


def test_a_spec_is_one_row_however_often_it_is_submitted(now: datetime) -> None:
    jobs = [submit.submit(check_job(BODY), make_user(), now) for _ in range(3)]
    assert {job.spec_id for job in jobs} == {Spec.objects.get().pk}
    assert Need.objects.get().body == {"tags": ["arm64"]}


def test_a_spec_that_was_cleaned_up_is_made_anew(now: datetime) -> None:
    first = submit.submit(check_job(BODY), make_user(), now)
    later = now + timedelta(days=40)
    Job.objects.update(state="succeeded", finished_at=now)
    assert cleanup(later, 30).jobs == 1
    assert not Spec.objects.exists()
    Spec.objects.create(  # may have got the old one's number
        pk=first.spec_id, digest="other", kind="command", title="other", body={},
        need_id=first.need_id, created_at=later,
    )  # fmt: skip
    again = submit.submit(check_job(BODY), make_user(), later)
    assert Job.objects.select_related("spec").get(pk=again.pk).spec.body["command"] == ["ls"]


def test_a_spec_that_was_never_committed_is_made_anew(now: datetime) -> None:
    data: dict[str, Any] = check_job(BODY)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        submit.submit(data, make_user(), now)
        raise ZeroDivisionError
    assert not Spec.objects.exists()
    assert submit.submit(data, make_user(), now).spec_id == Spec.objects.get().pk


def test_few_specs_are_remembered_and_no_long_one(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specs, "MOST_KNOWN", 2)
    for word in ("a", "b", "c", "d" * specs.SMALL):
        submit.submit(check_job({"kind": "command", "command": word}), make_user(), now)
    assert [spec.body["command"] for spec in specs.known.values()] == ["c"]

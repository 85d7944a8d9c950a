from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from jobs import cleanup, files
from jobs.models import Artifact, Attempt, File, Job, Output, Spec, Sweep
from tests.factories import make_job, make_node, make_sweep, make_user
from tests.fakes import FakeEngine, stream
from tests.jobs.conftest import Pass

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=31)


def test_old_final_jobs_go_with_all_that_hangs_on_them(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    job = make_job(now)
    one_pass(now)
    engine.end(engine.only(), stdout=stream("x"))
    one_pass(now)
    file = files.store([b"artifact"], make_user(), now)
    Artifact.objects.create(attempt=job.attempts.get(), name="a", size=8, file=file)
    queued = make_job(now, command=["false"])
    assert cleanup.cleanup(now + timedelta(days=1), 30).jobs == 0
    assert cleanup.cleanup(now + MONTH, 30, dry_run=True).jobs == 1
    assert Job.objects.count() == 2
    cleaned = cleanup.cleanup(now + MONTH, 30)
    assert (cleaned.jobs, cleaned.files, cleaned.bytes) == (1, 1, 8)
    assert list(Job.objects.all()) == [queued]
    left = [model.objects.count() for model in (Attempt, Output, Artifact, File)]
    assert left == [0, 0, 0, 0]
    assert not files.path(file.digest).exists()
    assert Spec.objects.get() == queued.spec


def test_states_can_be_chosen(now: datetime) -> None:
    make_job(now), make_job(now)
    first, second = Job.objects.all()
    Job.objects.filter(pk=first.pk).update(state="failed", finished_at=now)
    Job.objects.filter(pk=second.pk).update(state="succeeded", finished_at=now)
    assert cleanup.cleanup(now + MONTH, 30, ["succeeded"]).jobs == 1
    assert Job.objects.get() == first


def test_a_sweep_goes_with_its_last_job_and_a_file_in_use_stays(now: datetime) -> None:
    make_sweep(3, now)
    Job.objects.update(state="cancelled", finished_at=now)
    file = files.store([b"input"], make_user(), now)
    make_job(now + MONTH, command=["cat", "x"], files={"x": file.digest})
    assert cleanup.cleanup(now + MONTH, 30).jobs == 3
    assert Sweep.objects.count() == 0
    assert File.objects.count() == 1


def test_more_than_one_chunk(now: datetime) -> None:
    make_sweep(cleanup.CHUNK + 10, now)
    Job.objects.update(state="cancelled", finished_at=now)
    assert cleanup.cleanup(now + MONTH, 30).jobs == cleanup.CHUNK + 10


def test_the_command_says_what_it_did_and_what_it_would_do(now: datetime) -> None:
    make_job(now)
    Job.objects.update(state="failed", finished_at=now)
    out = StringIO()
    call_command("cleanup", "--days", "0", "--dry-run", stdout=out)
    assert out.getvalue() == "1 jobs would be deleted.\n"
    call_command("cleanup", "--days", "0", "--state", "succeeded", stdout=out)
    assert Job.objects.count() == 1
    call_command("cleanup", "--days", "0", stdout=out)
    assert Job.objects.count() == 0
    with pytest.raises(CommandError):
        call_command("cleanup", "--days", "-1")

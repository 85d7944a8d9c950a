from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from jobs import cleanup, files
from jobs.models import Artifact, Attempt, File, Job, Output, Spec, Sweep
from monitoring.models import Pace
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


def test_a_dry_run_counts_what_the_real_one_deletes(
    engine: FakeEngine, one_pass: Pass, now: datetime
) -> None:
    make_node()
    kept = files.store([b"kept"], make_user(), now)
    gone = files.store([b"gone!"], make_user(), now)
    waits = make_job(now, command=["a"], files={"x": gone.digest})
    make_job(now, command=["b"], after=[waits.pk])
    make_sweep(3, now)
    for _ in range(6):
        one_pass(now)
        for bundle in list(engine.sent):
            engine.end(bundle, stdout=stream("x"), stderr=stream("y"))
        engine.sent.clear()
    assert not Job.objects.exclude(state="succeeded").exists()
    for digest, name in ((kept, "k"), (gone, "g")):
        attempt = Attempt.objects.earliest("pk")
        Artifact.objects.create(attempt=attempt, name=name, size=1, file=digest)
    later = make_job(now + MONTH, command=["cat"], files={"x": kept.digest})
    make_sweep(2, now + MONTH)
    for states in (["failed"], ["succeeded"]):
        foreseen = cleanup.cleanup(now + MONTH, 30, states, dry_run=True)
        cleaned = cleanup.cleanup(now + MONTH, 30, states)
        assert +cleaned.rows == +foreseen.rows
        assert (cleaned.files, cleaned.bytes) == (foreseen.files, foreseen.bytes)
    assert cleaned.rows["jobs"] == 5
    assert cleaned.rows["attempts"] == 5
    assert cleaned.rows["pieces of output"] == 10
    assert cleaned.rows["sweeps"] == 1
    assert cleaned.rows["specs"] == 2  # the later sweep has the third
    assert (cleaned.files, cleaned.bytes) == (1, 5)
    assert later.spec.body["files"] == {"x": kept.digest}


def test_what_others_keep_about_a_spec_goes_with_it(now: datetime) -> None:
    job, node = make_job(now), make_node()
    Pace.objects.create(spec=job.spec, node=node, log_mean=0, moved_at=now)
    Job.objects.update(state="cancelled", finished_at=now)
    assert cleanup.cleanup(now + MONTH, 30).rows["specs"] == 1
    assert not Pace.objects.exists()


def test_the_command_says_what_it_did_and_what_it_would_do(now: datetime) -> None:
    make_job(now)
    Job.objects.update(state="failed", finished_at=now)

    def told(*options: str) -> dict[str, list[str]]:
        out = StringIO()
        call_command("cleanup", *options, stdout=out)
        lines = [line.split("  ") for line in out.getvalue().splitlines()]
        return {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines}

    assert told("--days", "0", "--dry-run")["jobs"][:3] == ["1", "1", "0"]
    assert told("--days", "0", "--state", "succeeded")["jobs"][:3] == ["1", "0", "1"]
    assert Job.objects.count() == 1
    assert told("--days", "0")["jobs"][:3] == ["1", "1", "0"]
    assert Job.objects.count() == 0
    with pytest.raises(CommandError):
        call_command("cleanup", "--days", "-1")

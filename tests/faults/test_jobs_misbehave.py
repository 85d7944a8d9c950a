"""F12, F13, F14: jobs that flood, crash, hide and do not stop."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from jobs import lifecycle
from jobs.models import Attempt, Job, Output
from tests.faults.record import verdict
from tests.faults.work import ended, make_job, marked, memory_kb, outcomes, text
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]

GB = 2**30
LIMIT = 2**20  # bytes kept of a stream, unless the job says otherwise


@pytest.fixture
def one_node(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=1, slots=2) as made:
        yield made.up()


@pytest.fixture
def mark() -> str:
    """A word that nobody else has in his command line."""
    return f"mark{uuid4().hex}"


def test_f12_a_gigabyte_of_output_or_result(one_node: Fleet) -> None:
    ended(make_job(command="echo warm"))
    dispatcher = one_node.processes["dispatcher"].pid
    before = memory_kb(dispatcher)
    zeros = make_job(command="head -c 1G /dev/zero; echo the end; exit 3")
    errors = make_job(command="yes | head -c 1G >&2; exit 4")
    big = make_job(command='truncate -s 1G "$DISPYCLUSTER_RESULT"')
    small = make_job(command='head -c 1000001 /dev/zero > "$DISPYCLUSTER_RESULT"')
    for job in (zeros, errors, big, small):
        assert ended(job, 40).state == "failed", job.error
    assert (zeros.exit_code, errors.exit_code) == (3, 4)
    for job, stream, total in ((zeros, "stdout", GB + 8), (errors, "stderr", GB)):
        attempt = job.attempts.get()
        assert getattr(attempt, f"{stream}_bytes") == total
        pieces = list(Output.objects.filter(attempt=attempt, stream=stream).order_by("offset"))
        assert len(pieces) == 2  # with the gap between them, which says how much is left out
        assert pieces[1].offset + len(pieces[1].data) == total
        assert LIMIT // 4 < sum(len(piece.data) for piece in pieces) <= LIMIT
    assert text(zeros).endswith(b"the end\n")
    assert "1,000,000" in big.error
    assert "1,073,741,824" in big.error
    assert "1,000,001" in small.error
    assert big.result is None
    grown = memory_kb(dispatcher, "VmHWM") - before
    assert grown < 50 * 1024, f"the dispatcher grew by {grown} kB"
    verdict("F12", [zeros, errors, big, small], None, None, grown_kb=grown)


CRASHES: dict[str, tuple[dict[str, Any], str]] = {
    "segfault": ({"command": "{note}; kill -SEGV $$"}, "SIGSEGV"),
    "killed": ({"command": "{note}; kill -KILL $$"}, "SIGKILL"),
    "aborted": ({"source": "{python}; import os; os.abort()"}, "SIGABRT"),
    "real segfault": (
        {"source": "{python}; import ctypes; ctypes.string_at(0)"}, "SIGSEGV",
    ),
    "os._exit": ({"source": "{python}; import os; os._exit(7)"}, "status 7"),
    "out of memory": (
        {"source": "{python}; x = bytearray(2**30)", "needs": {"memory_mb": 100}}, "MemoryError",
    ),
    "out of memory, native": (
        {
            "command": "{note}; exec python3 -c 'import ctypes as c; l = c.CDLL(None); "
            "l.malloc.restype = c.c_void_p; c.memset(l.malloc(c.c_size_t(2**30)), 1, 1)'",
            "needs": {"memory_mb": 100},
        },
        "SIGSEGV",
    ),
}  # fmt: skip


def test_f13_crashes_are_told_within_two_seconds(one_node: Fleet, tmp_path: Path) -> None:
    ended(make_job(command="true"))
    jobs, slowest = [], 0.0
    for name, (body, words) in CRASHES.items():
        begun = tmp_path / name.replace(" ", "-").replace(",", "")
        filled = {
            key: value.replace("{note}", f"touch '{begun}'").replace(
                "{python}", f"open({str(begun)!r}, 'w').close()"
            )
            if isinstance(value, str)
            else value
            for key, value in body.items()
        }
        job = make_job(**filled)
        wait_for(begun.exists, 10, f"start of {name}")
        failed = Job.objects.filter(pk=job.pk, state="failed")
        took = wait_for(failed.exists, 5, name)
        job.refresh_from_db()
        assert words in job.error + job.attempts.get().error_type + text(job, "stderr").decode(), (
            name, job.error,
        )  # fmt: skip
        slowest = max(slowest, took)
        jobs.append(job)
    assert {outcome for job in jobs for outcome in outcomes(job)} == {"failed"}
    verdict("F13", jobs, None, slowest, bound=2)


# Each starts a process that carries the mark, and hides it: in sessions, groups, behind forks.
ESCAPES = {
    "ignores TERM": "trap '' TERM INT HUP; while :; do : {mark}; sleep 1; done",
    "setsid": "setsid sh -c \"trap '' TERM; while :; do : {mark}; sleep 1; done\" & wait",
    "double fork": "(setsid sh -c \"trap '' TERM; (while :; do : {mark}; sleep 1; done) &\" &); "
    "sleep 600",
    "nohup, no environment": 'nohup setsid env -i PATH=$PATH sh -c "cd /; while :; do : {mark}; '
    'sleep 1; done" >/dev/null 2>&1 & sleep 600',
    "goes on forking": "trap '' TERM; while :; do setsid sh -c ': {mark}; sleep 3' & sleep 0.2; "
    "done",
}


def stubborn(mark: str, **more: float) -> list[Job]:
    return [
        make_job(command=command.replace("{mark}", f"{mark}-{n}"), **more)
        for n, command in enumerate(ESCAPES.values())
    ]


def test_f14_nothing_of_a_job_outlives_its_time(tmp_path: Path, mark: str) -> None:
    with fleet(tmp_path, nodes=1, slots=len(ESCAPES)) as one:
        one.up()
        jobs = stubborn(mark, timeout_seconds=1.5)
        wait_for(lambda: len(marked(mark)) >= len(ESCAPES), 10, "start")
        for job in jobs:
            assert ended(job, 15).state == "failed"
            assert outcomes(job) == ["timed_out"]
        took = wait_for(lambda: not marked(mark), 5, f"nobody left: {marked(mark)}")
        verdict("F14", jobs, None, took, bound=5)


def test_f14_a_stubborn_job_is_cancelled(tmp_path: Path, mark: str) -> None:
    with fleet(tmp_path, nodes=1, slots=len(ESCAPES)) as one:
        one.up()
        jobs = stubborn(mark)
        wait_for(lambda: len(marked(mark)) >= len(ESCAPES), 10, "start")
        started = time.monotonic()
        all_of_them = Job.objects.filter(pk__in=[job.pk for job in jobs])
        assert lifecycle.cancel(all_of_them, timezone.now(), "alice") == len(jobs)
        for job in jobs:
            assert ended(job, 10).state == "cancelled"
        wait_for(lambda: not marked(mark), 5, f"nobody left: {marked(mark)}")
        verdict("F14", jobs, None, time.monotonic() - started, bound=10)
        assert ended(make_job(command="true"), 5).state == "succeeded"


def test_f14_a_daemon_does_not_outlive_a_job_that_succeeded(one_node: Fleet, mark: str) -> None:
    daemon = f"setsid sh -c \"trap '' TERM; while :; do : {mark}; sleep 1; done\""
    job = ended(make_job(command=f"{daemon} >/dev/null 2>&1 & sleep 0.3"), 10)
    assert job.state == "succeeded"
    took = wait_for(lambda: not marked(mark), 5, f"nobody left: {marked(mark)}")
    verdict("F14", [job], None, took, bound=5)


def test_f14_cancel_of_one_of_a_bundle_lets_the_others_run(tmp_path: Path) -> None:
    """They are sent together once their run time is known; one is cancelled while it runs."""
    ledger, hang = tmp_path / "ledger", tmp_path / "hang"
    source = (
        "import json, os, pathlib, time\n"
        "n = json.loads(os.environ['DISPYCLUSTER_ARGS'])['n']\n"
        f"with open({str(ledger)!r}, 'a') as file:\n"
        "    file.write(os.environ['DISPYCLUSTER_JOB'] + '\\n')\n"
        f"while n == 1 and not pathlib.Path({str(hang)!r}).exists():\n    time.sleep(0.1)\n"
    )
    with fleet(tmp_path, nodes=1) as one:
        one.up()
        for _ in range(3):  # until their run time is known
            ended(make_job(source=source, args={"n": 0}))
        gate = make_job(command="sleep 1.5")  # so that they are all there at once
        wait_for(lambda: Job.objects.get(pk=gate.pk).state == "running", 5, "gate")
        jobs = [make_job(source=source, args={"n": n}) for n in range(12)]
        victim = jobs[1]
        begun = Attempt.objects.filter(job=victim, finished_at=None, started_at__isnull=False)
        wait_for(begun.exists, 15, "start")
        travellers = Attempt.objects.filter(bundle=begun.get().bundle).values_list("job", flat=True)
        started = time.monotonic()
        lifecycle.cancel(Job.objects.filter(pk=victim.pk), timezone.now(), "alice")
        assert ended(victim, 10).state == "cancelled"
        took = time.monotonic() - started
        assert len(travellers) > 1
        others = [job for job in jobs if job is not victim]
        assert {ended(job).state for job in others} == {"succeeded"}
        assert {job.charged for job in others} == {1}
        assert {job.losses for job in others} == {0}
        kept = set(Attempt.objects.filter(job__in=others).values_list("outcome", flat=True))
        assert kept == {"succeeded", "released"}
        ran = ledger.read_text().split()
        assert all(ran.count(str(job.pk)) == 1 for job in others)
        verdict("F14", jobs, ledger, took, bound=10)

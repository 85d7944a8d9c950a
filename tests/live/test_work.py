"""Work on a real dispatcher and real nodes, from the submit call to the recorded answer."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from jobs import files, lifecycle
from jobs.models import FINAL_STATES, Artifact, Attempt, Job, Output
from jobs.submit import submit_sweep
from tasks.montecarlo import pi_block
from tests import factories
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=2) as made:
        yield made.up()


def make_job(**body: Any) -> Job:
    return factories.make_job(timezone.now(), **body)


def make_sweep(over: Any, **spec: Any) -> Any:
    data = {"spec": spec, "over": over, "mode": "grid"}
    return submit_sweep(data, factories.make_user(), timezone.now())


def ended(job: Job, seconds: float = 20) -> Job:
    wait_for(lambda: Job.objects.filter(pk=job.pk, state__in=FINAL_STATES).exists(), seconds, "end")
    job.refresh_from_db()
    return job


def text(job: Job, stream: str = "stdout") -> str:
    rows = Output.objects.filter(attempt__job=job, stream=stream).order_by("attempt", "offset")
    return b"".join(bytes(row.data) for row in rows).decode()


def all_ended() -> bool:
    return not Job.objects.exclude(state__in=FINAL_STATES).exists()


def test_a_thousand_functions_two_hundred_commands_and_fifty_scripts(two_nodes: Fleet) -> None:
    functions = make_sweep(
        {"seed": {"range": [0, 1000]}}, kind="function", function="montecarlo.pi_block",
        isolation="shared", args={"samples": 20},
    )  # fmt: skip
    commands = make_sweep({"n": {"range": [0, 200]}}, kind="command", command=["echo", "n={n}"])
    source = "import json, os\nprint(json.loads(os.environ['DISPYCLUSTER_ARGS'])['n'] * 2)\n"
    scripts = make_sweep({"n": {"range": [0, 50]}}, kind="script", source=source)
    wait_for(all_ended, 120, f"1,250 jobs\n{two_nodes.logs()}")
    assert Counter(Job.objects.values_list("state", flat=True)) == {"succeeded": 1250}
    for job in functions.jobs.all():
        args = json.loads(job.args)
        assert json.loads(job.result or "") == pi_block(args["seed"], 20)
    printed = Output.objects.filter(attempt__job__sweep=commands, stream="stdout")
    wrote = {row.attempt.job_id: bytes(row.data) for row in printed.select_related("attempt")}
    for job in commands.jobs.all():
        assert wrote[job.pk] == f"n={json.loads(job.args)['n']}\n".encode()
    for job in scripts.jobs.all():
        assert text(job) == f"{json.loads(job.args)['n'] * 2}\n"
    assert Attempt.objects.filter(outcome="succeeded").count() == 1250
    used = set(Attempt.objects.values_list("node__name", flat=True))
    assert used == {"node-1", "node-2"}


def test_each_kind_of_failure_says_what_happened(two_nodes: Fleet, tmp_path: Path) -> None:
    script = "def grow():\n    raise ValueError('seven is too many')\ngrow()"
    failing = {
        "exception": make_job(source=script),
        "status": make_job(command="echo broken >&2; exit 3"),
        "timeout": make_job(command=["sleep", "60"], timeout_seconds=0.5),
        "signal": make_job(command="kill -SEGV $$"),
        "missing": make_job(command=["no-such-program"]),
        "value": make_job(function="montecarlo.pi", args={"samples": 0}),
        "result": make_job(
            command='head -c 1500000 /dev/zero | tr "\\0" 7 > "$DISPYCLUSTER_RESULT"'
        ),
    }
    flood = make_job(command="head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end")
    for job in failing.values():
        assert ended(job).state == "failed", job
    assert "seven is too many" in text(failing["exception"], "stderr")
    assert failing["status"].exit_code == 3
    assert "3" in failing["status"].error
    assert "0.5 s" in failing["timeout"].error
    assert failing["timeout"].attempts.get().outcome == "timed_out"
    assert "SIGSEGV" in failing["signal"].error
    assert "no-such-program" in failing["missing"].error
    assert failing["value"].error == "ValueError: samples must be at least 1"
    assert "count_hits" in failing["value"].attempts.get().traceback
    assert "1,000,000" in failing["result"].error
    assert "outputs" in failing["result"].error
    assert ended(flood).state == "succeeded"
    attempt = flood.attempts.get()
    kept = text(flood)
    assert attempt.stdout_bytes == 5_000_009
    assert 1_000_000 < len(kept) <= 2**20
    assert kept.endswith("x\nthe end\n")


def test_a_function_that_is_gone_by_the_time_it_runs(
    tmp_path: Path, settings: Any
) -> None:  # fmt: skip
    settings.TASKS = tmp_path / "tasks"
    settings.TASKS.mkdir()
    source = settings.TASKS / "mine.py"
    source.write_text("def f(): return 1")
    with fleet(tmp_path, nodes=1) as one:
        one.up()
        assert ended(make_job(function="mine.f")).result == "1"
        job = make_job(function="mine.f", run_at=timezone.now() + timedelta(seconds=2))
        source.write_text("def g(): return 2")
        assert ended(job).state == "failed"
        assert job.error == "there is no function 'f' in tasks/mine.py"
        assert ended(make_job(function="mine.g")).result == "2"


def test_files_go_in_and_come_out(two_nodes: Fleet) -> None:
    words = files.store([b"to be or not to be"], factories.make_user(), timezone.now())
    count = make_job(
        function="text.word_count", args={"file": "in.txt"}, files={"in.txt": words.pk}
    )
    upper = make_job(
        command="tr a-z A-Z < in.txt > out.txt", files={"in.txt": words.pk}, outputs=["*.txt"]
    )
    assert json.loads(ended(count).result or "")["words"] == 6
    assert ended(upper).state == "succeeded"
    kept = {row.name: row for row in Artifact.objects.select_related("file")}
    assert files.path(kept["out.txt"].file_id or "").read_bytes() == b"TO BE OR NOT TO BE"


def test_a_running_job_is_cancelled_and_the_node_goes_on(two_nodes: Fleet, tmp_path: Path) -> None:
    job = make_job(command=f"echo $$ > {tmp_path}/pid; sleep 600")
    wait_for(lambda: (tmp_path / "pid").exists(), 10, "start")
    assert lifecycle.cancel(Job.objects.filter(pk=job.pk), timezone.now(), "alice") == 1
    assert ended(job, 10).state == "cancelled"
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 10, "gone")
    assert ended(make_job(command=["true"])).state == "succeeded"


def test_output_is_seen_while_the_job_runs(two_nodes: Fleet, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    job = make_job(command=f"echo first; while [ ! -e {go_on} ]; do sleep 0.1; done; echo last")
    wait_for(lambda: text(job) == "first\n", 10, "first line")
    assert Job.objects.get(pk=job.pk).state == "running"
    go_on.touch()
    ended(job)
    assert text(job) == "first\nlast\n"


def test_a_dispatcher_killed_while_jobs_run_finds_them_again(tmp_path: Path) -> None:
    with fleet(tmp_path, nodes=2, slots=2) as four_slots:
        four_slots.up()
        ledger = tmp_path / "ledger"
        jobs = [make_job(command=f"echo {n} >> {ledger}; sleep 4; echo {n}") for n in range(4)]
        wait_for(lambda: ledger.exists() and len(ledger.read_text().split()) == 4, 10, "start")
        four_slots.kill("dispatcher")
        four_slots.start_dispatcher()
        for n, job in enumerate(jobs):
            assert ended(job).state == "succeeded"
            assert text(job) == f"{n}\n"
        assert sorted(ledger.read_text().split()) == ["0", "1", "2", "3"]
        assert Attempt.objects.count() == 4


def test_a_dispatcher_asked_to_stop_leaves_the_work_to_the_next(tmp_path: Path) -> None:
    with fleet(tmp_path, nodes=1) as one:
        one.up()
        ledger = tmp_path / "ledger"
        job = make_job(command=f"echo x >> {ledger}; sleep 3; echo done")
        wait_for(ledger.exists, 10, "start")
        one.signal("dispatcher", signal.SIGTERM)
        assert one.processes["dispatcher"].wait(15) == 0
        one.start_dispatcher()
        assert ended(job).state == "succeeded"
        assert ledger.read_text() == "x\n"


def test_submit_reaches_a_node_without_waiting_for_a_poll(two_nodes: Fleet) -> None:
    ended(make_job(command=["true"]))
    job = ended(make_job(command=["true"]))
    assert job.finished_at
    assert (job.finished_at - job.created_at).total_seconds() < 0.5

"""F5, F6, F8, F20: nodes that die, freeze and come back, and jobs that kill them."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.models import Attempt, Event, Job
from tests.faults.record import verdict
from tests.faults.work import (
    drain_all_but,
    ended,
    freeze,
    ledger_job,
    lines,
    make_job,
    online,
    outcomes,
    resume_all,
    runs_on,
    thaw,
)
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]

FIRST_HANGS = "[ $DISPYCLUSTER_ATTEMPT != 1 ] || sleep 600"


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=2, slots=2) as made:
        yield made.up()


def start_on_the_first(made: Fleet, *jobs: Job) -> str:
    """Wait until these run on the first node, and let others have the second one."""
    address = made.addresses[0]
    wait_for(lambda: all(runs_on(job, address) for job in jobs), 10, "start")
    resume_all()
    return address


def test_f05_a_node_is_killed(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    drain_all_but(two_nodes.addresses[0])
    again = ledger_job(ledger, FIRST_HANGS)
    never = ledger_job(ledger, FIRST_HANGS, on_lost="fail")
    address = start_on_the_first(two_nodes, again, never)
    two_nodes.kill(address)
    seen = wait_for(lambda: not online(address), 10, "the node seen to be gone")
    assert ended(never, 5).state == "failed"
    assert "lost" in never.error
    assert outcomes(never) == ["lost"]
    assert ended(again, 10).state == "succeeded"
    assert outcomes(again) == ["lost", "succeeded"]
    assert again.attempts.get(number=2).node.address == two_nodes.addresses[1]
    assert sorted(lines(ledger)) == sorted([str(again.pk)] * 2 + [str(never.pk)])
    verdict("F5", [again, never], ledger, seen, bound=10)


@pytest.mark.parametrize("jobs_too", [True, False], ids=["whole", "agent alone"])
def test_f06_a_node_freezes_and_its_late_answer_changes_nothing(
    two_nodes: Fleet, tmp_path: Path, jobs_too: bool
) -> None:
    ledger = tmp_path / "ledger"
    drain_all_but(two_nodes.addresses[0])
    nap = f"sleep {4 if jobs_too else 7}"  # what goes on must not end before it is given up
    job = ledger_job(ledger, f"[ $DISPYCLUSTER_ATTEMPT != 1 ] || {nap}; echo $DISPYCLUSTER_NODE")
    never = ledger_job(ledger, nap, on_lost="fail")
    address = start_on_the_first(two_nodes, job, never)
    if jobs_too:
        freeze(two_nodes, address)
    else:  # its jobs, in sessions of their own, go on
        two_nodes.signal(address, signal.SIGSTOP)
    wait_for(lambda: not online(address), 10, "the node seen to be gone")
    assert ended(job, 10).state == "succeeded"
    assert ended(never, 10).state == "failed"
    history = rows(job, never)
    time.sleep(3)
    thaw(two_nodes, address)
    back = wait_for(lambda: online(address), 30, "the node used again")
    late = Event.objects.filter(job=job, why__contains="late answer")
    wait_for(late.exists, 5, f"late answer noted\n{two_nodes.logs()}")
    drain_all_but(address)
    assert ended(make_job(command="true"), 10).node_id == job.attempts.get(number=1).node_id
    assert rows(job, never) == history
    verdict("F6", [job, never], ledger, back, bound=30)


def rows(*jobs: Job) -> list[object]:
    pks = [job.pk for job in jobs]
    return [
        *Job.objects.filter(pk__in=pks).order_by("pk").values(),
        *Attempt.objects.filter(job__in=pks).order_by("pk").values(),
    ]


def test_f08_a_node_is_restarted_while_jobs_run(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with fleet(tmp_path, nodes=1, slots=2) as one:
        one.up()
        again = ledger_job(ledger, FIRST_HANGS)
        never = ledger_job(ledger, FIRST_HANGS, on_lost="fail")
        address = start_on_the_first(one, again, never)
        one.kill(address)
        one.start_node(address)
        wait_for(lambda: outcomes(again)[0] == "lost", 10, "the old attempt lost")
        back = wait_for(lambda: online(address), 10, "the node used again")
        assert ended(again, 10).state == "succeeded"
        assert ended(never, 5).state == "failed"
        assert outcomes(again) == ["lost", "succeeded"]
        verdict("F8", [again, never], ledger, back, bound=10)


def test_f20_a_job_that_kills_its_runner(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    poison = ledger_job(ledger, "kill -KILL $PPID; sleep 600")
    others = [make_job(command="true") for _ in range(5)]
    started = time.monotonic()
    assert ended(poison, 20).state == "failed"
    took = time.monotonic() - started
    assert outcomes(poison) == ["lost"] * 3
    assert "lost 3 times" in poison.error
    assert lines(ledger) == [str(poison.pk)] * 3
    assert {ended(job).state for job in others} == {"succeeded"}
    assert ended(make_job(command="true"), 5).state == "succeeded"
    verdict("F20", [poison, *others], ledger, took)


KILL_THE_AGENT = """
import os, pathlib, signal
pid, agents = os.getppid(), []  # from the runner upwards
while pid > 1:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if b"node.agent" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
        agents.append(pid)
    pid = int(stat[1])
os.kill(agents[-1], signal.SIGKILL)
signal.pause()
"""


def test_f20_a_job_that_kills_its_node(tmp_path: Path) -> None:
    with fleet(tmp_path, nodes=4) as four:
        four.up()
        poison = make_job(source=KILL_THE_AGENT)
        started = time.monotonic()
        assert ended(poison, 40).state == "failed"
        took = time.monotonic() - started
        assert outcomes(poison) == ["lost"] * 3
        dead = [a for a in four.addresses if four.processes[a].poll() == -signal.SIGKILL]
        assert 1 <= len(dead) <= 3
        job = ended(make_job(command="true"), 10)
        assert job.state == "succeeded"
        verdict("F20", [poison, job], None, took)

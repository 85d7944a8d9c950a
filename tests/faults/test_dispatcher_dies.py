"""F1 to F4 and F22: the dispatcher is killed at the worst moments, doubled and stopped."""

import contextlib
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction

from jobs import lease
from jobs.models import Attempt, Job, Lease
from tests.faults.record import verdict
from tests.faults.work import ended, ledger_job, lines, make_job, outcomes, text
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=2) as made:
        yield made.up()


def restart_with(made: Fleet, failpoint: str) -> None:
    """A dispatcher that will die at this place, once it is at work."""
    made.kill("dispatcher")
    before = epoch()
    made.start_dispatcher(DISPYCLUSTER_FAILPOINT=failpoint)
    wait_for(lambda: epoch() > before, 10, f"the lease\n{made.logs()}")


def dies(made: Fleet, name: str = "dispatcher") -> None:
    process = made.processes[name]
    wait_for(lambda: process.poll() is not None, 15, f"its death\n{made.logs()}")
    assert process.returncode == -signal.SIGKILL, made.logs()


def epoch() -> int:
    return Lease.objects.values_list("epoch", flat=True).get(name="dispatcher")


def test_f01_killed_after_the_claim_before_sending(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    restart_with(two_nodes, "after-claim")
    jobs = [ledger_job(ledger, "true") for _ in range(2)]
    dies(two_nodes)
    assert Attempt.objects.filter(finished_at=None).exists()
    started = time.monotonic()
    two_nodes.start_dispatcher()
    for job in jobs:
        assert ended(job, 10).state == "succeeded", two_nodes.logs()
        assert job.charged == 1
        assert lines(ledger).count(str(job.pk)) == 1
    verdict("F1", jobs, ledger, time.monotonic() - started, bound=10)


def test_f01_a_careful_job_that_was_never_sent_runs_once(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    restart_with(two_nodes, "after-claim")
    job = ledger_job(ledger, "true", on_lost="fail")
    dies(two_nodes)
    started = time.monotonic()
    two_nodes.start_dispatcher()
    assert ended(job, 10).state == "succeeded", f"{job.error}\n{two_nodes.logs()}"
    assert lines(ledger) == [str(job.pk)]
    assert job.charged == 1
    assert outcomes(job) == ["lost", "succeeded"]
    verdict("F1", [job], ledger, time.monotonic() - started, bound=10)


def test_f02_killed_while_its_jobs_run(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    running = ledger_job(ledger, "sleep 5; echo done", on_lost="fail")
    wait_for(lambda: len(lines(ledger)) == 1, 10, "the job to run")
    two_nodes.kill("dispatcher")
    started = time.monotonic()
    new = ledger_job(ledger, "true")
    two_nodes.start_dispatcher()
    wait_for(lambda: str(new.pk) in lines(ledger), 10, f"the new job\n{two_nodes.logs()}")
    recovered = time.monotonic() - started
    for job in (running, new):
        assert ended(job).state == "succeeded", two_nodes.logs()
        assert outcomes(job) == ["succeeded"]
        assert lines(ledger).count(str(job.pk)) == 1
    assert text(running) == b"done\n"
    verdict("F2", [running, new], ledger, recovered, bound=5)


def test_f03_killed_before_the_answer_is_committed(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    restart_with(two_nodes, "before-record")
    job = ledger_job(ledger, "echo [7] > $DISPYCLUSTER_RESULT; echo said", on_lost="fail")
    dies(two_nodes)
    assert Job.objects.get(pk=job.pk).state == "running"
    assert lines(ledger) == [str(job.pk)]
    started = time.monotonic()
    two_nodes.start_dispatcher()
    assert ended(job).state == "succeeded", f"{job.error}\n{two_nodes.logs()}"
    recovered = time.monotonic() - started
    assert (job.result or "").strip() == "[7]"
    assert text(job) == b"said\n"
    assert outcomes(job) == ["succeeded"]
    verdict("F3", [job], ledger, recovered, bound=10)


def test_f04_a_second_dispatcher_names_the_first_and_leaves(two_nodes: Fleet) -> None:
    mine = Lease.objects.get(name="dispatcher")
    started = time.monotonic()
    two_nodes.start_dispatcher("second")
    status = two_nodes.processes["second"].wait(15)
    took = time.monotonic() - started
    assert status != 0
    log = (two_nodes.folder / "second.log").read_text()
    assert f"A dispatcher is running already: {mine.holder}." in log
    assert Lease.objects.get(name="dispatcher").epoch == mine.epoch
    job = ended(make_job(command=["true"]))
    verdict("F4", [job], None, took, bound=5)


def test_f04_a_standby_takes_over_from_the_dead(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    two_nodes.start_dispatcher("standby", "--standby")
    running = ledger_job(ledger, "sleep 4", on_lost="fail")
    wait_for(lambda: len(lines(ledger)) == 1, 10, "start")
    before = epoch()
    started = time.monotonic()
    two_nodes.kill("dispatcher")
    new = ledger_job(ledger, "true", on_lost="fail")
    wait_for(lambda: epoch() > before, 3, f"the lease\n{two_nodes.logs()}")
    wait_for(lambda: str(new.pk) in lines(ledger), 10, f"the new job\n{two_nodes.logs()}")
    recovered = time.monotonic() - started
    for job in (running, new):
        assert ended(job).state == "succeeded", two_nodes.logs()
    verdict("F4", [running, new], ledger, recovered, bound=5)


def test_f04_a_frozen_dispatcher_is_replaced_and_writes_nothing(
    two_nodes: Fleet, tmp_path: Path
) -> None:
    frozen_and_replaced(two_nodes, tmp_path, writable)


def test_f04_a_dispatcher_frozen_amid_a_transaction_keeps_its_locks_for_seconds_only(
    two_nodes: Fleet, tmp_path: Path
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("whoever freezes amid a write to SQLite holds its one lock")
    frozen_and_replaced(two_nodes, tmp_path, lambda: not lease_is_free())


def frozen_and_replaced(two_nodes: Fleet, tmp_path: Path, moment: Callable[[], bool]) -> None:
    ledger = tmp_path / "ledger"
    two_nodes.start_dispatcher("standby", "--standby")
    first = ended(ledger_job(ledger, "true", on_lost="fail"))
    before = epoch()
    freeze_when(two_nodes, moment)
    started = time.monotonic()
    wait_for(lambda: epoch() > before, 20, f"the lease\n{two_nodes.logs()}")
    took_over = time.monotonic() - started
    new = ledger_job(ledger, "true", on_lost="fail")
    two_nodes.signal("dispatcher", signal.SIGCONT)  # until now it sat on the port
    assert two_nodes.processes["dispatcher"].wait(15) == 1
    assert ended(new).state == "succeeded", two_nodes.logs()
    assert "another dispatcher has taken over" in (tmp_path / "dispatcher.log").read_text()
    held = Lease.objects.get(name="dispatcher")
    assert held.epoch == before + 1
    assert f":{two_nodes.processes['standby'].pid}:" in held.holder
    verdict("F4", [first, new], ledger, took_over, bound=lease.SECONDS + 5)


def freeze_between_transactions(made: Fleet) -> None:
    """SIGSTOP, at a moment at which it does not hold the database's lock."""
    freeze_when(made, writable)


def freeze_when(made: Fleet, moment: Callable[[], bool]) -> None:
    for _ in range(500):
        made.signal("dispatcher", signal.SIGSTOP)
        if moment():
            return
        made.signal("dispatcher", signal.SIGCONT)
        time.sleep(random.uniform(0, 0.02))
    raise AssertionError("it was never at that moment")


def lease_is_free() -> bool:
    """Does no transaction hold the lease's row?"""
    try:
        with transaction.atomic():
            return Lease.objects.select_for_update(nowait=True).filter(name="dispatcher").exists()
    except OperationalError:
        return False


def writable() -> bool:
    """Can somebody else write now? PostgreSQL has no lock on the whole."""
    if connection.vendor != "sqlite":
        return lease_is_free()
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=0.2)
    with contextlib.closing(other):
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def test_f22_asked_to_stop_under_load(two_nodes: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    jobs = [ledger_job(ledger, "sleep 0.05", on_lost=("fail", "retry")[n % 2]) for n in range(60)]
    long = ledger_job(ledger, "sleep 5; echo done", on_lost="fail", priority=10)
    wait_for(lambda: str(long.pk) in lines(ledger), 10, "the long job to run")
    wait_for(lambda: len(lines(ledger)) > 5, 10, "load")
    started = time.monotonic()
    two_nodes.signal("dispatcher", signal.SIGTERM)
    assert two_nodes.processes["dispatcher"].wait(15) == 0
    stopped = time.monotonic() - started
    two_nodes.start_dispatcher()
    count = len(lines(ledger))
    wait_for(lambda: len(lines(ledger)) > count + 5, 15, f"work\n{two_nodes.logs()}")
    recovered = time.monotonic() - started
    for job in [*jobs, long]:
        assert ended(job, 30).state == "succeeded", f"{job.error}\n{two_nodes.logs()}"
        assert lines(ledger).count(str(job.pk)) == 1
    assert outcomes(long) == ["succeeded"]
    verdict("F22", [*jobs, long], ledger, recovered, bound=15, stop_seconds=round(stopped, 2))

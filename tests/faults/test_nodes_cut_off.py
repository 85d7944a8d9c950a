"""F7: the network between the dispatcher and a node is cut, one way or both."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from tests.faults.network import FarFleet, cable
from tests.faults.record import verdict
from tests.faults.work import (
    drain_all_but,
    ended,
    is_final,
    ledger_job,
    lines,
    make_job,
    online,
    outcomes,
    resume_all,
    runs_on,
)
from tests.live.fleet import wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarFleet]:
    with cable() as laid:
        made = FarFleet(tmp_path, laid)
        try:
            with override_settings(FILES=made.home / "files"):
                made.up()
                yield made
        finally:
            made.end()


@pytest.mark.parametrize("direction", ["both", "to the node", "from the node"])
def test_f07_the_network_is_cut(far: FarFleet, tmp_path: Path, direction: str) -> None:
    ledger, address = tmp_path / "ledger", far.cable.theirs
    drain_all_but(address)
    job = ledger_job(ledger, "[ $DISPYCLUSTER_ATTEMPT != 1 ] || sleep 3; echo done")
    never = ledger_job(ledger, "sleep 3", on_lost="fail")
    wait_for(lambda: runs_on(job, address) and runs_on(never, address), 10, "start")
    resume_all()
    if direction != "from the node":
        far.cable.cut_ours()
    if direction != "to the node":
        far.cable.cut_theirs()
    seen = wait_for(lambda: not online(address), 15, "the node seen to be gone")
    assert ended(job, 10).state == "succeeded"
    assert outcomes(job) == ["lost", "succeeded"]
    assert ended(never, 5).state == "failed"
    assert len(lines(ledger)) == 3
    far.cable.mend()
    back = wait_for(lambda: online(address), 30, f"the node used again\n{far.logs()}")
    drain_all_but(address)
    assert ended(make_job(command="true"), 10).state == "succeeded"
    assert outcomes(job) == ["lost", "succeeded"]
    assert outcomes(never) == ["lost"]
    verdict("F7", [job, never], ledger, back, bound=30, seen_seconds=seen, direction=direction)


def test_f07_a_short_interruption_costs_nothing(far: FarFleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    drain_all_but(far.cable.theirs)
    job = ledger_job(ledger, "sleep 1; echo done", on_lost="fail")
    wait_for(lambda: runs_on(job, far.cable.theirs), 10, "start")
    far.cable.cut_ours()
    far.cable.cut_theirs()
    time.sleep(2.5)  # the job ends meanwhile
    assert not is_final(job)
    far.cable.mend()
    started = time.monotonic()
    assert ended(job, 20).state == "succeeded"
    assert outcomes(job) == ["succeeded"]
    verdict("F7", [job], ledger, time.monotonic() - started, bound=20)

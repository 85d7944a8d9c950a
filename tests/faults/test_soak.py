"""The soak's own check finds what it is there to find."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from cluster.models import Node
from jobs import lifecycle
from jobs.lifecycle import Closing
from jobs.models import Attempt, Job, Outcome, State
from tests.factories import NOW, make_job, make_node
from tests.faults.soak_check import check, explain
from tests.faults.soak_table import pauses


def tried(node: Node, outcome: Outcome, result: object = None, **body: Any) -> Job:
    """A job after one attempt."""
    job = make_job(**body)
    with transaction.atomic():
        attempt = Attempt.objects.create(
            job=job, number=1, node=node, bundle=job.pk, claimed_at=NOW
        )
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, tried=1, node=node)
    text = str(job.pk) if result is None else str(result)
    lifecycle.close([Closing(attempt.pk, outcome, result=text, exit_code=3)], NOW)
    return job


@pytest.mark.django_db
def test_soak_finds_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    node = make_node()
    good = tried(node, Outcome.SUCCEEDED)
    careful = tried(node, Outcome.LOST, on_lost="fail")
    meant = tried(node, Outcome.FAILED, name="fails")
    wrong = {
        make_job(): "lost, or without an end",
        tried(node, Outcome.SUCCEEDED, on_lost="fail"): "with on_lost=fail, asked 1",
        tried(node, Outcome.SUCCEEDED): "the ledger knows nothing",
        tried(node, Outcome.SUCCEEDED, result=0): "succeeded with the result '0'",
        tried(node, Outcome.FAILED): "failed, which it was not to",
        tried(node, Outcome.CANCELLED): "nobody asked for it",
    }
    again = list(wrong)[1]
    silent = list(wrong)[2]
    ledger = tmp_path / "ledger"
    ran = [good, careful, meant, again, again, *(job for job in wrong if job != silent)]
    ledger.write_text("".join(f"{job.pk}/1\n" for job in ran))
    found = check(len(wrong) + 3, ledger)
    for job, words in wrong.items():
        assert any(
            line.startswith(f"job {job.pk}: ") and words in line for line in found.violations
        )
    assert found.jobs == {job.pk for job in wrong}
    assert len(found.violations) == len(wrong) + 1  # attempt 1 of `again` ran three times
    assert (found.counts["lost"], found.counts["double"], found.counts["lost as asked"]) == (
        1,
        1,
        1,
    )
    assert f"ledger ['{good.pk}/1']" in "\n".join(explain({good.pk}, ledger))
    Node.objects.update(online=False)
    assert len(check(len(wrong) + 4, ledger).violations) == len(found.violations) + 2


def test_pauses_are_those_of_the_nodes_that_were_not_hit() -> None:
    def after(seconds: float) -> Any:
        return NOW + timedelta(seconds=seconds)

    done = [(after(-1), "a"), (after(1), "a"), (after(3), "b"), (after(4), "a"), (after(9), "b")]
    assert pauses(done, NOW, after(6)) == [1, 2, 1, 2]
    assert pauses(done, NOW, after(6), but="a") == [3, 3]
    assert pauses([], NOW, after(6)) == [6]

"""F23: a node is drained and taken back."""

import time
from pathlib import Path

import pytest
from django.test import Client

from cluster.models import Node
from jobs.models import Attempt, Job
from tests import factories
from tests.faults.record import verdict
from tests.faults.work import ended, ledger_job, make_job, outcomes, runs_on
from tests.live.fleet import fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(60)]


def test_f23_drain_and_resume(tmp_path: Path) -> None:
    ledger, go_on = tmp_path / "ledger", tmp_path / "go-on"
    browser = Client()
    browser.force_login(factories.make_user("operator", is_staff=True))
    with fleet(tmp_path, nodes=1) as one:
        one.up()
        node = Node.objects.get()
        url = f"/api/cluster/nodes/{node.name}"

        def read() -> dict[str, object]:
            return dict(browser.get(url).json())

        running = ledger_job(ledger, f"while [ ! -e {go_on} ]; do sleep 0.1; done")
        wait_for(lambda: runs_on(running, node.address), 10, "start")
        answer = browser.post(f"{url}/drain", {"reason": "new disk"}, "application/json")
        assert answer.status_code < 300, answer.content
        waiting = make_job(command="true")
        assert (read()["state"], read()["busy"]) == ("draining", 1)
        time.sleep(1)
        go_on.touch()
        assert ended(running, 10).state == "succeeded"
        wait_for(lambda: read()["state"] == "drained", 3, "drained")
        time.sleep(1.5)  # longer than a pass of the dispatcher
        assert Attempt.objects.count() == 1
        assert Job.objects.get(pk=waiting.pk).state == "queued"
        answer = browser.post(f"{url}/resume", content_type="application/json")
        assert answer.status_code < 300, answer.content
        started = time.monotonic()
        assert ended(waiting, 5).state == "succeeded"
        assert outcomes(running) == ["succeeded"]
        verdict("F23", [running, waiting], ledger, time.monotonic() - started, bound=5)

"""The replay against real nodes: what it says is what a clock says, and its advice holds."""

import json
import os
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Max, Min
from django.test import Client
from django.utils import timezone

from cluster import setting
from cluster.models import Node
from jobs.models import Job, Sweep
from jobs.submit import submit_sweep
from monitoring import advice, history
from monitoring.fleets import with_one_more
from monitoring.history import History
from monitoring.replay import Outcome, replay
from tests import factories
from tests.live.fleet import fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SECONDS = {"node-1": 1, "node-2": 3, "node-3": 6}
COMMAND = (
    "case $DISPYCLUSTER_NODE in "
    + " ".join(f"{name}) sleep {seconds} ;;" for name, seconds in SECONDS.items())
    + " esac"
)
JOBS = 60
WITHIN = 0.10


def run(count: int, command: str = COMMAND) -> Sweep:
    data = {"spec": {"kind": "command", "command": command}, "over": {"n": {"range": [0, count]}},
            "mode": "grid"}  # fmt: skip
    sweep = submit_sweep(data, factories.make_user(), timezone.now())
    unfinished = Job.objects.filter(sweep=sweep, finished_at=None)
    wait_for(lambda: not unfinished.exists(), 120, "sweep ended")
    return sweep


def measured(sweep: Sweep) -> float:
    """Seconds from the submit to the last result committed."""
    moments = Job.objects.filter(sweep=sweep).aggregate(Min("created_at"), Max("finished_at"))
    return (moments["finished_at__max"] - moments["created_at__min"]).total_seconds()


def days_since(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds() / 86400


def replayed(found: History, **scene: Any) -> Outcome:
    return replay(history.work_of(found), replace(history.scene_of(found), **scene))


def write_down(**figures: Any) -> None:
    if path := os.environ.get("DISPYCLUSTER_REPLAY_RECORD"):
        with Path(path).open("a") as file:
            file.write(json.dumps(figures) + "\n")


def test_a_replay_gives_the_measured_makespan_and_its_advice_moves_it_as_it_said(
    tmp_path: Path, client: Client
) -> None:
    with fleet(tmp_path, nodes=3, slots=2) as three:
        three.up()
        setting.choose("strategy", "least_connections", "test", timezone.now())
        run(18)  # until every node's speed is measured on real work
        slow = Node.objects.filter(speed__lt=0.7, speed_samples__gt=2)
        fast = Node.objects.filter(speed__gt=1.5)
        wait_for(lambda: slow.exists() and fast.exists(), 60, f"speeds measured\n{three.logs()}")

        first = run(JOBS)
        found = history.read(timezone.now(), days_since(first.created_at))
        assert len(found.ran) == JOBS
        before, told_before = measured(first), replayed(found).makespan
        told_after = {
            name: replayed(found, strategy=name).makespan
            for name in ("earliest_finish", "best_performance")
        }
        assert told_before == pytest.approx(before, rel=WITHIN)

        advice.study(timezone.now(), days_since(first.created_at), seconds=40)
        client.force_login(factories.make_user("chief", is_staff=True))
        listed = client.get("/api/cluster/optimize").json()
        [chosen] = [one for one in listed["recommendations"] if one["kind"] == "strategy"]
        assert chosen["id"] == "strategy:earliest_finish", listed
        answer = client.post(
            "/api/cluster/optimize", {"id": chosen["id"]}, content_type="application/json"
        )
        assert answer.status_code == 201, answer.content
        assert setting.read("strategy") == "earliest_finish"

        second = run(JOBS)
        again = history.read(timezone.now(), days_since(second.created_at))
        after, told_again = measured(second), replayed(again).makespan
        write_down(
            before=before, told_before=told_before, after=after, told_again=told_again,
            told_after=told_after, gain=chosen["gain"], overheads=listed["window"]["overheads"],
        )  # fmt: skip
        assert after < before
        assert after == pytest.approx(told_after["earliest_finish"], rel=WITHIN)
        assert told_again == pytest.approx(after, rel=WITHIN)

        undone = client.post(
            "/api/cluster/optimize/undo", {"change": answer.json()["change"]},
            content_type="application/json",
        )  # fmt: skip
        assert undone.status_code == 200, undone.content
        assert setting.read("strategy") == "least_connections"


@pytest.mark.both
def test_one_node_more_does_what_was_said(tmp_path: Path, client: Client) -> None:
    with fleet(tmp_path, nodes=3, slots=2) as fleet_of_two:
        spare = fleet_of_two.addresses[2]
        for address in fleet_of_two.addresses[:2]:
            fleet_of_two.start_node(address)
        fleet_of_two.start_dispatcher()
        online = Node.objects.filter(online=True)
        wait_for(lambda: online.count() == 2, 30, f"nodes up\n{fleet_of_two.logs()}")
        command = COMMAND.replace("node-3) sleep 6", "node-3) sleep 1")  # like node-1
        first = run(JOBS, command)
        found = history.read(timezone.now(), days_since(first.created_at))
        advice.study(timezone.now(), days_since(first.created_at), seconds=40)
        client.force_login(factories.make_user("chief", is_staff=True))
        listed = client.get("/api/cluster/optimize").json()
        [chosen] = [one for one in listed["recommendations"] if one["kind"] == "add_workers"]
        assert chosen["facts"]["model"] == "node-1" and chosen["gain"]["low"] > 0
        told_before = replayed(found).makespan
        told_after = replay(history.work_of(found), with_one_more(history.scene_of(found))).makespan

        fleet_of_two.start_node(spare)
        wait_for(lambda: online.count() == 3, 30, f"a third node\n{fleet_of_two.logs()}")
        second = run(JOBS, command)
        before, after = measured(first), measured(second)
        write_down(before=before, told_before=told_before, after=after, told_after=told_after,
                   gain=chosen["gain"])  # fmt: skip
        assert told_before == pytest.approx(before, rel=WITHIN)
        assert after < before
        assert told_after == pytest.approx(after, rel=WITHIN)


@pytest.mark.both
def test_short_jobs_that_ride_in_bundles(tmp_path: Path) -> None:
    with fleet(tmp_path, nodes=2, slots=2) as two:
        two.up()
        run(40, "sleep 0.03")  # until their length is known, and they ride together
        sweep = run(1000, "sleep 0.03")
        found = history.read(timezone.now(), days_since(sweep.created_at))
        assert len(found.ran) == 1000
        took, told = measured(sweep), replayed(found)
        write_down(
            short=took, told=told.makespan, bundles=told.bundles,
            sent=len({row.bundle for row in found.ran}), overheads=asdict(found.overheads),
            work=sum(row.run_seconds for row in found.ran),
        )  # fmt: skip
        assert told.makespan == pytest.approx(took, rel=WITHIN)

"""A node against its own past, on the same specs."""

import math
from datetime import datetime, timedelta

import pytest

from cluster.models import Node
from jobs.models import RunTime, Spec
from monitoring import alerts, pace
from monitoring.models import Alert, Pace
from monitoring.pace import of_nodes
from tests.factories import make_job, make_node
from tests.monitoring.watched import well, with_node


def test_a_node_alone_is_held_against_its_past() -> None:
    slow = of_nodes({1: {7: (math.log(2), 40)}})
    assert slow[7].factor == pytest.approx(2)
    assert (slow[7].runs, slow[7].spec) == (40, 1)


def test_work_that_grew_everywhere_makes_no_node_slow() -> None:
    grown = {1: {node: (math.log(3), 40) for node in (1, 2, 3)}}
    assert {round(slow.factor, 6) for slow in of_nodes(grown).values()} == {1.0}
    one = {1: {1: (math.log(3), 40), 2: (0.0, 40), 3: (0.0, 40)}}
    factors = {node: slow.factor for node, slow in of_nodes(one).items()}
    assert factors == {1: pytest.approx(3), 2: pytest.approx(3**-0.5), 3: pytest.approx(3**-0.5)}


def test_specs_count_by_their_runs() -> None:
    both = {1: {7: (math.log(2), 50)}, 2: {7: (0.0, 25)}}
    assert of_nodes(both)[7].factor == pytest.approx(2 ** (2 / 3))
    assert of_nodes(both)[7].spec == 1


@pytest.fixture
def node(db: None) -> Node:
    return make_node("pi-1")


def ran(node: Node, spec: Spec, seconds: float, now: datetime, count: int = 30) -> None:
    RunTime.objects.update_or_create(
        spec=spec, node=node,
        defaults={"count": count, "log_mean": math.log(seconds), "log_variance": 0.1,
                  "updated_at": now},
    )  # fmt: skip


def test_the_past_follows_slowly(node: Node, now: datetime) -> None:
    spec = make_job(now).spec
    ran(node, spec, 1.0, now)
    assert pace.keep(now) == 1
    later = now + timedelta(minutes=5)
    ran(node, spec, 2.0, later)
    assert pace.keep(later) == 0  # not yet
    assert pace.slowdowns(later)[node.pk].factor == pytest.approx(2)
    moment = now
    for _ in range(12 * 24):  # two days
        moment += timedelta(minutes=10)
        ran(node, spec, 2.0, moment)
        pace.keep(moment)
    assert Pace.objects.count() == 1
    assert pace.slowdowns(moment)[node.pk].factor < 1.05  # the new normal


def test_what_ran_seldom_or_not_lately_tells_nothing(node: Node, now: datetime) -> None:
    spec = make_job(now).spec
    ran(node, spec, 1.0, now, count=5)
    assert pace.keep(now) == 0
    ran(node, spec, 1.0, now)
    pace.keep(now)
    assert pace.slowdowns(now + timedelta(hours=1)) == {}


def test_a_slow_node_becomes_an_alert(node: Node, now: datetime) -> None:
    slow = {"slowdown": 1.8, "slowdown_runs": 60, "slowdown_spec": 3}
    for seconds in (0, 120):
        moment = now + timedelta(seconds=seconds)
        alerts.judge(with_node(well(1, moment), "pi-1", **slow), moment)
    [alert] = Alert.objects.all()
    assert (alert.rule, alert.state, alert.value) == ("slow_node", "firing", 1.8)

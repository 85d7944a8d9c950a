"""Findings folded into alerts over time: when they fire, who is told, when they are over."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring import alerts, rule_settings, silences
from monitoring.models import Alert, AlertState
from monitoring.rules import RULES
from tests.factories import NOW
from tests.monitoring.watched import FakeNode, FakeSnapshot, lose, well, with_node

pytestmark = pytest.mark.django_db

Sent = list[tuple[str, list[str]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What was announced: (kind, ["rule subject", …])."""
    told: Sent = []

    def announce(kind: str, found: Sequence[Alert], now: datetime) -> None:
        assert all(one.pk for one in found)
        told.append((kind, [f"{one.rule} {one.subject}".strip() for one in found]))

    monkeypatch.setattr(alerts.notify, "announce", announce)
    return told


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def run(
    make: Callable[[datetime], FakeSnapshot], start: float, end: float, step: float = 10
) -> None:
    """Judge every ten seconds, as the monitor does, and when it is due."""
    moment = start
    while moment <= end:
        due = alerts.judge(make(at(moment)), at(moment))
        if due is not None and start < (due - NOW).total_seconds() < moment + step:
            moment = max(moment + 1, (due - NOW).total_seconds())
        else:
            moment += step


def all_well(moment: datetime) -> FakeSnapshot:
    return well(8, moment)


def without(*names: str, since: float = 0) -> Callable[[datetime], FakeSnapshot]:
    return lambda moment: lose(well(8, moment), at(since), *names)


def states() -> list[str]:
    return [f"{one.rule} {one.subject}: {one.state}" for one in Alert.objects.order_by("pk")]


def test_a_killed_node_fires_once_and_is_over_once_it_is_back(sent: Sent) -> None:
    run(without("pi-2"), 8, 8)
    assert states() == ["node_down pi-2: pending"]
    assert sent == []
    run(without("pi-2"), 9, 60)
    assert states() == ["node_down pi-2: firing"]
    [alert] = Alert.objects.all()
    assert alert.started_at == at(0)
    assert alert.fired_at is not None
    assert alert.fired_at <= at(20)
    assert alerts.acknowledge(alert, "alice", at(65))
    run(without("pi-2"), 70, 100)
    run(all_well, 110, 120)
    assert states() == ["node_down pi-2: acknowledged"]
    run(all_well, 130, 300)
    alert.refresh_from_db()
    assert alert.state == "resolved"
    assert alert.acknowledged_by == "alice"
    assert sent == [("firing", ["node_down pi-2"]), ("resolved", ["node_down pi-2"])]


@pytest.mark.parametrize("first_pass", [0, 4, 8, 9.9])
def test_a_node_is_down_for_twenty_seconds_at_most_before_it_fires(
    sent: Sent, first_pass: float
) -> None:
    """It is noticed after eight seconds at the latest, and the monitor looks every ten."""

    def noticed(moment: datetime) -> FakeSnapshot:
        return without("pi-2")(moment) if moment >= at(8) else all_well(moment)

    run(noticed, first_pass, 40)
    [alert] = Alert.objects.all()
    assert alert.fired_at is not None
    assert alert.fired_at <= at(20)


@pytest.mark.parametrize("spread", [0, 3, 4])
def test_eight_nodes_killed_at_once_are_one_alert_and_one_notice(sent: Sent, spread: int) -> None:
    """Even if they are noticed one after the other, over several passes."""

    def noticed(moment: datetime) -> FakeSnapshot:
        count = 8 if not spread else min(8, int((moment - NOW).total_seconds() / 10) * spread)
        return without(*(f"pi-{number + 1}" for number in range(count)))(moment)

    run(noticed, 10, 120)
    assert states() == ["nodes_down : firing"]
    [alert] = Alert.objects.all()
    assert alert.facts["away"] == [f"pi-{number + 1}" for number in range(8)]
    assert len(alert.inside) == 8
    assert sent == [("firing", ["nodes_down"])]
    run(without("pi-7"), 130, 200)  # all but one come back
    alert.refresh_from_db()
    assert alert.facts["away"] == ["pi-7"]
    run(all_well, 210, 260)
    assert states() == ["nodes_down : resolved"]
    assert sent[1:] == [("resolved", ["nodes_down"])]


@pytest.mark.parametrize("first_pass", [3, 5, 7, 9, 11])
def test_nodes_noticed_second_by_second_are_one_alert(sent: Sent, first_pass: int) -> None:
    def noticed(moment: datetime) -> FakeSnapshot:
        seconds = int((moment - NOW).total_seconds())
        return without(*(f"pi-{n + 1}" for n in range(max(0, min(8, seconds - 4)))))(moment)

    run(noticed, first_pass, 60)
    assert states() == ["nodes_down : firing"]
    assert sent == [("firing", ["nodes_down"])]


def test_the_alert_of_one_node_grows_where_others_follow_late(sent: Sent) -> None:
    run(without("pi-1"), 10, 20)
    assert states() == ["node_down pi-1: firing"]

    def others(moment: datetime) -> FakeSnapshot:
        found = lose(well(8, moment), at(0), "pi-1")
        return lose(found, at(18), "pi-2", "pi-3", "pi-4")

    run(others, 30, 60)
    assert states() == ["nodes_down : firing"]
    assert sent == [("firing", ["node_down pi-1"]), ("firing", ["nodes_down"])]  # it is worse
    run(all_well, 70, 120)
    assert sent[2:] == [("resolved", ["nodes_down"])]


def test_two_nodes_lost_far_apart_are_two_alerts(sent: Sent) -> None:
    run(without("pi-1"), 10, 200)
    run(lambda moment: lose(without("pi-1")(moment), at(205), "pi-2"), 210, 300)
    assert states() == ["node_down pi-1: firing", "node_down pi-2: firing"]


def test_a_node_that_is_down_has_no_length_that_would_stand_still(sent: Sent) -> None:
    run(without("pi-2"), 8, 4000)
    [alert] = Alert.objects.all()
    assert (alert.started_at, alert.value, RULES["node_down"].unit) == (at(0), None, "")


def test_nothing_is_written_when_nothing_changes(sent: Sent) -> None:
    def busy(moment: datetime) -> FakeSnapshot:
        found = with_node(without("pi-2")(moment), "pi-1", temperature=90.0)
        return with_node(found, "pi-3", memory_free=int(10**8 - (moment - NOW).total_seconds()))

    run(busy, 10, 400)
    with CaptureQueriesContext(connection) as captured:
        run(busy, 410, 500)
    written = [q["sql"] for q in captured.captured_queries if not q["sql"].startswith("SELECT")]
    assert written == []


def test_a_pass_takes_a_fixed_number_of_statements(sent: Sent) -> None:
    def many(count: int) -> int:
        Alert.objects.all().delete()

        def make(moment: datetime) -> FakeSnapshot:
            nodes = tuple(
                FakeNode(f"n-{number}", last_seen_at=moment, temperature=99.0)
                for number in range(count)
            )
            return FakeSnapshot(**{**vars(well(count, moment)), "nodes": nodes})

        with CaptureQueriesContext(connection) as captured:
            alerts.judge(make(at(0)), at(0))
            alerts.judge(make(at(60)), at(60))
        assert Alert.objects.filter(state="firing").count() == count
        return len(captured)

    assert many(2) == many(60)


def test_a_silent_dispatcher_swallows_the_queue_and_keeps_what_was_open(sent: Sent) -> None:
    run(without("pi-1"), 10, 40)

    def silent(moment: datetime) -> FakeSnapshot:
        return FakeSnapshot(**{**vars(without("pi-1")(moment)), "dispatcher_at": at(45), "ready": 9,
                               "ready_before": 5, "oldest_wait_seconds": 9e4})  # fmt: skip

    run(silent, 50, 400)
    assert states() == ["node_down pi-1: firing", "dispatcher_silent : firing"]
    run(lambda m: FakeSnapshot(**{**vars(well(8, m)), "dispatcher_since": at(405)}), 410, 425)
    assert states()[0] == "node_down pi-1: firing"  # not heard for long enough yet
    run(all_well, 440, 500)
    assert states() == ["node_down pi-1: resolved", "dispatcher_silent : resolved"]


def test_a_silence_holds_back_the_notice_until_it_ends(sent: Sent) -> None:
    silences.add("node_down", "pi-2", "a new disk", at(100), "alice", at(0))
    run(without("pi-2"), 10, 90)
    assert states() == ["node_down pi-2: firing"]
    assert sent == []
    run(without("pi-2"), 101, 120)
    assert sent == [("firing", ["node_down pi-2"])]


def test_what_begins_and_ends_in_maintenance_is_never_told(sent: Sent) -> None:
    silences.start_maintenance("moving", at(1000), "alice", at(0))
    run(without("pi-2"), 10, 90)
    run(all_well, 100, 1100)
    assert states() == ["node_down pi-2: resolved"]
    assert sent == []


def test_silences_of_each_node_cover_the_alert_of_many(sent: Sent) -> None:
    for name in ("pi-1", "pi-2", "pi-3"):
        silences.add("", name, "new rack", at(1000), "alice", at(0))
    run(without("pi-1", "pi-2", "pi-3"), 10, 60)
    assert states() == ["nodes_down : firing"]
    assert sent == []


def test_a_pending_alert_that_comes_to_nothing_leaves_no_trace(sent: Sent) -> None:
    alerts.judge(with_node(well(), "pi-1", temperature=99.0), at(0))
    assert states() == ["hot_node pi-1: pending"]
    alerts.judge(well(at=at(10)), at(10))
    assert states() == []


def test_a_rule_that_is_switched_off_ends_its_alerts(sent: Sent) -> None:
    run(lambda m: with_node(well(at=m), "pi-1", temperature=99.0), 0, 70)
    assert states() == ["hot_node pi-1: firing"]
    rule_settings.change("hot_node", False, None, None, "alice", at(75))
    run(lambda m: with_node(well(at=m), "pi-1", temperature=99.0), 80, 300)
    assert states() == ["hot_node pi-1: resolved"]


def test_hold_and_threshold_are_those_that_people_set(sent: Sent) -> None:
    rule_settings.change("hot_node", True, 50.0, 0.0, "alice", at(0))
    alerts.judge(well(1), at(0))
    assert states() == ["hot_node pi-1: firing"]
    rule_settings.change("hot_node", True, 80.0, 60.0, "alice", at(0))  # as it comes
    assert rule_settings.read()["hot_node"].hold == 60
    assert not rule_settings.RuleSetting.objects.exists()


def test_an_acknowledgement_amid_a_pass_is_kept(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(without("pi-2"), 10, 30)
    real = alerts.write

    def late(plan: alerts.Plan, *more: object) -> None:
        alerts.acknowledge(Alert.objects.get(), "alice", at(200))
        real(plan, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(alerts, "write", late)
    alerts.judge(all_well(at(200)), at(200))
    [alert] = Alert.objects.all()
    assert (alert.state, alert.cleared_at) == ("acknowledged", at(200))
    monkeypatch.undo()


heats = st.lists(st.floats(60, 100), min_size=20, max_size=60)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(heats=heats)
def test_alerts_do_not_flap_and_each_subject_has_one_at_most(
    sent: Sent, heats: list[float]
) -> None:
    """However the value moves: it takes the hold to fire and the clear hold to be over."""
    Alert.objects.all().delete()
    sent.clear()
    for place, heat in enumerate(heats):
        moment = at(10 * place)
        alerts.judge(with_node(well(2, moment), "pi-1", temperature=heat), moment)
        assert Alert.objects.filter(resolved_at=None).count() <= 1
    fired = [one for one in Alert.objects.order_by("pk") if one.fired_at]
    for one in fired:
        assert one.fired_at and (one.fired_at - one.started_at).total_seconds() >= 60
        if one.state == AlertState.RESOLVED:
            assert one.resolved_at and one.cleared_at
            assert (one.resolved_at - one.cleared_at).total_seconds() >= 120
    kinds = [kind for kind, _ in sent]
    assert kinds == ["firing", "resolved"] * (len(kinds) // 2) + ["firing"] * (len(kinds) % 2)
    assert kinds.count("firing") == len(fired)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    passes=st.lists(
        st.tuples(st.sets(st.integers(1, 8)), st.booleans(), st.booleans()), max_size=25
    )
)
def test_whatever_happens_every_subject_has_one_open_alert_at_most(
    sent: Sent, passes: list[tuple[set[int], bool, bool]]
) -> None:
    """And a recovery is told only of what was told before."""
    Alert.objects.all().delete()
    sent.clear()
    since: dict[int, datetime] = {}
    for place, (down, heard, acknowledges) in enumerate(passes):
        moment = at(10 * place)
        since = {number: since.get(number, moment) for number in down}
        snapshot = well(8, moment)
        for number, lost_at in since.items():
            snapshot = lose(snapshot, lost_at, f"pi-{number}")
        if not heard:
            snapshot = FakeSnapshot(**{**vars(snapshot), "dispatcher_at": at(-100)})
        alerts.judge(snapshot, moment)
        still_open = list(Alert.objects.filter(resolved_at=None))
        named = [one.subject for one in still_open if one.rule == "node_down"]
        for one in still_open:
            named += one.facts["away"] if one.rule == "nodes_down" else []
        assert len(named) == len(set(named))
        if acknowledges and still_open:
            alerts.acknowledge(still_open[0], "alice", moment)
    told = {name for kind, names in sent if kind == "firing" for name in names}
    over = {name for kind, names in sent if kind == "resolved" for name in names}
    assert over <= told

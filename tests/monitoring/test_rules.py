"""What the rules find, each by itself, and how findings of one cause come together."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.causes import Causes, Known, put_together
from monitoring.failing import Failing
from monitoring.rules import RULES, Changed, Found, find, with_changes
from tests.factories import NOW
from tests.monitoring.watched import FakeSnapshot, lose, well, with_node

GB = 10**9
MINUTE = timedelta(minutes=1)


def found(snapshot: FakeSnapshot, is_open: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """The rules that hold, as "rule subject"."""
    return [f"{f.rule} {f.subject}".strip() for f in find(snapshot, RULES, is_open).findings]


def told(snapshot: FakeSnapshot, *known: Known) -> Causes:
    is_open = {one.key for one in known if one.is_open}
    return put_together(find(snapshot, RULES, is_open), RULES, known, len(snapshot.nodes))


def names(causes: Causes) -> list[str]:
    return [f"{c.finding.rule} {c.finding.subject}".strip() for c in causes.told]


def test_where_all_is_well_nothing_is_found() -> None:
    assert found(well()) == []
    assert find(well(), RULES).unknown == frozenset()
    assert found(well(0)) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"breaker_reason": "3 different jobs were lost"}, "breaker_open pi-2"),
        ({"lost": 5}, "dispatch_errors pi-2"),
        ({"disk_free": GB // 2}, "disk_low pi-2"),
        ({"scratch_read_only": True}, "disk_low pi-2"),
        ({"memory_free": GB // 10}, "memory_low pi-2"),
        ({"temperature": 81.0}, "hot_node pi-2"),
        ({"throttled": ("under_voltage",)}, "throttled_node pi-2"),
        ({"slowdown": 1.6}, "slow_node pi-2"),
        ({"clock_skew_seconds": -6.0}, "clock_skew pi-2"),
        ({"online": False, "last_seen_at": NOW - MINUTE}, "node_down pi-2"),
    ],
)
def test_each_rule_of_a_node_finds_its_own(changes: dict[str, Any], rule: str) -> None:
    assert found(with_node(well(), "pi-2", **changes)) == [rule]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"dispatcher_note": "only 3 MB free"}, "dispatcher_halted"),
        ({"ready": 50, "ready_before": 40, "oldest_wait_seconds": 1000.0}, "overload"),
        ({"ready": 50, "ready_before": 60, "free_slots": 0}, "no_free_slot"),
        ({"ended_hour": (60, 40)}, "success_falling"),
        ({"ended_hour": (60, 40), "ended_day_before": (0, 0)}, "success_falling"),
        ({"stuck": {"jobs": 2, "job": 7, "why": "pi-1: lacks the tag gpu"}}, "stuck_jobs"),
        ({"home_free": GB // 2}, "home_disk_low"),
        ({"database_growth": 10.0 * GB}, "database_growing"),
        ({"undelivered": 1}, "undelivered_notices"),
    ],
)
def test_each_rule_of_the_cluster_finds_its_own(changes: dict[str, Any], rule: str) -> None:
    assert found(well(**changes)) == [rule]


@pytest.mark.parametrize(
    "changes",
    [
        {"ready": 50, "ready_before": 60, "oldest_wait_seconds": 9999.0},  # it drains
        {"ready": 50, "ready_before": 40, "oldest_wait_seconds": 100.0},  # a batch just came
        {"ended_hour": (5, 10)},  # too few to tell
        {"ended_hour": (70, 30), "ended_day_before": (700, 300)},  # as always
        {"database_growth": -5.0},
        {"ready": 5, "free_slots": 1},
    ],
)
def test_normal_work_is_quiet(changes: dict[str, Any]) -> None:
    assert found(well(**changes)) == []


def failing(*ids: int) -> FakeSnapshot:
    return well(failing=tuple(
        Failing(pk, f"s{pk}", 3, "failed", NOW - MINUTE, NOW, job=pk) for pk in ids
    ))  # fmt: skip


def test_many_failing_schedules_are_told_in_one() -> None:
    assert names(told(failing(1, 2, 3, 4, 5))) == [
        f"schedule_failing schedule {n}" for n in range(1, 6)
    ]
    causes = told(failing(*range(1, 101)))
    assert names(causes) == ["schedule_failing"] and len(causes.swallowed) == 100
    own = Known("schedule_failing", "schedule 100")
    causes = told(failing(*range(1, 101)), own)
    assert sorted(names(causes)) == ["schedule_failing", "schedule_failing schedule 100"]
    together = Known("schedule_failing", "", {"schedules": [1, 2]})
    causes = told(failing(2, 3), together)
    assert sorted(names(causes)) == ["schedule_failing", "schedule_failing schedule 3"]
    over = Known("schedule_failing", "", {"schedules": [2]}, is_open=False)
    assert names(told(failing(2), over)) == ["schedule_failing schedule 2"]


def test_a_draining_node_may_go_and_a_new_one_may_take_its_time() -> None:
    gone = {"online": False, "last_seen_at": NOW - MINUTE}
    assert found(with_node(well(), "pi-2", draining=True, **gone)) == []
    new = {"online": False, "last_seen_at": None}
    assert found(with_node(well(), "pi-2", added_at=NOW - MINUTE, **new)) == []
    late = with_node(well(), "pi-2", added_at=NOW - 6 * MINUTE, **new)
    assert found(late) == ["node_down pi-2"]


def test_a_silent_dispatcher_is_the_only_finding_and_nodes_are_unknown() -> None:
    silent = lose(well(), NOW - MINUTE, "pi-1", "pi-2", "pi-3")
    silent = FakeSnapshot(**{**vars(silent), "dispatcher_at": NOW - MINUTE, "ready": 9,
                             "ready_before": 3, "oldest_wait_seconds": 5000.0})  # fmt: skip
    causes = told(silent)
    assert names(causes) == ["dispatcher_silent"]
    assert {("node_down", "pi-1"), ("nodes_down", ""), ("overload", "")} <= causes.unknown


def test_a_dispatcher_that_has_just_started_has_not_heard_the_nodes_yet() -> None:
    young = lose(well(dispatcher_since=NOW - timedelta(seconds=5)), NOW - MINUTE, "pi-1")
    causes = told(young)
    assert names(causes) == []
    assert ("node_down", "pi-1") in causes.unknown


def test_a_dispatcher_that_never_ran_is_said_so() -> None:
    [finding] = find(well(dispatcher_at=None, dispatcher_since=None), RULES).findings
    assert (finding.rule, finding.facts) == ("dispatcher_silent", {"never": True})


def test_consequences_are_inside_their_cause() -> None:
    down = lose(well(), NOW - MINUTE, "pi-2")
    down = with_node(down, "pi-2", breaker_reason="lost", lost=9)
    [cause] = told(down).told
    assert cause.finding.key == ("node_down", "pi-2")
    assert [one.rule for one in cause.inside] == ["dispatch_errors"]  # the reading is stale
    hot = with_node(well(), "pi-2", temperature=90.0, throttled=("throttled",), slowdown=2.0)
    [cause] = told(hot).told
    assert cause.finding.rule == "hot_node"
    assert {one.rule for one in cause.inside} == {"throttled_node", "slow_node"}


def test_what_another_node_does_is_no_consequence() -> None:
    both = with_node(lose(well(), NOW - MINUTE, "pi-2"), "pi-1", lost=9)
    assert names(told(both)) == ["node_down pi-2", "dispatch_errors pi-1"]


def test_nodes_lost_within_half_a_minute_are_one_finding() -> None:
    lost = lose(well(8), NOW - MINUTE, "pi-1", "pi-2")
    lost = lose(lost, NOW - MINUTE / 2, "pi-3")
    [cause] = told(lost).told
    assert cause.finding.key == ("nodes_down", "")
    assert cause.finding.facts["away"] == ["pi-1", "pi-2", "pi-3"]
    assert cause.finding.since == NOW - MINUTE
    assert len(cause.inside) == 3
    apart = lose(well(8), NOW - 9 * MINUTE, "pi-1", "pi-2")
    assert names(told(lose(apart, NOW - MINUTE, "pi-3"))) == [
        "node_down pi-1", "node_down pi-2", "node_down pi-3",
    ]  # fmt: skip


def test_half_of_a_small_fleet_is_many_but_one_node_is_not() -> None:
    assert names(told(lose(well(4), NOW - MINUTE, "pi-1", "pi-2"))) == ["nodes_down"]
    assert names(told(lose(well(2), NOW - MINUTE, "pi-1"))) == ["node_down pi-1"]
    assert names(told(lose(well(1), NOW - MINUTE, "pi-1"))) == ["node_down pi-1"]


def test_the_last_of_many_is_told_of_with_them_until_it_is_back() -> None:
    before = Known("nodes_down", "", {"nodes": ["pi-1", "pi-2", "pi-3"]})
    [cause] = told(lose(well(8), NOW - 20 * MINUTE, "pi-2"), before).told
    assert cause.finding.key == ("nodes_down", "")
    assert cause.finding.facts == {"nodes": ["pi-1", "pi-2", "pi-3"], "away": ["pi-2"], "fleet": 8}
    later = lose(lose(well(8), NOW - 20 * MINUTE, "pi-2"), NOW - MINUTE, "pi-7")
    assert names(told(later, before)) == ["node_down pi-7", "nodes_down"]


def test_what_a_cause_left_behind_is_not_told_again() -> None:
    over = Known("node_down", "pi-2", is_open=False)
    lost = with_node(well(), "pi-2", lost=9)
    assert names(told(lost)) == ["dispatch_errors pi-2"]
    assert names(told(lost, over)) == []
    hot = with_node(well(), "pi-2", temperature=90.0)  # does not look back
    assert names(told(hot, over)) == ["hot_node pi-2"]


def test_an_open_alert_holds_until_its_clearing_threshold() -> None:
    warm = with_node(well(), "pi-1", temperature=77.0)
    assert found(warm) == []
    assert found(warm, (("hot_node", "pi-1"),)) == ["hot_node pi-1"]
    cool = with_node(well(), "pi-1", temperature=75.0)
    assert found(cool, (("hot_node", "pi-1"),)) == []
    some = with_node(well(), "pi-1", disk_free=int(1.1 * GB))
    assert found(some, (("disk_low", "pi-1"),)) == ["disk_low pi-1"]


def test_thresholds_can_be_set_and_rules_switched_off() -> None:
    rules = with_changes({"hot_node": Changed(threshold=50), "disk_low": Changed(enabled=False)})
    snapshot = with_node(well(1), "pi-1", disk_free=0)
    assert [f.rule for f in find(snapshot, rules).findings] == ["hot_node"]
    assert with_changes({}) == RULES


def test_causes_come_before_their_consequences_in_the_table() -> None:
    """So there are no circles, and each name is known."""
    places = list(RULES)
    for rule in RULES.values():
        for cause in rule.consequence_of:
            assert places.index(cause) < places.index(rule.name), rule.name


some_nodes = st.lists(st.sampled_from([f"pi-{n + 1}" for n in range(8)]), unique=True)


@given(
    lost=st.dictionaries(st.integers(1, 8), st.integers(0, 3600), max_size=8),
    hot=some_nodes, broken=some_nodes, ready=st.integers(0, 100), before=some_nodes,
    heard=st.integers(0, 60), started=st.integers(0, 60),
)  # fmt: skip
def test_every_finding_is_told_exactly_once(
    lost: dict[int, int], hot: list[str], broken: list[str], ready: int, before: list[str],
    heard: int, started: int,
) -> None:  # fmt: skip
    snapshot = well(
        8, ready=ready, ready_before=50, oldest_wait_seconds=2000.0,
        dispatcher_since=NOW - timedelta(seconds=started),
    )  # fmt: skip
    snapshot = FakeSnapshot(
        **{**vars(snapshot), "dispatcher_at": NOW - timedelta(seconds=heard)}
    )  # fmt: skip
    for name in hot:
        snapshot = with_node(snapshot, name, temperature=99.0, lost=9)
    for name in broken:
        snapshot = with_node(snapshot, name, breaker_reason="lost")
    for number, seconds in lost.items():
        snapshot = lose(snapshot, NOW - timedelta(seconds=seconds), f"pi-{number}")
    known = [Known("nodes_down", "", {"nodes": before})] if before else []
    rules_found: Found = find(snapshot, RULES)
    causes = put_together(rules_found, RULES, known, 8)
    all_told = [c.finding.key for c in causes.told]
    inside = [one.key for c in causes.told for one in c.inside]
    assert len(set(all_told)) == len(all_told)
    assert not set(all_told) & set(causes.swallowed)
    assert len(set(inside)) == len(inside)
    expected = {f.key for f in rules_found.findings}
    assert expected <= set(all_told) | set(causes.swallowed)
    assert set(all_told) | set(inside) <= expected | {("nodes_down", "")}

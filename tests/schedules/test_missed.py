"""What is done about the times that have come."""

from datetime import UTC, datetime, timedelta

from schedules.missed import MOST_CAUGHT_UP, plan
from schedules.times import Rule

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
HOURLY = Rule("UTC", "0 * * * *")
NEXT = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)


def hour(number: int) -> datetime:
    return datetime(2026, 3, 1, number, 0, tzinfo=UTC)


def test_on_time_all_policies_do_the_same() -> None:
    for policy in ("skip", "once", "all"):
        found = plan(HOURLY, hour(12), NOW, policy)
        assert (found.start, found.left_out, found.then) == ([hour(12)], None, NEXT)


def test_skip_leaves_out_what_nobody_was_there_for() -> None:
    found = plan(HOURLY, hour(9), NOW + timedelta(minutes=10), "skip")
    assert (found.start, found.left_out, found.then) == ([], (hour(9), hour(12)), NEXT)


def test_skip_starts_the_newest_where_it_is_not_late() -> None:
    found = plan(HOURLY, hour(9), NOW, "skip")
    assert (found.start, found.left_out) == ([hour(12)], (hour(9), hour(11)))


def test_once_starts_the_newest_however_late() -> None:
    found = plan(HOURLY, hour(9), NOW + timedelta(minutes=50), "once")
    assert (found.start, found.left_out) == ([hour(12)], (hour(9), hour(11)))


def test_all_starts_each() -> None:
    found = plan(HOURLY, hour(9), NOW, "all")
    assert found.start == [hour(9), hour(10), hour(11), hour(12)]
    assert found.left_out is None


def test_all_has_a_limit_and_takes_the_newest() -> None:
    rule = Rule("UTC", every_seconds=60, anchor=hour(0))
    due = hour(0)
    found = plan(rule, due, NOW, "all")
    assert len(found.start) == MOST_CAUGHT_UP
    assert found.start[-1] == hour(12)
    assert found.left_out == (due, found.start[0] - timedelta(minutes=1))


def test_a_rule_that_is_over_has_no_next_time() -> None:
    rule = Rule("UTC", "0 * * * *", end_at=hour(12))
    found = plan(rule, hour(12), NOW, "once")
    assert (found.start, found.then) == ([hour(12)], None)

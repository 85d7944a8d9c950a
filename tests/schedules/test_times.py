"""When a schedule is due, against the clock on the wall itself."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedules.times import BadTime, Rule, check_cron, last_times, next_time, next_times

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago",
         "Africa/Cairo", "Asia/Kolkata", "UTC"]  # fmt: skip
SPRING = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 02:00 CET becomes 03:00 CEST
AUTUMN = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)  # 03:00 CEST becomes 02:00 CET
moments = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)
minutes = st.sampled_from(["*", "*/15", "*/30", "0", "30", "0,30", "5-10"])
hours = st.sampled_from(["*", "*/2", "0", "1", "2", "2,3", "0-3", "23"])
days = st.sampled_from(["*", "1", "29", "L", "*/7"])
weekdays = st.sampled_from(["*", "SUN", "1-5", "SUN#1", "0L"])
crons = st.tuples(minutes, hours, days, st.just("*"), weekdays).map(" ".join)


def walls(cron: str, after: datetime, count: int, zone: str = "Europe/Berlin") -> list[str]:
    found = next_times(Rule(zone, cron), after, count)
    return [f"{at.astimezone(ZoneInfo(zone)):%m-%d %H:%M %z}" for at in found]


def test_a_time_that_the_clock_leaves_out_comes_at_the_first_minute_after_the_gap() -> None:
    assert walls("30 2 * * *", datetime(2026, 3, 28, 0, 0, tzinfo=UTC), 3) == [
        "03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200",
    ]  # fmt: skip


def test_two_times_in_the_gap_come_together_once() -> None:
    after = SPRING - timedelta(hours=1)
    assert walls("0,30 2 * * *", after, 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]
    assert walls("0 2,3 * * *", after, 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]


def test_a_time_that_comes_twice_counts_when_it_comes_first() -> None:
    assert walls("30 2 * * *", datetime(2026, 10, 24, 12, 0, tzinfo=UTC), 2) == [
        "10-25 02:30 +0200", "10-26 02:30 +0100",
    ]  # fmt: skip
    between = AUTUMN + timedelta(minutes=10)  # 02:10, the second time
    assert walls("30 2 * * *", between, 1) == ["10-26 02:30 +0100"]


def test_every_half_hour_goes_on_through_the_hour_that_comes_twice() -> None:
    assert walls("*/30 * * * *", AUTUMN - timedelta(minutes=61), 5) == [
        "10-25 02:00 +0200", "10-25 02:30 +0200", "10-25 02:00 +0100", "10-25 02:30 +0100",
        "10-25 03:00 +0100",
    ]  # fmt: skip


def test_every_half_hour_goes_on_over_the_gap() -> None:
    assert walls("*/30 * * * *", SPRING - timedelta(minutes=31), 3) == [
        "03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200",
    ]  # fmt: skip


def test_a_yearly_date_in_the_hour_that_comes_twice_is_found_from_afar() -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    assert walls("*/30 2 25 10 *", after, 2) == ["10-25 02:00 +0200", "10-25 02:30 +0200"]


def test_seconds_count_as_a_stop_watch_does() -> None:
    rule = Rule("Europe/Berlin", every_seconds=3600, anchor=SPRING - timedelta(minutes=90))
    found = next_times(rule, SPRING - timedelta(hours=2), 4)
    assert {later - sooner for sooner, later in pairwise(found)} == {timedelta(hours=1)}
    assert found[0] == SPRING - timedelta(minutes=90)


@settings(max_examples=25, deadline=None)
@given(crons, st.sampled_from(ZONES), moments)
@example("*/30 2 * * *", "Europe/Berlin", AUTUMN - timedelta(hours=3))
@example("*/15 0 * * *", "America/Santiago", datetime(2026, 9, 5, 20, 0, tzinfo=UTC))
@example("*/15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 3, 10, 0, tzinfo=UTC))
@example("0 0-3 * * *", "Africa/Cairo", datetime(2026, 4, 23, 20, 0, tzinfo=UTC))
def test_times_are_those_that_the_wall_shows(cron: str, zone: str, after: datetime) -> None:
    """Two days of minutes, one by one: what a naive reader of the clock would see."""
    after = after.replace(second=0, microsecond=0)
    until, wall = after + timedelta(days=2), ZoneInfo(zone)
    found = [at for at in next_times(Rule(zone, cron), after, 3000) if at <= until]
    fixed = not any(part.startswith("*") for part in cron.split()[:2])
    seen: set[datetime] = set()
    expected = []
    at = after - timedelta(days=2)
    while (at := at + timedelta(minutes=1)) <= until:
        reading = at.astimezone(wall).replace(tzinfo=None)
        again = fixed and reading in seen
        seen.add(reading)
        if at > after and matches(cron, reading) and not again:
            expected.append(at)
    left_out = set(found) - set(expected)
    assert set(expected) <= set(found)
    for at in left_out:  # the first minute after a gap, in place of what is in it
        reading = at.astimezone(wall).replace(tzinfo=None)
        assert fixed and reading - timedelta(minutes=1) not in seen
    assert found == sorted(set(found))


def matches(cron: str, reading: datetime) -> bool:
    return next(CronSim(cron, reading - timedelta(seconds=1)), None) == reading


@settings(max_examples=100, deadline=None)
@given(crons, st.sampled_from(ZONES), moments, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_the_next_time_is_the_same_from_wherever_one_looks(
    cron: str, zone: str, after: datetime, sooner: timedelta
) -> None:
    rule = Rule(zone, cron)
    at = next_time(rule, after)
    assert at and at > after
    between = after + min(sooner, at - after - timedelta(microseconds=1))
    assert next_time(rule, between) == at


@settings(max_examples=30, deadline=None)
@given(crons, moments, st.timedeltas(timedelta(0), timedelta(days=2)), st.integers(1, 60))
def test_the_last_times_are_the_end_of_all_times(
    cron: str, first: datetime, span: timedelta, count: int
) -> None:
    rule = Rule("Europe/Berlin", cron)
    until = first + span
    every = [at for at in next_times(rule, first - timedelta(microseconds=1), 3000) if at <= until]
    assert last_times(rule, first, until, count) == every[-count:]


@given(moments, st.integers(10, 10_000_000), st.timedeltas(timedelta(0), timedelta(days=900)))
def test_the_last_of_many_seconds_are_found_at_once(
    anchor: datetime, every: int, span: timedelta
) -> None:
    rule = Rule("UTC", every_seconds=every, anchor=anchor)
    found = last_times(rule, anchor, anchor + span, 3)
    step = timedelta(seconds=every)
    newest = anchor + span // step * step
    assert found == [at for at in (newest - 2 * step, newest - step, newest) if at >= anchor]


def test_nothing_comes_before_the_start_or_after_the_end() -> None:
    start = datetime(2026, 5, 1, 6, 0, tzinfo=UTC)
    rule = Rule("UTC", "0 6 * * *", start_at=start, end_at=start + timedelta(days=1))
    assert next_times(rule, datetime(2026, 1, 1, tzinfo=UTC)) == [start, start + timedelta(days=1)]
    late = Rule("UTC", "0 6 * * *", start_at=start + timedelta(microseconds=1))
    assert next_time(late, datetime(2026, 1, 1, tzinfo=UTC)) == start + timedelta(days=1)


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("61 * * * *", "The minute, 61: give 0 to 59"),
        ("0 24 * * *", "The hour, 24: give 0 to 23"),
        ("0 0 32 * *", "The day of the month, 32"),
        ("0 0 30 2 *", "and one that its months have"),
        ("0 0 * 13 *", "The month, 13"),
        ("0 0 * * MOO", "The day of the week, MOO"),
        ("* * *", "here are 3"),
        ("0 * * * * *", "here are 6"),
        ("", "here are 0"),
        ("@fortnightly", "There is @hourly, @daily"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(cron: str, words: str) -> None:
    with pytest.raises(BadTime, match=words.replace("(", r"\(")):
        check_cron(cron)


@settings(max_examples=300)
@given(st.lists(st.text("0123456789*/-,#LWMONSUJA@ ", max_size=6), max_size=6).map(" ".join))
def test_whatever_is_typed_is_read_or_refused(cron: str) -> None:
    try:
        check_cron(cron)
    except BadTime as bad:
        assert str(bad)
    else:
        assert len(next_times(Rule("Europe/Berlin", cron), AUTUMN, 2)) == 2


def test_short_words_stand_for_a_text() -> None:
    check_cron(" @Daily")
    assert walls("@daily", AUTUMN, 1) == ["10-26 00:00 +0100"]

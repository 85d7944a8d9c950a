"""The pure parts: bundle sizes, retry pauses, what decides about a job."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import bundles, lifecycle, output, retry
from jobs.lifecycle import Closing, Standing, decide
from jobs.models import FINAL_STATES, Outcome, State
from jobs.runtimes import RunTimes

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_spec_not_measured_yet_travels_alone() -> None:
    assert bundles.size(None, 1000, 2) == 1


def test_a_long_job_travels_alone() -> None:
    assert bundles.size(0.5, 1000, 2) == 1


@given(st.floats(0, 10), st.integers(1, 10_000), st.integers(1, 500))
def test_no_bundle_worth_its_way_takes_more_than_half_an_equal_share(
    seconds: float, remaining: int, slots: int
) -> None:
    size = bundles.size(seconds, remaining, slots)
    assert 1 <= size <= bundles.MOST
    small = size * seconds <= bundles.WORTH_SECONDS
    assert size == 1 or small or size * 2 * slots < remaining + 2 * slots
    assert size == 1 or size * seconds <= bundles.TARGET_SECONDS


def test_run_times_rise_at_once_and_fall_slowly() -> None:
    times = RunTimes()
    for _ in range(20):
        times.note(1, 1, 0.001)
    times.note(1, 1, 2.0)
    assert (times.pace(1, 1) or 0) >= 1.0
    times.note(1, 1, 0.001)
    assert (times.pace(1, 1) or 0) > 0.5


def test_a_run_time_never_measured_is_that_of_the_others_at_their_speeds() -> None:
    times, speeds = RunTimes(), {1: 1.0, 2: 2.0, 3: 4.0}
    assert times.expecting(1, speeds)(3) is None
    for node, seconds in ((1, 8.0), (2, 6.0)):
        times.note(1, node, seconds)
    expecting = times.expecting(1, speeds)
    assert [round(expecting(node) or 0, 6) for node in (1, 2, 3, 99)] == [8.0, 6.0, 2.5, 10.0]


@given(st.integers(1, 60))
def test_pauses_grow_and_stay_below_the_longest(number: int) -> None:
    assert 0 < retry.pause(number) <= retry.LONGEST_SECONDS * 1.25


def test_no_attempt_is_left_after_the_last() -> None:
    assert retry.next_run(3, 3, NOW) is None
    assert retry.next_run(2, 3, NOW)


standings = st.builds(
    Standing,
    job=st.just(1),
    claimed_at=st.just(NOW),
    charged=st.integers(0, 5),
    losses=st.integers(0, 3),
    max_attempts=st.integers(1, 5),
    on_lost=st.sampled_from(["retry", "fail"]),
    cancel_requested=st.booleans(),
)


@given(st.sampled_from(Outcome.values), st.booleans(), standings)
def test_every_end_of_an_attempt_has_one_consequence(
    outcome: str, never_started: bool, job: Standing
) -> None:
    decision = decide(Closing(1, outcome, never_started, "x"), job, {}, NOW)
    assert decision.state in [State.QUEUED, *FINAL_STATES]
    assert (decision.run_at is not None) == (decision.state == State.QUEUED)
    assert (decision.state == State.SUCCEEDED) == (outcome == Outcome.SUCCEEDED)
    if job.cancel_requested:
        assert decision.state in (State.SUCCEEDED, State.CANCELLED)
    if job.on_lost == "fail" and outcome == Outcome.LOST and not never_started:
        assert decision.state != State.QUEUED
    assert decision.charged - job.charged == (outcome in ("succeeded", "failed", "timed_out"))


@given(st.floats(-1e9, 1e9), st.floats(0, 1e6), st.floats(-1e9, 1e9), st.integers(-86400, 86400))
def test_durations_are_never_negative_whatever_a_nodes_clock_says(
    started: float, run_seconds: float, newest: float, skew: int
) -> None:
    begin, end = lifecycle.on_our_clock(started + skew, run_seconds, newest + skew, NOW)
    assert begin <= NOW
    assert end - begin >= timedelta(0)


@pytest.mark.parametrize("text", ["héllo", "日本語", "a😀", "plain", ""])
def test_a_character_cut_at_the_end_is_left_for_later(text: str) -> None:
    data = text.encode()
    for end in range(len(data) + 1):
        pieces = output.whole_characters([(0, data[:end])]) if end else []
        kept = b"".join(piece for _, piece in pieces)
        assert text.startswith(kept.decode())
        assert end - len(kept) < 4

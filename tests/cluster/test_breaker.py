from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cluster import breaker
from cluster.breaker import Breaker, Loss, after_canary, after_losses, state

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def losses(*pairs: tuple[int, int]) -> list[Loss]:
    return [Loss(node, job, NOW - SECOND) for node, job in pairs]


def test_different_jobs_lost_on_one_node_open_its_breaker() -> None:
    found = after_losses(Breaker(), losses((1, 10), (1, 11), (1, 12)), 1, NOW)
    assert state(found, NOW) == "open"
    assert "3 different jobs" in found.reason
    assert state(found, NOW + 10 * SECOND) == "half_open"


def test_one_job_lost_again_and_again_opens_nothing() -> None:
    assert after_losses(Breaker(), losses((1, 10), (1, 10), (1, 10)), 1, NOW) == Breaker()


def test_a_job_lost_on_two_nodes_is_its_own_fault() -> None:
    found = losses((1, 10), (2, 10), (1, 11), (2, 11), (1, 12), (2, 12))
    assert after_losses(Breaker(), found, 1, NOW) == Breaker()
    assert after_losses(Breaker(), found, 2, NOW) == Breaker()


def test_old_losses_and_those_before_the_last_closing_are_forgiven() -> None:
    old = [Loss(1, job, NOW - breaker.WINDOW - SECOND) for job in range(5)]
    assert after_losses(Breaker(), old, 1, NOW) == Breaker()
    reset = Breaker(closed_at=NOW)
    assert after_losses(reset, losses((1, 10), (1, 11), (1, 12)), 1, NOW) == reset


def test_a_canary_closes_it_and_another_failure_doubles_the_pause() -> None:
    first = after_losses(Breaker(), losses((1, 10), (1, 11), (1, 12)), 1, NOW)
    at = first.probe_at
    assert at == NOW + breaker.FIRST_PAUSE
    second = after_canary(first, "no fork", True, at)
    assert second.probe_at == at + 2 * breaker.FIRST_PAUSE
    assert second.opened_at == NOW
    assert "no fork" in second.reason
    closed = after_canary(second, "", True, second.probe_at)
    assert state(closed, second.probe_at) == "closed"
    later = second.probe_at + SECOND
    fresh = [Loss(1, job, later) for job in range(3)]
    again = after_losses(closed, fresh, 1, later + SECOND)
    assert again.openings == 3
    forgiven = Breaker(openings=7, closed_at=NOW - breaker.FORGIVEN_AFTER - SECOND)
    assert breaker.opened(forgiven, "x", NOW).openings == 1


def test_a_healthy_nodes_first_failed_canary_opens_nothing_the_second_does() -> None:
    assert after_canary(Breaker(), "no answer", False, NOW) == Breaker()
    assert state(after_canary(Breaker(), "no answer", True, NOW), NOW) == "open"
    assert after_canary(Breaker(), "", False, NOW) == Breaker()


@given(st.integers(1, 500))
def test_pauses_grow_to_the_longest(openings: int) -> None:
    assert breaker.FIRST_PAUSE <= breaker.pause(openings) <= breaker.LONGEST_PAUSE
    assert breaker.pause(openings) <= breaker.pause(openings + 1)


pairs = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), max_size=15)


@given(pairs)
def test_no_node_is_blamed_for_fewer_than_three_jobs_of_its_own(
    found: list[tuple[int, int]],
) -> None:
    for node in (1, 2, 3):
        elsewhere = {job for where, job in found if where != node}
        own = {job for where, job in found if where == node} - elsewhere
        opened = after_losses(Breaker(), losses(*found), node, NOW).opened_at is not None
        assert opened == (len(own) >= breaker.MOST_LOSSES)

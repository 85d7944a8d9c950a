"""Which nodes the engine asks, and what it makes of the time they take."""

from types import SimpleNamespace

import pytest

from cluster.engine.desk import Desk


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.link = SimpleNamespace(reasons={})
    made.names = SimpleNamespace(address_of=lambda ip: ip)  # type: ignore[assignment]
    return made


def asked(desk: Desk, seconds: int) -> dict[str, list[int]]:
    """When each is, looking twice a second."""
    found: dict[str, list[int]] = {ip: [] for ip in desk.up}
    for half in range(2 * seconds):
        for ip in desk.to_audit(half / 2, 10.0, 25.0):
            found[ip].append(half // 2)
    return found


def test_nodes_at_work_are_asked_often_and_idle_ones_seldom(desk: Desk) -> None:
    desk.up = {"idle", "at work"}
    desk.begin(1, "at work", "at work", sent=True)
    desk.begin(2, "down", "down", sent=True)
    assert asked(desk, 60) == {"at work": [0, 10, 20, 30, 40, 50], "idle": [0, 25, 50]}


def test_a_large_fleet_is_not_asked_all_at_once_and_yet_everybody_in_time(desk: Desk) -> None:
    desk.up = {f"10.0.0.{number}" for number in range(200)}
    desk.flights = {n: SimpleNamespace(ip=ip) for n, ip in enumerate(sorted(desk.up)[:100])}  # type: ignore[misc]
    assert len(desk.to_audit(0.0, 10.0, 25.0)) <= 21
    times = asked(desk, 120)
    gaps = {ip: [b - a for a, b in zip(t, t[1:], strict=False)] for ip, t in times.items()}
    busy = {flight.ip for flight in desk.flights.values()}
    assert all(max(gaps[ip]) <= 12 for ip in busy)
    assert all(max(gaps[ip]) <= 30 for ip in desk.up - busy)


def test_a_round_trip_is_forgotten_when_the_next_fails_or_the_node_goes(desk: Desk) -> None:
    desk.up = {"a"}

    def told() -> object:
        desk.reading("a", SimpleNamespace())
        return desk.inbox.readings["a"].extras.get("round_trip_ms")

    assert told() is None
    desk.timed("a", 0.01234)
    assert told() == told() == 12.3
    desk.timed("a", None)
    assert told() is None
    desk.timed("a", 0.02)
    desk.closed("a")
    desk.timed("a", 0.03)  # an answer on its way while the node went
    assert told() is None

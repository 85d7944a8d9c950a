"""Samples: kept, made coarser as they age, kept to a size; series of a bounded length."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cluster.models import Node
from monitoring import samples, snapshot
from monitoring.models import Sample
from tests.factories import make_node

pytestmark = pytest.mark.django_db


def keep(at: datetime) -> int:
    return samples.keep(snapshot.read(at), at)


def rows(seconds: int, node: Node | None = None) -> list[Sample]:
    return list(Sample.objects.filter(seconds=seconds, node=node).order_by("at"))


def fill(now: datetime, seconds: int, count: int, node: Node | None = None) -> None:
    """Samples of the past, the newest now: value 0, 1, 2 …"""
    samples.write(
        (node.pk if node else None, now - timedelta(seconds=seconds * (count - 1 - place)), seconds,
         {"queued": place, "jobs_succeeded_total": 10 * place})
        for place in range(count)
    )  # fmt: skip


def test_one_row_for_the_cluster_and_one_for_each_online_node(now: datetime) -> None:
    node = make_node("pi-1", cpu_percent=12.34567891, reading={"temperature": 50.0})
    make_node("pi-2", online=False)
    assert keep(now) == 2
    [cluster], [sample] = rows(10), rows(10, node)
    assert cluster.values["nodes"] == 2 and cluster.values["nodes_online"] == 1
    assert "round_trip_ms" not in cluster.values
    assert sample.values["cpu_percent"] == 12.3457 and sample.values["temperature"] == 50
    assert sample.at == now


def test_keeping_is_one_commit_and_a_fixed_number_of_statements(now: datetime) -> None:
    def written(at: datetime) -> int:
        seen = snapshot.read(at)
        with CaptureQueriesContext(connection) as statements:
            samples.keep(seen, at)
        return len(statements)

    make_node("pi-1")
    keep(now)
    few = written(now + timedelta(seconds=10))
    for number in range(2, 9):
        make_node(f"pi-{number}")
    assert written(now + timedelta(seconds=20)) <= few <= 8


def test_minutes_and_quarters_are_made_as_time_passes(now: datetime) -> None:
    node = make_node("pi-1", cpu_percent=10)
    for place in range(1, 92):
        Node.objects.update(cpu_percent=place % 6)
        keep(now + timedelta(seconds=10 * place))
    assert len(rows(10)) == 91
    minutes = rows(60, node)
    assert len(minutes) == 15 and minutes[0].at == now + timedelta(seconds=60)
    assert minutes[0].values["cpu_percent"] == pytest.approx(2.5)
    [quarter] = rows(900, node)
    assert quarter.at == now + timedelta(seconds=900)
    assert quarter.values["cpu_percent"] == pytest.approx(2.5)


def test_after_a_pause_the_rest_is_made_up_for_slice_by_slice(now: datetime) -> None:
    fill(now, 10, 3 * 360)
    late = now + timedelta(days=2)
    for _step in range(6):
        samples.coarsen(10, late)
    minutes = rows(60)
    assert len(minutes) == 180
    assert minutes[-1].values == {"queued": 1076.5, "jobs_succeeded_total": 10790}
    assert samples.coarsen(10, late) == 0


def test_rows_go_when_their_age_is_over(now: datetime) -> None:
    make_node("pi-1")
    for seconds in (10, 60, 900):
        for days in (0.9, 1.1, 6.9, 7.1, 400):
            at = now - timedelta(days=days)
            Sample.objects.create(at=at, seconds=seconds, values={"queued": 1})
    assert samples.thin(now).rows == 4 + 2
    assert [len(rows(seconds)) for seconds in (10, 60, 900)] == [1, 3, 5]


def test_beyond_the_limit_the_oldest_go(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "CHUNK", 7)
    fill(now, 60, 100)
    each = samples.row_bytes()
    thinned = samples.thin(now, 40 * each)
    assert thinned.rows == 60 and thinned.bytes == 40 * each
    assert [row.values["queued"] for row in rows(60)] == list(range(60, 100))


def test_of_several_kinds_the_oldest_go_whatever_they_stand_for(now: datetime) -> None:
    for seconds, hours in ((900, 9), (60, 8), (900, 7), (10, 6), (60, 5), (10, 4)):
        Sample.objects.create(at=now - timedelta(hours=hours), seconds=seconds, values={})
    assert samples.thin(now, 2 * samples.row_bytes()).rows == 4
    assert [row.at for row in Sample.objects.order_by("at")] == [
        now - timedelta(hours=hours) for hours in (5, 4)
    ]


def test_a_series_has_a_point_for_each_step_and_tells_where_nobody_looked(now: datetime) -> None:
    fill(now, 10, 30)
    dark = now - timedelta(seconds=120), now - timedelta(seconds=60)
    Sample.objects.filter(at__gt=dark[0], at__lte=dark[1]).delete()
    start = now - timedelta(minutes=10)
    found = samples.series(None, start, now, 60, now)
    assert (found.step, len(found.points)) == (60, 11)
    assert found.points[0].at == start and found.points[-1].at == now
    assert [bool(point.values) for point in found.points] == [
        *[False] * 6,
        *[True] * 3,
        False,
        True,
    ]
    assert found.points[-1].values == {"queued": 26.5, "jobs_succeeded_total": 290}


def test_a_long_series_reads_coarse_rows_and_finer_ones_for_its_end(now: datetime) -> None:
    fill(now - timedelta(minutes=5), 900, 8 * 96)
    fill(now, 60, 9)
    with CaptureQueriesContext(connection) as statements:
        found = samples.series(None, now - timedelta(days=7), now, None, now)
    assert len(statements) <= 3
    assert found.resolution == 900 and found.step % 900 == 0
    assert len(found.points) <= 242
    assert found.points[-1].values["queued"] < 900  # of the last minutes
    assert all(point.values for point in found.points[1:])


def test_a_series_is_never_longer_than_it_may_be(now: datetime) -> None:
    found = samples.series(None, now - timedelta(days=365), now, 10, now)
    assert len(found.points) <= samples.MOST_POINTS + 1


def test_old_times_are_read_from_the_rows_that_there_still_are(now: datetime) -> None:
    hours = timedelta(hours=1)
    assert samples.resolution_for(now - 2 * hours, 10, now) == 10
    assert samples.resolution_for(now - 30 * hours, 10, now) == 60
    assert samples.resolution_for(now - 200 * hours, 60, now) == 900
    assert samples.resolution_for(now - 2 * hours, 3600, now) == 900

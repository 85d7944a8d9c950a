"""The metrics: defined once, told with their meaning, now and as series; errors name the field."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.models import Attempt, Job, RunTime
from monitoring import api_metrics, charts, metrics, samples, snapshot, totals
from monitoring.models import Sample
from tests.factories import hold_lease, make_job, make_node, make_user

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def api(client: Client) -> Client:
    client.force_login(make_user())
    return client


def ended(now: datetime, outcome: str, state: str, seconds: float) -> None:
    job = make_job(now)
    node = snapshot.Node.objects.first()
    assert node
    Job.objects.filter(pk=job.pk).update(
        state=state, finished_at=now, tried=1, node=node, run_at=now - timedelta(seconds=3)
    )
    Attempt.objects.create(
        job=job, node=node, number=1, bundle=1, claimed_at=now, finished_at=now, outcome=outcome,
        run_seconds=seconds,
    )  # fmt: skip


def keep(at: datetime) -> None:
    samples.keep(snapshot.read(at), at)


@pytest.fixture
def an_hour(now: datetime) -> Iterator[datetime]:
    """Two samples five minutes apart, between which ten jobs ended, four of them badly."""
    make_node("pi-1", slots=4, cpu_percent=30, memory_free=1, memory_total=4, last_seen_at=now,
              reading={"temperature": 51.5, "round_trip_ms": 2.0}, dispatch_ms=12)  # fmt: skip
    make_node("pi-2", online=False)
    hold_lease(now)
    keep(now - timedelta(seconds=300))
    for place in range(10):
        good = place < 6
        ended(now, "succeeded" if good else "failed", "succeeded" if good else "failed", 2.0)
    keep(now)
    yield now


def test_what_is_per_minute_or_a_share_is_of_two_samples(an_hour: datetime) -> None:
    found = metrics.now_values(snapshot.read(an_hour))
    cluster = found.cluster
    assert (cluster["throughput"], cluster["success_share"]) == (2, 60)
    assert (cluster["failed_attempts"], cluster["lost_attempts"]) == (0.8, 0)
    assert (cluster["run_mean"], cluster["wait_mean"]) == (2, 3)
    assert cluster["wait_p95"] == pytest.approx(2.5 + 2.5 * 0.95, rel=0.01)
    assert (cluster["queue_depth"], cluster["oldest_wait"]) == (0, 0)
    assert (cluster["nodes_online"], cluster["nodes"], cluster["slots"]) == (1, 2, 4)
    assert (cluster["network_latency"], cluster["dispatch_latency"]) == (2, 12)
    assert found.failures == {"failed": 4}
    assert found.nodes["pi-1"]["success_share"] == 60
    assert (found.nodes["pi-1"]["memory"], found.nodes["pi-1"]["temperature"]) == (75, 51.5)
    assert set(found.nodes["pi-2"].values()) == {None}


def test_without_a_monitor_nothing_is_said_of_rates(an_hour: datetime) -> None:
    late = metrics.now_values(snapshot.read(an_hour + timedelta(minutes=6))).cluster
    assert late["throughput"] is late["success_share"] is None
    assert late["queue_depth"] == 0 and late["nodes"] == 2


def test_the_api_tells_every_number_with_its_meaning(api: Client, an_hour: datetime) -> None:
    told = api.get("/api/metrics").json()
    assert set(told["cluster"]) == set(metrics.OF_CLUSTER)
    assert set(told["nodes"]["pi-1"]) == set(metrics.OF_NODE)
    assert len(told["definitions"]) == len(metrics.CLUSTER) + len(metrics.NODE)
    assert all(entry["definition"].endswith(".") for entry in told["definitions"])
    some = api.get("/api/metrics?metric=cpu&metric=throughput").json()
    assert set(some["cluster"]) == set(some["nodes"]["pi-1"]) == {"cpu", "throughput"}


def test_the_api_tells_series(api: Client, an_hour: datetime) -> None:
    start, end = an_hour - timedelta(minutes=10), an_hour
    given = {"from": start.isoformat(), "to": str(end), "step": "300"}
    told = api.get("/api/metrics", given)
    assert told.status_code == 200, told.json()
    found = told.json()
    assert len(found["at"]) == 2 and found["step"] == 300
    assert set(found["series"]) == set(metrics.OF_CLUSTER)
    assert found["series"]["throughput"] == [None, pytest.approx(2, rel=0.01)]
    assert found["series"]["nodes"] == [2, 2]
    node = api.get("/api/metrics?node=pi-1&step=300&metric=temperature").json()
    assert node["node"] == "pi-1" and [*node["series"]] == ["temperature"]
    assert node["series"]["temperature"][-1] == 51.5
    assert len(api.get("/api/metrics?from=0").json()["at"]) <= samples.MOST_POINTS


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"), ("to=12:61", "to"), ("from=1e99", "from"), ("from=nan", "from"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"), ("to=-1", "to"),
        ("step=0", "step"), ("step=ten", "step"), ("step=9999999999", "step"), ("step=-5", "step"),
        ("from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&step=10", "step"),
        ("node=nobody", "node"), ("metric=joy", "metric"), ("metric=temperature&step=60", "metric"),
        ("since=3", "since"),
    ],
)  # fmt: skip
def test_an_error_names_the_parameter(api: Client, query: str, field: str) -> None:
    answer = api.get(f"/api/metrics?{query}")
    assert answer.status_code == 400, query
    assert [*answer.json()] == [field]


def test_strangers_are_told_nothing(client: Client) -> None:
    assert client.get("/api/metrics").status_code == 401


def test_the_numbers_cost_a_fixed_number_of_statements(now: datetime, api: Client) -> None:
    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as statements:
            assert api.get(path).status_code == 200, path
        return len(statements)

    make_node("pi-1")
    make_job(now)
    keep(now - timedelta(seconds=60))
    paths = ["/api/metrics", "/metrics", "/monitoring", "/monitoring?range=7d", "/nodes/pi-1",
             "/api/metrics?from=0"]  # fmt: skip
    few = {path: (asked(path), asked(path))[1] for path in paths}
    for number in range(2, 8):
        node = make_node(f"pi-{number}")
        RunTime.objects.all().delete()
        Sample.objects.create(node=node, at=now, seconds=10, values={"cpu_percent": 3})
        make_job(now)
    keep(now)
    for path in paths:
        assert asked(path) <= few[path] <= 30, path


def test_a_line_has_gaps_where_nobody_looked() -> None:
    assert charts.line(metrics.OF_CLUSTER["ready"], [None, None], 1).path == ""
    found = charts.line(metrics.OF_CLUSTER["ready"], [0, 4, None, 2, None, 1, 1], 4)
    assert found.path == "M42.86 120L128.6 0M471.4 90L557.1 90"
    assert found.dots == [("300", "60")] and found.last == "1 job"
    assert [charts.ceiling(v) for v in (0, 0.03, 0.9, 1, 3, 7, 21, 100, 2600)] == [
        1, 0.05, 1, 1, 5, 10, 25, 100, 5000,
    ]  # fmt: skip


def test_the_page_draws_what_was_and_lists_what_is(api: Client, an_hour: datetime) -> None:
    text = api.get("/monitoring").content.decode()
    assert text.count('class="lines"') >= 5 and 'aria-current="true"' in text
    assert "As a table" in text and "pi-2" in text
    assert "Nobody has measured" in api.get("/monitoring?range=nonsense").content.decode() or text
    live = api.get("/live/monitoring?range=24h")
    assert live.status_code == 200 and "<html" not in live.content.decode()
    node = api.get("/nodes/pi-1").content.decode()
    assert 'id="node-charts"' in node and "Temperature: 51.5 °C" in node
    assert api.get("/live/charts/nobody").status_code == 404


def test_the_documentation_lists_every_number_with_its_definition() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for title, table in (("cluster", metrics.CLUSTER), ("node", metrics.NODE)):
        part = text.split(f"## Of {'the cluster' if title == 'cluster' else 'a node'}")[1]
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", part.split("\n## ")[0],
                          re.MULTILINE)  # fmt: skip
        words = {0: "now", 300: "5 min", 3600: "1 h"}
        wanted = [(m.name, m.unit, words[m.window], m.definition) for m in table]
        assert rows == wanted, title
    for name in (*totals.CLUSTER_NAMES, "wait_le_", "submitted_total"):
        assert name.rstrip("_") in text, name


def test_definitions_are_marked_for_translation() -> None:
    source = (ROOT / "monitoring/metrics.py").read_text()
    for metric in (*metrics.CLUSTER, *metrics.NODE):
        assert f'_("{metric.label}")' in source
        assert metric.definition.split(",")[0][:40] in source
    assert {of for of, _metric in api_metrics.all_metrics()} == {"cluster", "node"}

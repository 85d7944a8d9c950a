"""/metrics: what Prometheus reads parses, is complete and names no job; docs use what there is."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from jobs.models import Attempt, Job, State
from monitoring import samples, snapshot, totals
from monitoring.exposition import registry
from monitoring.snapshot import ClusterSnapshot, NodeState
from tests.factories import hold_lease, make_job, make_node, make_user

DOCS = Path(__file__).resolve().parents[2] / "docs"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PROMISED = {
    "dispycluster_jobs", "dispycluster_jobs_finished_total", "dispycluster_node_up",
    "dispycluster_job_queue_seconds_bucket", "dispycluster_job_run_seconds_bucket",
    "dispycluster_node_slots",
    "dispycluster_circuit_open", "dispycluster_build_info",
}  # fmt: skip


def everything() -> CollectorRegistry:
    """Of a cluster of which all is known."""
    node = NodeState(
        id=1, name="pi-1", address="127.0.0.2", tags=frozenset(), state="online", online=True,
        draining=False, breaker="closed", breaker_reason="", trouble="", canary_error="",
        added_at=AT, last_seen_at=AT, slots=4, busy=1, cpu_percent=20.0, load_1=0.5,
        memory_free=10, memory_total=20, disk_free=30, disk_total=40, swap_percent=1.0,
        temperature=50.0, throttled=(), scratch_read_only=False, round_trip_ms=1.0,
        dispatch_ms=9.0, clock_skew_seconds=0.1, speed=1.0, speed_samples=5, lost=0,
        slowdown=None, slowdown_runs=0, slowdown_spec=None,
    )  # fmt: skip
    seen = ClusterSnapshot(
        at=AT, nodes=(node,), dispatcher_at=AT, monitor_at=AT, database_bytes=1, home_free=1,
        by_state={state.value: 1 for state in State},
        totals=totals.added({}, totals.Step())["cluster"],
    )  # fmt: skip
    return registry(seen, "1.2.3")


def sample_names() -> set[str]:
    return {sample.name for family in everything().collect() for sample in family.samples}


@pytest.fixture
def scraped(client: Client, db: None) -> str:
    now = timezone.now()
    client.force_login(make_user())
    hold_lease(now)
    node = make_node("pi-1", slots=4, reading={"temperature": 51.5})
    make_node("pi-off", online=False, reading={"temperature": 99}, cpu_percent=7)
    samples.keep(snapshot.read(now), now)
    for seconds in (0.02, 3.0, 7.0, 100_000.0):
        job = make_job(now)
        Job.objects.filter(pk=job.pk).update(state="succeeded", tried=1, finished_at=now)
        Attempt.objects.create(job=job, node=node, number=1, bundle=job.pk, claimed_at=now,
            finished_at=now, outcome="succeeded", run_seconds=seconds)  # fmt: skip
    samples.keep(snapshot.read(now), now)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    return answer.content.decode()


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text)
        for sample in family.samples
    }


def test_it_parses_and_has_what_was_promised(scraped: str) -> None:
    found = values(scraped)
    assert {name for name, _labels in found} >= PROMISED
    assert found["dispycluster_jobs", (("state", "succeeded"),)] == 4
    assert found["dispycluster_jobs_finished_total", (("outcome", "succeeded"),)] == 4
    assert found["dispycluster_node_up", (("node", "pi-1"),)] == 1
    assert found["dispycluster_node_up", (("node", "pi-off"),)] == 0
    assert found["dispycluster_node_slots", (("kind", "total"), ("node", "pi-1"))] == 4
    assert found["dispycluster_node_temperature_celsius", (("node", "pi-1"),)] == 51.5
    assert ("dispycluster_node_temperature_celsius", (("node", "pi-off"),)) not in found
    assert found["dispycluster_process_up", (("process", "monitor"),)] == 0


def test_the_histograms_are_cumulative_and_exact(scraped: str) -> None:
    found = values(scraped)
    buckets = [(labels[0][1], count) for (name, labels), count in found.items()
               if name == "dispycluster_job_run_seconds_bucket"]  # fmt: skip
    counts = [count for _le, count in buckets]
    assert counts == sorted(counts)
    by_bound = {float(le): count for le, count in buckets}
    assert (by_bound[0.01], by_bound[0.05], by_bound[5], by_bound[10]) == (0, 1, 2, 3)
    assert (by_bound[86400], by_bound[float("inf")]) == (3, 4)
    assert found["dispycluster_job_run_seconds_count", ()] == 4
    assert found["dispycluster_job_run_seconds_sum", ()] == 100_010.02
    assert found["dispycluster_job_queue_seconds_count", ()] == 4


def test_no_label_names_a_job(scraped: str) -> None:
    labels = {name for family in families(scraped) for s in family.samples for name in s.labels}
    assert labels == {"state", "outcome", "le", "process", "node", "kind", "version"}


@pytest.mark.django_db
def test_it_speaks_open_metrics_to_those_who_ask(client: Client) -> None:
    client.force_login(make_user())
    asks = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answer = client.get("/metrics", headers={"Accept": asks})
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert len(list(open_families(answer.content.decode()))) > 5


@pytest.mark.django_db
def test_without_a_token_there_is_nothing(client: Client) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_before_a_monitor_has_counted_there_are_no_counters() -> None:
    young = registry(ClusterSnapshot(at=AT), "1")
    assert not [family for family in young.collect() if family.type == "histogram"]


# The documents


def used(text: str) -> set[str]:
    return set(re.findall(r"\bdispycluster_\w+", text))


def expressions(value: Any) -> list[str]:
    """Every query in a dashboard or a file of rules."""
    if isinstance(value, dict):
        found = [text for key, text in value.items() if key in ("expr", "query", "definition")
                 and isinstance(text, str)]  # fmt: skip
        return found + [text for inner in value.values() for text in expressions(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in expressions(inner)]
    return []


def test_the_dashboard_draws_only_what_there_is() -> None:
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    queries = expressions(board)
    assert len(queries) >= 12
    assert used(" ".join(queries)) <= sample_names()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])


def test_the_rules_ask_only_for_what_there_is() -> None:
    text = (DOCS / "prometheus-rules.yml").read_text()
    assert re.findall(r"^      - alert: (\w+)$", text, re.MULTILINE)
    assert used(text) <= sample_names()
    assert text.count("expr:") == text.count("- alert:") == text.count("summary:")


def test_the_documentation_lists_what_there_is() -> None:
    rows = re.findall(r"^\| `(dispycluster_\w+)` \| (\w+) \| (.*?) \|$",
                      (DOCS / "metrics.md").read_text(), re.MULTILINE)  # fmt: skip
    wanted = []
    for family in everything().collect():
        labels = sorted({name for sample in family.samples for name in sample.labels} - {"le"})
        suffix = "_total" if family.type == "counter" else ""
        wanted.append((family.name + suffix, family.type, ", ".join(labels) or "–"))
    assert rows == wanted

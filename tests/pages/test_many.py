"""Ten rows or a thousand of everything: each page and list makes the same statements."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from cluster.models import Node
from jobs import lifecycle
from jobs.lifecycle import Closing
from jobs.models import Attempt, Job
from monitoring import samples, snapshot
from monitoring.models import Alert, Channel, Delivery, Silence
from schedules.models import Run, Schedule
from tests.factories import make_sweep
from tests.pages.conftest import Counted

PATHS = [
    "/", "/live/dashboard", "/jobs", "/jobs?state=failed", "/jobs?state=queued", "/jobs?ended=24h",
    "/jobs?failure={failure}", "/jobs?failure={failure}&state=failed", "/jobs?sweep={sweep}",
    "/jobs?node=pi-1", "/jobs?q=nothing", "/live/jobs?newest=1", "/sweeps", "/sweeps/{sweep}",
    "/failures", "/failures?days=30", "/live/failures", "/failures/{failure}", "/nodes",
    "/nodes/pi-1", "/live/nodes/pi-1", "/live/charts/pi-1", "/nodes/pi-1/remove", "/monitoring",
    "/monitoring?range=7d", "/alerts", "/alerts?state=open", "/alerts?rule=hot_node",
    "/live/alerts", "/alerts/silences", "/alerts/rules", "/recommendations", "/settings/channels",
    "/settings/channels/deliveries", "/settings/channels/{channel}", "/schedules",
    "/schedules/{schedule}", "/metrics", "/api/jobs", "/api/jobs?state=failed", "/api/jobs/status",
    "/api/jobs?failure={failure}", "/api/jobs?q=nothing", "/api/sweeps", "/api/sweeps/{sweep}",
    "/api/failures", "/api/failures/{failure}", "/api/cluster/overview", "/api/cluster/nodes",
    "/api/cluster/health", "/api/metrics", "/api/metrics?step=60", "/api/alerts",
    "/api/alerts?state=open", "/api/silences", "/api/monitoring/channels",
    "/api/monitoring/channels/{channel}/deliveries", "/api/schedules",
    "/api/schedules/{schedule}/runs", "/admin/jobs/job/", "/admin/jobs/attempt/",
    "/admin/cluster/node/", "/admin/monitoring/delivery/", "/admin/schedules/run/",
]  # fmt: skip


class Everything:
    """A little world that can grow."""

    def __init__(self, node: Node, owner: User, now: datetime) -> None:
        self.node, self.owner, self.now, self.made = node, owner, now, 0
        self.channel = Channel.objects.create(
            name="mail", url="json://127.0.0.1/x", created_at=now, created_by="chief"
        )
        self.names: dict[str, Any] = {"channel": self.channel.pk}

    def grow(self, count: int) -> None:
        """So many more rows of each kind; a third of the jobs fail, in two ways."""
        sweep = make_sweep(count, self.now)
        jobs = sweep.jobs.order_by("pk")
        jobs.update(state="running", tried=1, node=self.node, started_at=self.now)
        attempts = Attempt.objects.bulk_create(
            Attempt(job=job, number=1, node=self.node, bundle=job.pk, claimed_at=self.now)
            for job in jobs
        )
        told = [
            Closing(attempt.pk, "failed" if n % 3 == 0 else "succeeded",
                    error=f"ValueError: {'ab'[n % 2]}" if n % 3 == 0 else "")
            for n, attempt in enumerate(attempts[: count * 9 // 10])
        ]  # fmt: skip
        lifecycle.close(told, self.now)
        self.watch(count)
        failed = Attempt.objects.filter(fingerprint__isnull=False).earliest("pk")
        self.names |= {"failure": failed.fingerprint, "sweep": sweep.pk}
        self.made += count

    def watch(self, count: int) -> None:
        now, ago = self.now, timedelta(hours=1)
        alerts = Alert.objects.bulk_create(
            Alert(rule="hot_node", subject=f"pi-{self.made + n}", severity="warning", value=90.0,
                  threshold=80.0, started_at=now - ago, fired_at=now, announced_at=now,
                  state="resolved" if n % 2 else "firing", resolved_at=now if n % 2 else None)
            for n in range(count)
        )  # fmt: skip
        Silence.objects.bulk_create(
            Silence(rule="hot_node", subject=f"pi-{n}", comment="x", created_at=now,
                    created_by="chief", ends_at=now + ago * (1 if n % 2 else -1))
            for n in range(count)
        )  # fmt: skip
        rows = Delivery.objects.bulk_create(
            Delivery(channel=self.channel, kind="firing", state="sent" if n % 2 else "failed",
                     title="x", body="x", created_at=now, due_at=now)
            for n in range(count)
        )  # fmt: skip
        for row, alert in zip(rows[:20], alerts, strict=False):
            row.alerts.add(alert)
        schedules = Schedule.objects.bulk_create(
            Schedule(name=f"s {self.made + n}", owner=self.owner, what="job", cron="0 * * * *",
                     body={"kind": "command", "command": "date"}, zone="UTC", next_at=now + ago,
                     reckoned_at=now, created_at=now, changed_at=now)
            for n in range(count)
        )  # fmt: skip
        first = Schedule.objects.earliest("pk")
        before = first.runs.count()
        job = Job.objects.earliest("pk")
        Run.objects.bulk_create(
            Run(schedule=schedule, scheduled_for=now - ago * (before + n), at=now,
                outcome="started", job_id=job.pk)
            for n in range(count)
            for schedule in {first, schedules[n]}
        )  # fmt: skip
        self.names["schedule"] = first.pk
        seen = snapshot.read(now)
        for n in range(min(count, 60)):
            at = now - timedelta(seconds=10 * n)
            samples.write((pk, at, 10, {"cpu_percent": 1.0}) for pk in (None, self.node.pk))
        samples.keep(seen, now)


@pytest.mark.django_db
def test_ten_rows_or_a_thousand_make_the_same_statements(
    staff: Client, chief: User, node: Node, now: datetime, counted: Counted
) -> None:
    world = Everything(node, chief, now)

    def made() -> dict[str, int]:
        found = {}
        for path in PATHS:
            staff.get(path.format(**world.names))  # what is looked up once and kept
            with counted() as statements:
                response = staff.get(path.format(**world.names))
            assert response.status_code == 200, path
            found[path] = len(statements)
        return found

    world.grow(10)
    few = made()
    world.grow(1000)
    many = made()
    assert {path: (few[path], many[path]) for path in PATHS if many[path] != few[path]} == {}
    assert max(many.values()) < 30

"""A monitor process starts what is due."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.models import Job
from schedules import keeping
from schedules.models import Run, Schedule
from tests.factories import make_user
from tests.live.fleet import fleet, wait_for


@pytest.mark.django_db(transaction=True)
def test_a_monitor_starts_a_due_schedule_and_one_that_was_killed_has_a_successor(
    tmp_path: Path,
) -> None:
    now = timezone.now()
    values = {"name": "tick", "what": "job", "body": {"kind": "command", "command": "true"},
              "every_seconds": 10, "anchor": now - timedelta(seconds=5), "zone": "UTC"}  # fmt: skip
    schedule = keeping.create(values, make_user(), now)
    with fleet(tmp_path, nodes=0) as running:
        running.start("first", "manage.py", "monitor")
        wait_for(lambda: Run.objects.exists(), 45, f"a first run\n{running.logs()}")
        running.kill("first")
        running.start("second", "manage.py", "monitor")
        wait_for(lambda: Run.objects.count() >= 2, 60, f"a second run\n{running.logs()}")
        running.end()
    started = Run.objects.filter(outcome="started")
    assert Job.objects.count() == started.count()
    assert {job.name for job in Job.objects.all()} == {"tick"}
    assert Schedule.objects.get(pk=schedule.pk).started == started.count()

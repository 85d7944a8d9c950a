"""Exactly once, whoever crashes and however many monitors there are."""

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import Job
from schedules import due
from schedules.models import Run, Schedule
from tests.live.fleet import ROOT, database_url
from tests.schedules.conftest import Make

HOUR = timedelta(hours=1)
STEP = """
import django
django.setup()
from datetime import datetime
from schedules import due
print(due.run(datetime.fromisoformat({now!r})))
"""


def run_elsewhere(now: datetime, home: Path, failpoint: str = "") -> int:
    """due.run in a process of its own; its exit code."""
    environment = {
        **os.environ, "DATABASE_URL": database_url(), "DISPYCLUSTER_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "dispycluster.settings", "DISPYCLUSTER_FAILPOINT": failpoint,
    }  # fmt: skip
    code = STEP.format(now=now.isoformat())
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment).returncode


@pytest.mark.live
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["mid-submit", "mid-schedule"])
def test_a_monitor_that_dies_half_way_leaves_nothing_and_the_next_one_starts_it(
    make: Make, now: datetime, tmp_path: Path, place: str
) -> None:
    schedule = make()
    assert run_elsewhere(now + HOUR, tmp_path, place) == -signal.SIGKILL
    assert (Job.objects.count(), Run.objects.count()) == (0, 0)
    assert Schedule.objects.get(pk=schedule.pk).next_at == now + HOUR
    assert run_elsewhere(now + HOUR, tmp_path) == 0
    assert run_elsewhere(now + HOUR, tmp_path) == 0
    assert (Job.objects.count(), Run.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_monitors_at_a_time_start_each_time_once(make: Make, now: datetime) -> None:
    schedules = [make(every_seconds=600, cron="", anchor=now, missed="all") for _n in range(4)]
    hours = now + 2 * HOUR
    ready = threading.Barrier(3)
    failed: list[BaseException] = []

    def monitor() -> None:
        try:
            ready.wait(10)
            idle = 0
            while idle < 3:  # the other one may hold what is due
                idle = 0 if due.run(hours) else idle + 1
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=monitor) for _n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert Run.objects.filter(outcome="started").count() == 12 * len(schedules)
    assert Job.objects.count() == 12 * len(schedules)
    started = Run.objects.values_list("job_id", flat=True)
    assert len(set(started)) == 12 * len(schedules)

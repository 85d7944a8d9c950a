"""The monitor as a process: it samples, a second stands by, and it outlives the dispatcher."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.models import Job, Lease
from monitoring.models import Alert, Sample
from tests.factories import make_job
from tests.live.fleet import fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]


def holder() -> str:
    lease = Lease.objects.filter(name="monitor", expires_at__gt=timezone.now()).first()
    return lease.holder.split(":")[1] if lease else ""


def samples_since(since: datetime) -> int:
    return Sample.objects.filter(node=None, seconds=10, at__gt=since).count()


def test_it_samples_and_a_second_one_takes_over_and_reports_a_dead_dispatcher(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path, nodes=2) as made:
        made.up()
        made.start("monitor", "manage.py", "monitor")
        first = str(made.processes["monitor"].pid)
        wait_for(lambda: holder() == first, 20, f"a monitor\n{made.logs()}")
        made.start("standby", "manage.py", "monitor")
        second = str(made.processes["standby"].pid)
        begun = timezone.now()
        for _ in range(3):
            make_job(begun)
        done = Job.objects.filter(state="succeeded")
        wait_for(lambda: done.count() == 3, 20, f"jobs\n{made.logs()}")
        ended = timezone.now()
        wait_for(lambda: samples_since(ended) >= 2, 25, f"samples\n{made.logs()}")
        newest = Sample.objects.filter(node=None, seconds=10).latest("at")
        assert newest.values["jobs_succeeded_total"] == newest.values["runs_total"] == 3
        assert newest.values["nodes_online"] == 2
        assert Sample.objects.filter(node__isnull=False, at=newest.at).count() == 2
        assert holder() == first

        made.kill("monitor")
        took = wait_for(lambda: holder() == second, 30, f"the second one\n{made.logs()}")
        print(f"the second monitor took over within {took:.1f} s")
        killed = timezone.now()
        made.kill("dispatcher")
        told = Alert.objects.filter(rule="dispatcher_silent", state="firing")
        took = wait_for(told.exists, 60, f"the alert\n{made.logs()}")
        print(f"the dead dispatcher was told of within {took:.1f} s")
        assert samples_since(killed) >= 2
        moments = list(
            Sample.objects.filter(node=None, seconds=10, at__gt=killed).order_by("at")
            .values_list("at", flat=True)
        )  # fmt: skip
        steps = [later - sooner for sooner, later in zip(moments, moments[1:], strict=False)]
        assert all(timedelta(seconds=9) < step < timedelta(seconds=13) for step in steps), steps
        assert made.processes["standby"].poll() is None

"""manage.py schedules."""

import io
import json
from datetime import datetime

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job
from schedules.models import Schedule
from tests.factories import make_user
from tests.schedules.conftest import Make

pytestmark = pytest.mark.django_db


def schedules(*words: str) -> str:
    out = io.StringIO()
    call_command("schedules", *words, stdout=out)
    return out.getvalue()


def test_it_lists_pauses_resumes_and_runs(make: Make, now: datetime) -> None:
    assert schedules() == "There is no schedule yet.\n"
    schedule = make(name="nightly", time_zone="Europe/Berlin")
    assert "nightly" in schedules() and "2026-03-01 14:00:00 CET" in schedules()
    assert json.loads(schedules("list", "--json"))[0]["name"] == "nightly"
    assert schedules("pause", "nightly", "--reason", "moving house") == "nightly is paused.\n"
    assert schedules("pause", "nightly") == "nightly was already paused.\n"
    assert "moving house" in schedules()
    assert schedules("resume", str(schedule.pk)).startswith("nightly goes on: 20")
    assert schedules("resume", "nightly") == "nightly was not paused.\n"
    said = schedules("run", "nightly")
    assert said == f"nightly: job {Job.objects.get().pk} is in.\n"


def test_it_says_what_is_wrong(make: Make) -> None:
    make(name="nightly", overlap="skip")
    with pytest.raises(CommandError, match="There is no schedule x. There is: nightly."):
        schedules("pause", "nightly", "x")
    assert Schedule.objects.get().state == "active"
    schedules("run", "nightly")
    with pytest.raises(CommandError, match="not while the last one is open: job"):
        schedules("run", "nightly")
    make(name="nightly", owner=make_user("bob"))
    with pytest.raises(CommandError, match="Several are called nightly"):
        schedules("run", "nightly")

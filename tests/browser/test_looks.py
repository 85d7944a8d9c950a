"""Every page of the watching, lived in: nothing sticks out, and every word can be read."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from cluster.models import Node
from jobs.models import Attempt, Job
from monitoring.models import Alert, Channel
from schedules.models import Schedule
from tests.browser.lived_in import world
from tests.browser.walker import Walker
from tests.factories import make_node
from tests.pages.rows import make_ended, write

WIDTHS = (1280, 1024, 768, 375)


def paths() -> dict[str, str]:
    failing = Alert.objects.get(rule="schedule_failing")
    quarantine = Alert.objects.get(rule="breaker_open")
    nightly = Schedule.objects.get(name="nightly thumbnails")
    weekly = Schedule.objects.get(name="weekly report")
    lost_in = Attempt.objects.filter(outcome="failed").latest("pk")
    away = Node.objects.get(address="lab-3.example.org")
    return {
        "dashboard": "/",
        "alerts": "/alerts",
        "alert": f"/alerts/{quarantine.pk}",
        "alert-of-schedule": f"/alerts/{failing.pk}",
        "silences": "/alerts/silences",
        "rules": "/alerts/rules",
        "channels": "/settings/channels",
        "channel": f"/settings/channels/{Channel.objects.latest('-pk').pk}",
        "deliveries": "/settings/channels/deliveries",
        "recommendations": "/recommendations",
        "replay": "/recommendations?strategy=round_robin&nodes=1&days=7",
        "failures": "/failures",
        "failure": f"/failures/{lost_in.fingerprint}",
        "schedules": "/schedules",
        "schedule": f"/schedules/{nightly.pk}",
        "schedule-weekly": f"/schedules/{weekly.pk}",
        "schedule-edit": f"/schedules/{weekly.pk}/edit",
        "schedule-new": "/schedules/new",
        "monitoring": "/monitoring?range=24h",
        "nodes": "/nodes",
        "node": "/nodes/workshop",
        "node-quarantined": "/nodes/pi-7",
        "node-away": f"/nodes/{away.name}",
        "settings": "/settings/cluster",
        "jobs": "/jobs",
        "job": f"/jobs/{nightly.last_job_id}",
        "job-that-waits": f"/jobs/{Job.objects.filter(name='scan 3').latest('pk').pk}",
        "sweeps": "/sweeps",
    }


def found(walk: Walker, width: int) -> list[str]:
    bar = ["the bar"] if width == WIDTHS[0] and walk.cut_off() else []
    return [*walk.too_wide(), *walk.squeezed(), *walk.pale(), *bar]


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "fr")])
def test_nothing_sticks_out_and_every_word_can_be_read(
    walk: Walker, chief: User, theme: str, language: str
) -> None:
    world(timezone.now(), chief)
    walk.sign_in()
    walk.theme(theme)
    walk.driver.add_cookie({"name": "django_language", "value": language})
    bad = []
    try:
        for name, path in paths().items():
            for width in WIDTHS:
                walk.narrow(width)
                walk.go(path)
                bad += [(name, width, one) for one in found(walk, width)]
                walk.picture(f"{name}-{width}-{theme}")
    finally:
        walk.theme("")
    assert bad == []


def test_a_console_has_room_for_many_lines(walk: Walker, chief: User) -> None:
    now = timezone.now()
    job = make_ended(now, make_node("pi-1"), "failed", error="boom", owner=chief)
    write(job, b"".join(b"line %d\n" % number for number in range(60)))
    walk.sign_in()
    walk.go(f"/jobs/{job.pk}")
    walk.wait("line 59", "#console")
    assert walk.find(".console-box").rect["height"] > 400

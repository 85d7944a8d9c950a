"""A schedule in a real browser: typed, looked at, paused, run."""

import os

from django.utils import timezone

from jobs.models import Job
from schedules.models import Schedule
from tests.browser.walker import Walker
from tests.factories import make_user
from tests.pages.rows import HOSTILE
from tests.pages.test_schedules import make_eventful

LONG = "a-name-without-any-blank-that-is-longer-than-a-column-could-ever-be-on-a-small-telephone"


def picture(walk: Walker, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        walk.driver.save_screenshot(f"{folder}/{name}.png")


def test_a_schedule_is_made_with_a_look_at_its_next_times(walk: Walker) -> None:
    walk.sign_in()
    walk.go("/schedules")
    walk.wait("No schedules yet")
    walk.go("/schedules/new")
    walk.fill("#id_name", "nightly")
    walk.fill("#id_cron", "30 25 * * *")
    walk.wait("The hour, 25", "#next")
    walk.fill("#id_cron", "30 4 * * *")
    walk.fill("#id_time_zone", "Asia/Tokyo")
    walk.wait("04:30:00 JST", "#next")
    picture(walk, "edit")
    walk.click("#save")
    walk.wait("The schedule is saved.")
    assert walk.path == f"/schedules/{Schedule.objects.get().pk}"
    walk.wait("active", "#schedule-live .state-big")
    walk.fill("#reason", "moving house")
    walk.click("#pause")
    walk.wait("paused", "#schedule-live .state-big")
    walk.wait("moving house", "#schedule-live")
    walk.click("#run-now")
    walk.wait("is in.")
    assert f"Job {Job.objects.get().pk} is in." in walk.text()
    walk.click("#resume")
    walk.wait("active", "#schedule-live .state-big")
    Schedule.objects.update(last_error="no such luck")
    walk.wait("no such luck", "#schedule-live")  # without a reload
    walk.go("/submit")
    walk.fill("#id_command", "convert in.png out.png")
    walk.click("button[name=schedule]")
    walk.wait_path("/schedules/new")
    assert "convert in.png out.png" in str(walk.find("#id_body").get_attribute("value"))


def test_nothing_sticks_out_on_a_small_screen(walk: Walker) -> None:
    now, owner = timezone.now(), make_user("chief")
    schedule = make_eventful(owner, now, LONG)
    make_eventful(owner, now, HOSTILE[:90])
    walk.sign_in()
    for width in (1280, 375):
        walk.narrow(width)
        for path in ("/schedules", f"/schedules/{schedule.pk}", f"/schedules/{schedule.pk}/edit"):
            walk.go(path)
            assert walk.too_wide() == [], (path, width)
            picture(walk, f"{path.strip('/').replace('/', '-')}-{width}")

"""From a group of failures to its jobs queued again, in a real browser."""

import os

from django.utils import timezone

from jobs import lifecycle
from jobs.lifecycle import Closing
from jobs.models import Job
from tests.browser.walker import Walker
from tests.factories import hold_lease, make_node
from tests.pages.rows import make_running

TRACEBACK = """Traceback (most recent call last):
  File "tasks/prices.py", line 41, in load
    return float(text)
ValueError: could not convert string to float: '{n},50'
"""


def picture(walk: Walker, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        walk.driver.save_screenshot(f"{folder}/failures-{name}.png")


def test_a_group_of_failures_is_seen_and_requeued(walk: Walker) -> None:
    now = timezone.now()
    hold_lease(now)
    nodes = [make_node(f"pi-{n}", slots=9, last_seen_at=now) for n in (1, 2, 3)]
    for n in range(12):
        job = make_running(now, nodes[n % 2], name=f"prices {n}")
        error = f"ValueError: could not convert string to float: '{n},50'"
        told = Closing(job.attempts.get().pk, "failed", error=error, error_type="ValueError",
                       traceback=TRACEBACK.format(n=n))  # fmt: skip
        lifecycle.close([told], now)
    for words in ("exited with status 1: curl: (6) Could not resolve host", "ran too long " * 30):
        job = make_running(now, nodes[2])
        lifecycle.close([Closing(job.attempts.get().pk, "failed", error=words)], now)
    walk.sign_in()
    walk.go("/jobs")
    walk.click(".head .actions a[href='/failures']")
    walk.wait_path("/failures")
    assert "On 2 of 3 nodes" in walk.text()
    picture(walk, "wide")
    for path in ("/failures", "/jobs"):
        walk.go(path)
        for width in (375, 1280):
            walk.narrow(width)
            assert walk.too_wide() == []
    walk.narrow(375)
    walk.go("/failures")
    picture(walk, "narrow")
    walk.narrow(1280)
    walk.click("a.name")
    walk.wait("could not convert string to float")
    picture(walk, "one")
    walk.narrow(375)
    assert walk.too_wide() == []
    picture(walk, "one-narrow")
    walk.narrow(1280)
    walk.click(".head .actions button")
    walk.wait("Queue 12 jobs again?")
    walk.click("button.button-first")
    walk.wait("12 jobs queued again.")
    assert Job.objects.filter(state="queued").count() == 12

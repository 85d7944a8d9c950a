"""The dispatcher hears of a commit, by the database's own way."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from django.db import connection, transaction

from jobs import lifecycle, wake
from jobs.models import Job
from tests.factories import make_job


@pytest.fixture
def heard() -> threading.Event:
    """Set by each wake-up; the listener is there when the test begins."""
    return threading.Event()


def listening(heard: threading.Event, stop: threading.Event, ring: Callable[[], object]) -> None:
    way = wake.listen if connection.vendor == "postgresql" else wake.hear
    threading.Thread(target=way, args=(heard.set, stop), daemon=True).start()
    deadline = time.monotonic() + 10
    while not heard.wait(0.05):
        assert time.monotonic() < deadline, "nobody listens"
        ring()


@pytest.mark.django_db(transaction=True)
def test_a_commit_wakes_the_dispatcher_and_nothing_before_it(
    heard: threading.Event, now: datetime
) -> None:
    stop = threading.Event()
    try:
        listening(heard, stop, lambda: make_job(now))
        time.sleep(0.3)  # what rang while we waited is heard by now
        heard.clear()
        with transaction.atomic():
            make_job(now)
            assert not heard.wait(0.3)
        assert heard.wait(5)
        time.sleep(0.3)
        heard.clear()
        lifecycle.cancel(Job.objects.all(), now, "alice")
        assert heard.wait(5)
    finally:
        stop.set()
        wake.ring()


@pytest.mark.django_db(transaction=True)
def test_a_submit_does_not_need_a_dispatcher_that_listens(now: datetime) -> None:
    assert make_job(now).state == "queued"

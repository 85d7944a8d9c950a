"""Submitting work and waiting for its end, in the benchmark's own process."""

import time
from typing import Any

POLL_SECONDS = 0.01


def owner() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username="bench")[0]


def submit(spec: dict[str, Any], count: int) -> Any:
    """One sweep over n, checked and queued as the API does it."""
    from django.utils import timezone

    from jobs.serializers import SweepIn
    from jobs.submit import submit_sweep

    body = {"spec": spec, "over": {"n": {"range": [0, count]}}}
    checked = SweepIn(data=body)
    checked.is_valid(raise_exception=True)
    return submit_sweep(checked.validated_data, owner(), timezone.now())


def wait(jobs: Any, seconds: float = 300.0) -> None:
    """Until none of them is open; fails if one did not succeed."""
    deadline = time.monotonic() + seconds
    unfinished = jobs.filter(state__in=["queued", "running"]).order_by()
    while unfinished.exists():
        assert time.monotonic() < deadline, f"{unfinished.count()} jobs did not end"
        time.sleep(POLL_SECONDS)
    bad = jobs.exclude(state="succeeded").first()
    assert bad is None, f"{bad}: {bad.state} {bad.error}"


def check_records(sweep: Any) -> None:
    """Every job has one attempt with its receipt, and the right result."""
    from jobs.models import Attempt, Job

    attempts = Attempt.objects.filter(job__sweep=sweep, outcome="succeeded")
    assert attempts.count() == sweep.total
    assert all("strategy" in receipt for receipt in attempts.values_list("placement", flat=True))
    if sweep.spec.kind == "function":
        for args, result in Job.objects.filter(sweep=sweep).values_list("args", "result")[:1000]:
            assert args == f'{{"n":{result}}}' or result == "null"

"""When, and whether, a job is tried again. Pure."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

BASE_SECONDS = 2.0
LONGEST_SECONDS = 300.0
MOST_LOSSES = 3  # a job lost this often is taken for the cause


def pause(number: int) -> float:
    """Seconds before the next attempt after `number` charged ones.

    Exponential, with a quarter of jitter either way so that a crowd does not come back together.
    """
    return min(LONGEST_SECONDS, BASE_SECONDS * 2 ** (number - 1)) * random.uniform(0.75, 1.25)


def next_run(charged: int, max_attempts: int, now: datetime) -> datetime | None:
    """When to try again after a failure that counts; None: the attempts are used up."""
    if charged >= max_attempts:
        return None
    return now + timedelta(seconds=pause(charged))


def worth_it(
    policy: Mapping[str, Any], timed_out: bool, exit_code: int | None, error_type: str
) -> bool:
    """Is this failure one that `retry_on` names? An empty policy names them all."""
    if not policy:
        return True
    if timed_out:
        return bool(policy.get("timeout"))
    return exit_code in policy.get("exit_codes", ()) or error_type in policy.get("exceptions", ())

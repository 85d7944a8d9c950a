"""When a job is tried again. Pure."""

import random
from datetime import datetime, timedelta

BASE_SECONDS = 2.0
LONGEST_SECONDS = 300.0
MOST_LOSSES = 3  # a job lost this often is taken for the cause


def pause(number: int) -> float:
    """Seconds before the next attempt after `number` charged ones: exponential, with jitter."""
    return min(LONGEST_SECONDS, BASE_SECONDS * 2 ** (number - 1)) * random.uniform(0.75, 1.25)


def next_run(charged: int, max_attempts: int, now: datetime) -> datetime | None:
    """When to try again after a failure that counts; None: the attempts are used up."""
    if charged >= max_attempts:
        return None
    return now + timedelta(seconds=pause(charged))

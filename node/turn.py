"""A bundle that was sent ahead waits for the one whose slot it gets. Standard library alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

PATIENCE_SECONDS = 2.0  # then it goes back: another slot may be free by now
LOOK_SECONDS = 0.002


def comes(before: Path) -> bool:
    """Wait until the folder of the bundle before is gone: it is, when that has ended.

    False if it takes too long, or if we are to stop.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    try:
        while before.exists():
            if time.monotonic() > give_up_at:
                return False
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return False
    return True


def nothing_started(text: str) -> str:
    """The answer of a bundle whose turn did not come."""
    data = json.loads(text)
    attempts = [member["attempt"] for member in data["members"]]
    return json.dumps({"bundle": data["bundle"], "not_started": attempts, "ended": []})

"""Places where the fault tests make a process die, named in DISPYCLUSTER_FAILPOINT. Off in life."""

import os
import signal

WANTED = os.environ.get("DISPYCLUSTER_FAILPOINT", "")


def reach(name: str) -> None:
    """Die here, as by a power cut, if the environment names this place."""
    if name == WANTED:
        os.kill(os.getpid(), signal.SIGKILL)

"""The node agent of this machine, with this home's port and secret filled in."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from dispycluster import settings
from dispycluster.home import private_file

NOT_FOR_NODES = ("SECRET_KEY", "DATABASE_URL", "DISPY_SECRET")  # jobs run there


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def agent_argv(
    host: str = "", name: str = "", slots: int = 0, scratch: str | Path = ""
) -> list[str]:
    host = host or settings.LOCAL_NODE
    tls = {"--certfile": settings.DISPY_CERTFILE, "--keyfile": settings.DISPY_KEYFILE}
    return [
        *(sys.executable, "-m", "node.agent"),
        *("--host", host),
        *("--name", name or socket.gethostname()),
        *("--slots", str(slots or cores())),
        *("--dispy-port", str(settings.DISPY_PORT)),
        *("--secret-file", str(secret_file())),
        *("--scratch", str(scratch or settings.HOME / f"node-{host}")),
        *("--log-level", settings.DISPY_LOGLEVEL),
        *(word for option, path in tls.items() if path for word in (option, path)),
    ]


def agent_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a job has no business to find."""
    kept = {name: text for name, text in environment.items() if name not in NOT_FOR_NODES}
    return with_code(kept)


def with_code(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `python -m node.agent` finds our code from any folder."""
    path = [str(settings.BASE_DIR), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def secret_file() -> Path:
    """The file that holds DISPY_SECRET, which may have come by environment."""
    path = settings.HOME / "secrets" / "dispy_secret"
    if not path.exists() or path.read_text().strip() != settings.DISPY_SECRET:
        path = settings.HOME / "engine" / "secret"
        private_file(path, settings.DISPY_SECRET)
    return path

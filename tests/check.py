"""Every check, in the order in which they are cheap: `python3 run.py test` ends here."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time

from tests import postgres

PYTHON = sys.executable
CHECKS = {
    "lint": ["-m", "ruff", "check"],
    "format": ["-m", "ruff", "format", "--check"],
    "types": ["-m", "mypy"],
    "migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
    "settings": ["manage.py", "check", "--deploy", "--fail-level", "WARNING"],
}
NO_TESTS = 5  # pytest found none


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="dispycluster-check-") as home:
        environment = {**os.environ, "DISPYCLUSTER_HOME": home}
        environment.pop("DATABASE_URL", None)
        for title, command in CHECKS.items():
            if status := step(title, command, environment):
                return status
        if status := step("tests on SQLite", ["-m", "pytest", *arguments], environment):
            return status
        if postgres.binaries() is None:
            print("== tests on PostgreSQL: skipped, it is not installed here", flush=True)
            return 0
        pytest = ["-m", "pytest", "-m", "not browser and (not live or both)", *arguments]
        with postgres.server() as url:
            status = step("tests on PostgreSQL", pytest, {**environment, "DATABASE_URL": url})
        return 0 if arguments and status == NO_TESTS else status


def step(title: str, command: list[str], environment: dict[str, str]) -> int:
    print(f"== {title}", flush=True)
    started = time.monotonic()
    status = subprocess.run([PYTHON, *command], env=environment).returncode
    words = "good" if status == 0 else f"FAILED (status {status})"
    print(f"== {title}: {words}, {time.monotonic() - started:.1f} s", flush=True)
    return status


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
    sys.exit(130)

"""Memory and time of an export with a million attempts: `python -m benchmarks.export`.

A process of its own asks Django's whole stack for the file, as the web server would, and throws
it away; its peak of resident memory is the operating system's own figure.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure import emit, header, parser, quiet, row
from benchmarks.stack import database
from benchmarks.work import owner

JOBS = 1_000_000
ASKED = [("attempts", "csv"), ("attempts", "json"), ("attempts", "ndjson"), ("jobs", "csv")]


def peak_mb() -> float:
    """Of this program: what getrusage tells begins with the peak of whoever started it."""
    [line] = [row for row in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in row]
    return int(line.split()[1]) * 1024 / 1e6


def take(what: str, form: str) -> dict[str, Any]:
    """In a process of its own: one export, read to its end."""
    import django

    django.setup()
    from django.test import Client, override_settings

    client = Client()
    client.force_login(owner(), "django.contrib.auth.backends.ModelBackend")
    with override_settings(ALLOWED_HOSTS=["*"]):
        client.get("/api/jobs/status")  # loads what is loaded at the first request
        before, started, size = peak_mb(), time.monotonic(), 0
        answer: Any = client.get(f"/api/monitoring/export?what={what}&format={form}")
        assert answer.status_code == 200, answer.content
        for part in answer.streaming_content:
            size += len(part)
    return {"before_mb": before, "peak_mb": peak_mb(), "bytes": size,
            "seconds": time.monotonic() - started}  # fmt: skip


def measure(options: argparse.Namespace) -> dict[str, Any]:
    quiet(options)
    found: dict[str, Any] = {"jobs": options.jobs, "exports": []}
    with database(options.database):
        from django.core.management import call_command

        from benchmarks.million import fill

        call_command("collectstatic", verbosity=0, interactive=False)
        fill(options.jobs)
        for what, form in ASKED:
            command = [sys.executable, "-m", "benchmarks.export", "--take", what, form]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
            found["exports"].append({"what": what, "format": form, **json.loads(told.stdout)})
    return found


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header(f"of {found['jobs']:,} jobs", "file", "time", "memory before", "peak")
    for each in found["exports"]:
        yield row(f"{each['what']}, {each['format']}", f"{each['bytes'] / 1e6:.0f} MB",
                  f"{each['seconds']:.0f} s", f"{each['before_mb']:.0f} MB",
                  f"{each['peak_mb']:.0f} MB")  # fmt: skip


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=JOBS)
    options.add_argument("--take", nargs=2, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.take:
        print(json.dumps(take(*chosen.take)))
    else:
        emit(chosen, measure(chosen), table)

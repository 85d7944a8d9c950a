"""What it costs when there is nothing to do: `python -m benchmarks.idle`.

Web, dispatcher and monitor as the README starts them, one node, no work; after a settling time
their CPU, memory and commits are counted for a minute.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter, emit, header, memory_mb, parser, quiet, row
from benchmarks.stack import stack

SETTLE_SECONDS, SECONDS = 45.0, 60.0


def begin_count(kind: str) -> int:
    """Where commits() is to count from."""
    from django.db import connection

    if kind == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return commits(kind)


def commits(kind: str) -> int:
    """PostgreSQL: numbers given to transactions that wrote, the one of this question included."""
    from django.db import connection

    if kind == "sqlite":
        return commit_frames(Path(connection.settings_dict["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
        return int(cursor.fetchone()[0])


def commit_frames(database: Path) -> int:
    """Commits in SQLite's log: frames whose header names the database's size."""
    log = database.with_name(f"{database.name}-wal").read_bytes()
    if not log:
        return 0
    page = int.from_bytes(log[8:12], "big")
    salts = log[16:24]
    frames = range(32, len(log) - 23, 24 + page)
    return sum(
        log[at + 8 : at + 16] == salts and log[at + 4 : at + 8] != b"\0\0\0\0" for at in frames
    )


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    with stack(options.database, nodes=1, slots=1) as fleet:
        from tests.faults.web import Web

        Web(fleet).start()
        fleet.start("monitor", "manage.py", "monitor")
        time.sleep(SETTLE_SECONDS)
        pids = {name: process.pid for name, process in fleet.processes.items()}
        meter, before, started = Meter(pids), begin_count(options.database), time.monotonic()
        time.sleep(SECONDS)
        took = time.monotonic() - started
        used, after = meter.used(), commits(options.database)
        memory = {name: memory_mb(pid) for name, pid in pids.items()}
    node = fleet.addresses[0]
    rename = {node: "node agent"}
    return {
        "cpu_percent": {rename.get(n, n): 100 * value / took for n, value in used.items()},
        "memory_mb": {rename.get(n, n): value for n, value in memory.items()},
        "commits_per_second": (after - before) / took,
        "cores": os.cpu_count(),
    }


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header("idle", "% of a core", "MB (proportional)")
    for name, share in found["cpu_percent"].items():
        yield row(name, f"{share:.2f}", f"{found['memory_mb'][name]:.0f}")
    ours = [name for name in found["cpu_percent"] if name != "node agent"]
    yield row(
        "web + dispatcher + monitor",
        f"{sum(found['cpu_percent'][name] for name in ours):.2f}",
        f"{sum(found['memory_mb'][name] for name in ours):.0f}",
    )
    yield f"\nCommits per second: {found['commits_per_second']:.2f}"


if __name__ == "__main__":
    chosen = parser(__doc__).parse_args()
    emit(chosen, measure(chosen), table)

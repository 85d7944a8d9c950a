"""A million jobs through one dispatcher: `python -m benchmarks.soak`. Does its memory grow?

Sweeps of no-op functions one after the other; the dispatcher's memory after each.
"""

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.measure import emit, header, memory_mb, parser, quiet, row
from benchmarks.stack import stack
from benchmarks.work import submit, wait

JOBS, EACH = 1_000_000, 50_000
SPEC = {"kind": "function", "function": "bench.noop", "isolation": "shared"}


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    with stack(options.database, nodes=2, slots=1) as fleet:
        from jobs.models import Attempt, Job

        dispatcher = fleet.processes["dispatcher"].pid
        wait(Job.objects.filter(sweep=submit(SPEC, EACH)))  # warm
        steps: list[dict[str, Any]] = [{"jobs": EACH, "memory_mb": memory_mb(dispatcher)}]
        done = EACH
        while done < options.jobs:
            started = time.monotonic()
            wait(Job.objects.filter(sweep=submit(SPEC, EACH)))
            done += EACH
            took = time.monotonic() - started
            memory = memory_mb(dispatcher)
            steps.append({"jobs": done, "memory_mb": memory, "per_second": EACH / took})
        assert Attempt.objects.filter(outcome="succeeded").count() == done
    return {"steps": steps, "growth_mb": steps[-1]["memory_mb"] - steps[0]["memory_mb"]}


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header("jobs so far", "dispatcher's memory", "jobs/s")
    for step in found["steps"]:
        rate = f"{step['per_second']:,.0f}" if "per_second" in step else "–"
        yield row(f"{step['jobs']:,}", f"{step['memory_mb']:.1f} MB", rate)
    yield f"\nGrowth after the first {EACH:,}: {found['growth_mb']:+.1f} MB"


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=JOBS)
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)

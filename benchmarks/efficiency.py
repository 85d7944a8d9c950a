"""How much of the slots' time goes into work: 200 jobs of 50 ms on two slots.

`python -m benchmarks.efficiency`: ideal makespan / actual one, from the submit to the last result
committed; beside it the same by dispy alone.
"""

import time
from collections.abc import Iterable
from typing import Any

from benchmarks import dispy_alone
from benchmarks.measure import emit, header, parser, quiet, row, spread
from benchmarks.stack import stack
from benchmarks.work import submit, wait

JOBS, SECONDS, SLOTS = 200, 0.05, 2
PAUSE: dict[str, Any] = {"kind": "function", "function": "bench.pause"}
CASES = {
    "functions, shared": {**PAUSE, "isolation": "shared"},
    "functions, a child each": PAUSE,
    "commands: sleep": {"kind": "command", "command": f"sleep {SECONDS}"},
}
IDEAL = JOBS * SECONDS / SLOTS


def run(spec: dict[str, Any]) -> float:
    from jobs.models import Job

    started = time.monotonic()
    sweep = submit(spec, JOBS)
    wait(Job.objects.filter(sweep=sweep))
    return IDEAL / (time.monotonic() - started)


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    alone = [IDEAL / dispy_alone.measure("pause", JOBS)["seconds"] for _ in range(options.runs)]
    found = {}
    with stack(options.database, nodes=SLOTS, slots=1):
        quiet(options)
        for name, spec in CASES.items():
            run(spec)
            found[name] = spread([run(spec) for _ in range(options.runs)])
    return {**found, "dispy alone": spread(alone)}


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header(f"{JOBS} jobs of {1000 * SECONDS:.0f} ms, {SLOTS} slots", "median", "least",
                      "most")  # fmt: skip
    for name, share in found.items():
        yield row(name, *(f"{value:.3f}" for value in share.values()))


if __name__ == "__main__":
    chosen = parser(__doc__).parse_args()
    emit(chosen, measure(chosen), table)

"""How fast the replay is: `python -m benchmarks.replay --fleet-nodes 1000 --jobs 1000000`.

Made-up fleets and jobs, arriving one by one and all at the start, each strategy in a process of its
own: seconds, CPU seconds, and the most memory the process had.
`python -m benchmarks.replay --strategy least_connections --burst 0` takes one alone.
"""

import argparse
import gc
import json
import multiprocessing
import resource
import time
from dataclasses import replace
from itertools import product
from typing import Any

from benchmarks.measure import header, row
from cluster.strategies import STRATEGIES
from monitoring.fleets import MadeUp, made_up
from monitoring.replay import replay

COLUMNS = (
    "strategy", "at the start", "seconds", "CPU seconds", "memory", "mean wait", "p95 wait",
    "in use",
)  # fmt: skip


def run(made: MadeUp, strategy: str) -> dict[str, Any]:
    gc.disable()  # as in the command
    started, used = time.perf_counter(), time.process_time()
    scene, work = made_up(made, strategy)
    outcome = replay(work, scene)
    return {
        "strategy": strategy,
        "burst": made.burst,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - used,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "jobs": outcome.jobs,
        "never": outcome.never,
        "makespan": outcome.makespan,
        "mean_wait": outcome.mean_wait,
        "p95_wait": outcome.p95_wait,
        "utilisation": outcome.utilisation,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fleet-nodes", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument(
        "--burst", type=float, nargs="*", default=[0.0, 1.0], help="shares there at the start"
    )
    parser.add_argument("--strategy", action="append", choices=list(STRATEGIES), default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    made = MadeUp(options.fleet_nodes, options.jobs, load=options.load)
    if not options.json:
        print(f"{made.jobs:,} jobs, {made.nodes:,} nodes, load {made.load:g}\n")
        print(*header(*COLUMNS), sep="\n", flush=True)
    found = []
    for burst, strategy in product(options.burst, options.strategy or STRATEGIES):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(run, (replace(made, burst=burst), strategy)))
        if not options.json:
            print(line(found[-1]), flush=True)
    if options.json:
        print(json.dumps(found))


def line(one: dict[str, Any]) -> str:
    return row(
        one["strategy"], f"{100 * one['burst']:.0f} %", f"{one['seconds']:.0f} s",
        f"{one['cpu_seconds']:.0f} s", f"{one['memory_mb']:.0f} MB", f"{one['mean_wait']:.2f} s",
        f"{one['p95_wait']:.2f} s", f"{100 * one['utilisation']:.0f} %",
    )  # fmt: skip


if __name__ == "__main__":
    main()

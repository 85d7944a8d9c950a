"""The makespan of the same jobs under each strategy, on nodes of unequal speed.

`python -m benchmarks.strategies`: three real nodes on loopback, on which the same job takes 1.5,
3 and 6 s by its own say (it sleeps for as long as its node's name tells it to). The bound is
total work / total speed: no schedule can be faster.
"""

import argparse
import json
import time
from typing import Any

from benchmarks.stack import stack

SECONDS = {"node-1": 1.5, "node-2": 3.0, "node-3": 6.0}
COMMAND = (
    "case $DISPYCLUSTER_NODE in "
    + " ".join(f"{name}) sleep {seconds} ;;" for name, seconds in SECONDS.items())
    + " esac"
)


def bound(jobs: int, slots: int) -> float:
    return jobs / sum(slots / seconds for seconds in SECONDS.values())


def submit(count: int, strategy: str) -> Any:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from jobs.serializers import SweepIn
    from jobs.submit import submit_sweep

    owner, _ = User.objects.get_or_create(username="bench")
    spec = {"kind": "command", "command": COMMAND, "strategy": strategy}
    checked = SweepIn(data={"spec": spec, "over": {"n": {"range": [0, count]}}})
    checked.is_valid(raise_exception=True)
    return submit_sweep(checked.validated_data, owner, timezone.now())


def run(count: int, strategy: str) -> tuple[float, dict[str, int]]:
    """Seconds from the submit to the last result committed, and jobs by node."""
    from collections import Counter

    from jobs.models import Job

    started = time.monotonic()
    sweep = submit(count, strategy)
    unfinished = Job.objects.filter(sweep=sweep, finished_at=None)
    while unfinished.exists():
        time.sleep(0.02)
    took = time.monotonic() - started
    ended = Job.objects.filter(sweep=sweep)
    assert ended.filter(state="succeeded").count() == count
    return took, dict(Counter(ended.values_list("node__name", flat=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with stack(options.database, len(SECONDS), options.slots):
        from cluster.models import Node
        from cluster.strategies import STRATEGIES

        while Node.objects.filter(speed=None).exists() or Node.objects.filter(
            speed_evidence__0__spec=0
        ):
            run(9 * options.slots, "least_connections")  # until all are measured on real work
        speeds = dict(Node.objects.values_list("name", "speed"))
        least = bound(options.jobs, options.slots)
        found: dict[str, dict[str, Any]] = {}
        for strategy in STRATEGIES:
            took, by_node = run(options.jobs, strategy)
            found[strategy] = {"seconds": took, "times_the_bound": took / least, "jobs": by_node}
    if options.json:
        print(json.dumps({"bound": least, "speeds": speeds, "strategies": found}))
        return
    measured = ", ".join(f"{name} {speed:.2f}" for name, speed in sorted(speeds.items()))
    print(f"{options.jobs} jobs, 3 nodes of {options.slots} slots; measured speeds: {measured}")
    print(f"lower bound: {least:.1f} s")
    print("| strategy | makespan | × bound | jobs on node-1 / 2 / 3 |")
    print("|---|---|---|---|")
    for strategy, row in found.items():
        shares = " / ".join(str(row["jobs"].get(name, 0)) for name in SECONDS)
        print(
            f"| {strategy} | {row['seconds']:.1f} s | {row['times_the_bound']:.2f} | {shares} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

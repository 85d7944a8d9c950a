"""How long placing takes: `python -m benchmarks.placement --jobs 10000 --nodes 500`.

CPU seconds of one process, for each strategy: the median of five runs, with least and most.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

from cluster.placement import Need, NodeView, Placer
from cluster.strategies import STRATEGIES


def fleet(count: int, slots: int) -> list[NodeView]:
    """Nodes of three kinds, a tenth of them down or draining."""
    kinds = [frozenset({"arch:aarch64"}), frozenset({"arch:x86_64"}), frozenset({"gpu"})]
    return [
        NodeView(
            id=number, name=f"node-{number:04}", address=f"10.0.0.{number}", slots=slots,
            online=number % 20 != 0, draining=number % 20 == 1, tags=kinds[number % 3],
            memory_free=2**32, memory_total=2**33, speed=1 + number % 5, turn=number,
        )
        for number in range(count)
    ]  # fmt: skip


def place_all(jobs: int, nodes: list[NodeView], strategy: str) -> int:
    """As the claim does: in order, until no node takes any more. How many were placed now."""
    needs = [Need(), Need(memory_mb=256), Need(tags=frozenset({"gpu"})), Need(slots=2)]
    placer, placed, full = Placer(nodes), 0, set[Need]()
    seconds: Callable[[int], float | None] = lambda node: 0.1 + node % 7  # noqa: E731
    for number in range(jobs):
        need = needs[number % len(needs)]
        if need in full:
            continue
        choice = placer.place(need, strategy, seconds, kind=number % 20)
        if choice is None:
            full.add(need)
        elif choice.now:
            placed += 1
    return placed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random.seed(1)
    found = {}
    for strategy in STRATEGIES:
        took = []
        for _ in range(5):
            nodes = fleet(options.nodes, options.slots)
            started = time.process_time()
            placed = place_all(options.jobs, nodes, strategy)
            took.append(time.process_time() - started)
        found[strategy] = {
            "placed": placed, "seconds": statistics.median(took), "least": min(took),
            "most": max(took), "microseconds_each": 1e6 * statistics.median(took) / placed,
        }  # fmt: skip
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.jobs} jobs, {options.nodes} nodes of {options.slots} slots")
    print("| strategy | placed | CPU seconds (median of 5) | least | most | µs a placement |")
    print("|---|---|---|---|---|---|")
    for strategy, row in found.items():
        print(
            f"| {strategy} | {row['placed']} | {row['seconds']:.3f} | {row['least']:.3f} "
            f"| {row['most']:.3f} | {row['microseconds_each']:.0f} |"
        )


if __name__ == "__main__":
    main()

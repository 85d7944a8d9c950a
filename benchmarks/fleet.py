"""How long a claim takes as the fleet grows: `python -m benchmarks.fleet`.

Every node measured on every one of 24 specs, each slot of 17 in 20 nodes taken, the others far too
slow to be worth a start: a strategy that looks ahead looks at each job and starts none of them.
"""

import math
import random
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from benchmarks.measure import emit, header, parser, percentile, quiet, row
from benchmarks.stack import database
from benchmarks.work import owner

NODES = (10, 100, 1000)
CASES = (("least_connections", 1), ("earliest_finish", 1), ("earliest_finish", 1000))
SPECS, SECONDS, SLOW = 24, 600.0, 1e-3


def make_nodes(count: int, now: datetime) -> list[Any]:
    """More nodes, until so many are there; all of them, the fast ones first."""
    from cluster.models import Node

    rng, there = random.Random(count), Node.objects.count()
    Node.objects.bulk_create(
        Node(
            name=f"node-{number:04}", address=f"node-{number:04}", slots=(2, 4, 8)[number % 3],
            speed=SLOW if number % 20 < 3 else rng.lognormvariate(0.0, 0.35), online=True,
            patched=True, memory_total=2**33, memory_free=2**32, last_seen_at=now, added_at=now,
        )
        for number in range(there, count)
    )  # fmt: skip
    return list(Node.objects.order_by("-speed"))


def make_specs(now: datetime) -> list[Any]:
    from jobs.serializers import JobIn
    from jobs.specs import spec_of

    found = []
    for number in range(SPECS):
        checked = JobIn(data={"kind": "command", "command": f"true {number}"})
        checked.is_valid(raise_exception=True)
        found.append(spec_of(checked.validated_data, now))
    return found


def queue(count: int, specs: list[Any], now: datetime) -> None:
    from jobs.models import Job
    from jobs.rows import insert_rows
    from jobs.submit import JOB_FIELDS

    user = owner().pk
    rows = (
        ("", spec.pk, spec.need_id, None, user, "{}", 0, 1, "retry", "", "queued", now, False, 0, 0,
         0, 0, now, "")
        for number in range(count)
        for spec in [specs[number % SPECS]]
    )  # fmt: skip
    insert_rows(Job, JOB_FIELDS, rows)


def take_slots(nodes: list[Any], specs: list[Any], now: datetime) -> None:
    """A running job on each slot of the nodes that are not slow."""
    from jobs.models import Attempt, Job

    slots = [node for node in nodes if node.speed > SLOW for _ in range(node.slots)]
    queue(len(slots), specs, now)
    jobs = list(Job.objects.values_list("pk", flat=True))
    Job.objects.update(state="running")
    Attempt.objects.bulk_create(
        Attempt(
            job_id=job, number=1, node=node, bundle=job, slots=1, placement={},
            claimed_at=now - timedelta(seconds=random.uniform(0, SECONDS)),
        )
        for job, node in zip(jobs, slots, strict=True)
    )  # fmt: skip


def one_claim(epoch: int, times: Any) -> tuple[float, float]:
    """Milliseconds, and those of CPU in this process; what it took is put back."""
    from django.utils import timezone

    from jobs import lifecycle
    from jobs.ahead import Ahead
    from jobs.claim import claim
    from jobs.lifecycle import Closing

    now = timezone.now()
    started, used = time.monotonic(), time.process_time()
    packed = claim(epoch, now, times, set(), {}, set(), Ahead())
    took = 1000 * (time.monotonic() - started), 1000 * (time.process_time() - used)
    attempts = [attempt for bundle in packed for attempt in bundle.attempts.values()]
    lifecycle.close([Closing(attempt, "released") for attempt in attempts], now)
    return took


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    found = {}
    with database(options.database):
        from django.utils import timezone

        from cluster import setting
        from jobs import lease
        from jobs.models import Attempt, Job
        from jobs.runtimes import RunTimes, Stat

        epoch = lease.take("dispatcher", "bench", timezone.now(), seconds=7200)
        assert epoch
        specs = make_specs(timezone.now())
        for count in options.nodes:
            Attempt.objects.all().delete()
            Job.objects.all().delete()
            nodes, times = make_nodes(count, timezone.now()), RunTimes()
            for node in nodes[: len(nodes) * 4 // 5]:  # RunTimes keeps 20,000 pairs at most
                for spec in specs:
                    times.put(spec.pk, node.pk, Stat(5, math.log(SECONDS / node.speed)))
            take_slots(nodes, specs, timezone.now())
            there = 0
            for strategy, jobs in CASES:
                setting.choose("strategy", strategy, "bench", timezone.now())
                queue(jobs - there, specs, timezone.now())
                there = jobs
                took = [one_claim(epoch, times) for _ in range(options.claims + 3)][3:]
                found[f"{count} {strategy} {jobs}"] = {
                    "p50": percentile([wall for wall, _ in took], 50),
                    "cpu": percentile([cpu for _, cpu in took], 50),
                    "least": min(cpu for _, cpu in took),
                }
    return found


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header("nodes", "strategy", "jobs ready", "p50", "CPU, p50", "CPU, least")
    for case, p in found.items():
        times = (f"{p[name]:.1f} ms" for name in ("p50", "cpu", "least"))
        yield row(*case.split(), *times)


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--nodes", type=int, nargs="*", default=NODES)
    options.add_argument("--claims", type=int, default=20)
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)

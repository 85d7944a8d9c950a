"""How long a claim takes as the queue grows: `python -m benchmarks.depth`.

Mixed priorities and needs; two one-slot nodes that never work: each claim is released again.
"""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from benchmarks.measure import emit, header, parser, percentile, quiet, row
from benchmarks.stack import database
from benchmarks.work import owner

DEPTHS = (10_000, 100_000, 1_000_000)
CLAIMS = 300
NEEDS: tuple[dict[str, Any], ...] = ({}, {"memory_mb": 64}, {"tags": ["gpu"]}, {"slots": 1},
                                     {"tags": ["ssd"]})  # fmt: skip
CHUNK = 50_000


def fill(total: int, there: int, now: datetime) -> None:
    """Queue more until `total` are."""
    from django.db import transaction

    from jobs.models import Job, Spec
    from jobs.rows import insert_rows
    from jobs.serializers import JobIn
    from jobs.specs import spec_of
    from jobs.submit import JOB_FIELDS

    specs: list[Spec] = []
    for number in range(20):
        need = NEEDS[number % len(NEEDS)]
        checked = JobIn(data={"kind": "command", "command": f"true {number}", "needs": need})
        checked.is_valid(raise_exception=True)
        specs.append(spec_of(checked.validated_data, now))
    user = owner().pk
    while there < total:
        some = range(there, min(total, there + CHUNK))
        rows = (
            ("", spec.pk, spec.need_id, None, user, "{}", n % 5 - 2, 1, "retry", "", "queued", now,
             False, 0, 0, 0, 0, now, "")
            for n in some
            for spec in [specs[n % len(specs)]]
        )  # fmt: skip
        with transaction.atomic():
            insert_rows(Job, JOB_FIELDS, rows)
        there = some.stop


def one_claim(epoch: int) -> float:
    """Milliseconds; what it took is put back."""
    from django.utils import timezone

    from jobs import lifecycle
    from jobs.ahead import Ahead
    from jobs.claim import claim
    from jobs.lifecycle import Closing
    from jobs.runtimes import RunTimes

    now = timezone.now()
    started = time.monotonic()
    packed = claim(epoch, now, RunTimes(), set(), {}, set(), Ahead())
    took = 1000 * (time.monotonic() - started)
    attempts = [attempt for bundle in packed for attempt in bundle.attempts.values()]
    assert attempts
    lifecycle.close([Closing(attempt, "released") for attempt in attempts], now)
    return took


def measure(options: Any) -> dict[str, Any]:
    found, there = {}, 0
    quiet(options)
    with database(options.database):
        from django.utils import timezone

        from cluster.models import Node
        from jobs import lease

        epoch = lease.take("dispatcher", "bench", timezone.now(), seconds=7200)
        assert epoch
        for name, tags in (("node-1", ["ssd"]), ("node-2", [])):
            Node.objects.create(
                name=name, address=name, slots=1, online=True, patched=True, tags=tags,
                memory_total=2**32, memory_free=2**31, last_seen_at=timezone.now(),
                added_at=timezone.now(),
            )  # fmt: skip
        for depth in options.depths:
            fill(depth, there, timezone.now())
            there = depth
            for _ in range(20):
                one_claim(epoch)
            took = [one_claim(epoch) for _ in range(CLAIMS)]
            found[depth] = {f"p{p}": percentile(took, p) for p in (50, 95, 99)}
    return found


def table(found: dict[int, Any]) -> Iterable[str]:
    yield from header("queued", "p50", "p95", "p99")
    for depth, p in found.items():
        yield row(f"{depth:,}", *(f"{value:.1f} ms" for value in p.values()))


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--depths", type=int, nargs="*", default=DEPTHS)
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)

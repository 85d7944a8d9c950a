"""How long one job takes when nothing else is to be done, and how soon a large sweep begins.

`python -m benchmarks.latency`: jobs one at a time, in process, from the submit call to the result
committed; then a sweep of 100,000: the submit, and from its commit to the first result.
"""

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.measure import emit, header, parser, percentile, quiet, row, spread
from benchmarks.stack import stack
from benchmarks.work import owner, submit

SINGLES = 200
SWEEP = 100_000
LOOK_SECONDS = 0.0005
CASES: dict[str, dict[str, Any]] = {
    "a function, shared": {"kind": "function", "function": "bench.noop", "isolation": "shared"},
    "a function, a child of its own": {"kind": "function", "function": "bench.noop"},
    "/bin/true": {"kind": "command", "command": ["/bin/true"]},
}


def single(spec: dict[str, Any]) -> float:
    """Milliseconds."""
    from django.utils import timezone

    from jobs.models import Job
    from jobs.serializers import JobIn
    from jobs.submit import submit as submit_one

    args = {"args": {"n": 1}} if spec["kind"] == "function" else {}
    started = time.monotonic()
    checked = JobIn(data={**spec, **args})
    checked.is_valid(raise_exception=True)
    job = submit_one(checked.validated_data, owner(), timezone.now())
    final = Job.objects.filter(pk=job.pk, finished_at__isnull=False)
    while not final.exists():
        time.sleep(LOOK_SECONDS)
    took = 1000 * (time.monotonic() - started)
    assert Job.objects.get(pk=job.pk).state == "succeeded"
    time.sleep(0.02)  # to be idle again
    return took


def large(count: int) -> tuple[float, float]:
    """Seconds of the submit, and from there to the first result; then it is cancelled."""
    from django.utils import timezone

    from jobs import lifecycle, tally
    from jobs.models import Job

    started = time.monotonic()
    sweep = submit(CASES["a function, shared"], count)
    submitted = time.monotonic()
    jobs = Job.objects.filter(sweep=sweep)
    while not any(kind == "succeeded" for _, kind, count in tally.of_sweeps([sweep.pk]) if count):
        time.sleep(LOOK_SECONDS)
    first = time.monotonic()
    while lifecycle.cancel(jobs.filter(state__in=["queued", "running"]), timezone.now(), "bench"):
        time.sleep(0.2)
    while jobs.filter(finished_at=None).exists():
        time.sleep(0.2)
    return submitted - started, first - submitted


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    with stack(options.database, nodes=2, slots=1):
        quiet(options)
        singles = {}
        for name, spec in CASES.items():
            for _ in range(20):
                single(spec)
            took = [single(spec) for _ in range(SINGLES)]
            singles[name] = {f"p{p}": percentile(took, p) for p in (50, 95, 99)}
        sweeps = [large(SWEEP) for _ in range(options.runs)]
    return {
        "milliseconds": singles,
        "sweep": {
            "jobs": SWEEP,
            "submit_seconds": spread([submit for submit, _ in sweeps]),
            "first_result_ms": spread([1000 * first for _, first in sweeps]),
        },
    }


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header("one at a time, idle", "p50", "p95", "p99")
    for name, p in found["milliseconds"].items():
        yield row(name, *(f"{p[key]:.1f} ms" for key in ("p50", "p95", "p99")))
    sweep = found["sweep"]
    yield ""
    yield from header(f"a sweep of {sweep['jobs']:,}", "median", "least", "most")
    yield row("submit", *(f"{v:.2f} s" for v in sweep["submit_seconds"].values()))
    yield row("first result after it", *(f"{v:.0f} ms" for v in sweep["first_result_ms"].values()))


if __name__ == "__main__":
    chosen = parser(__doc__).parse_args()
    emit(chosen, measure(chosen), table)

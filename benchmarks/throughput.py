"""Jobs a second, from the submit to the last result committed: `python -m benchmarks.throughput`.

Two real nodes of one slot, everything on this machine, each case several times; beside it, in the
same run, the same calls by dispy alone.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks import dispy_alone
from benchmarks.measure import Meter, emit, header, parser, quiet, row, spread
from benchmarks.stack import stack
from benchmarks.work import check_records, owner, submit, wait

NOOP: dict[str, Any] = {"kind": "function", "function": "bench.noop"}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "shared": ("no-op functions, shared", {**NOOP, "isolation": "shared"}, 10_000),
    "fork": ("no-op functions, a child each", NOOP, 3_000),
    "command": ("/bin/true", {"kind": "command", "command": ["/bin/true"]}, 2_000),
}
ALONE = {"shared": ("noop", 500), "fork": ("noop", 500), "command": ("true", 500)}
POSTS, CONNECTIONS = 2_000, 4


def sweep(spec: dict[str, Any], count: int) -> float:
    from jobs.models import Job

    started = time.monotonic()
    made = submit(spec, count)
    wait(Job.objects.filter(sweep=made))
    took = time.monotonic() - started
    check_records(made)
    return took


def post_all(web: Any, count: int) -> float:
    """`count` jobs by single requests over a few connections that stay open, until all ended."""
    from jobs.models import Job

    newest = Job.objects.order_by("-id").values_list("id", flat=True).first() or 0
    body = json.dumps({**NOOP, "isolation": "shared", "args": {"n": 1}})
    head = {"Authorization": f"Bearer {web.token}", "Content-Type": "application/json"}
    bad: list[int] = []

    def some() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
        for _ in range(count // CONNECTIONS):
            connection.request("POST", "/api/jobs", body, head)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                bad.append(answer.status)
        connection.close()

    started = time.monotonic()
    threads = [threading.Thread(target=some) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not bad, f"{len(bad)} were refused, the first with {bad[0]}"
    wait(Job.objects.filter(id__gt=newest))
    return time.monotonic() - started


def repeat(runs: int, fleet: Any, count: int, case: Callable[[], float]) -> dict[str, Any]:
    """Once to warm up, then `runs` times."""
    case()
    rates, meter = [], Meter({name: process.pid for name, process in fleet.processes.items()})
    for _ in range(runs):
        rates.append(count / case())
    cpu = {
        fleet.name(name) if name in fleet.addresses else name: 1000 * used / (count * runs)
        for name, used in meter.used().items()
    }
    return {"jobs": count, "per_second": spread(rates), "cpu_seconds_per_1000": cpu}


def measure(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    chosen = options.only or [*CASES, "posts"]
    quiet(options)
    for name in chosen:
        if name in ALONE and not options.no_reference:
            kind, count = ALONE[name]
            alone = [dispy_alone.measure(kind, count)["per_second"] for _ in range(options.runs)]
            found[name] = {"dispy_per_second": spread(alone)}
    with stack(options.database, nodes=2, slots=1) as fleet:
        from tests.faults.web import Web

        quiet(options)
        for name in chosen:
            if name in CASES:
                title, spec, count = CASES[name]
                ran = repeat(options.runs, fleet, count, partial(sweep, spec, count))
            else:
                title, web = "single POSTs, 4 connections", Web(fleet)
                web.sign_in(owner())
                web.start()
                ran = repeat(options.runs, fleet, POSTS, partial(post_all, web, POSTS))
            found[name] = {"title": title, **ran, **found.get(name, {})}
    return found


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header("case", "jobs", "jobs/s: median (least–most)", "dispy alone", "ratio",
                      "CPU s per 1,000 jobs")  # fmt: skip
    for case in found.values():
        rate, alone = case["per_second"], case.get("dispy_per_second")
        cpu = ", ".join(f"{n} {used:.2f}" for n, used in case["cpu_seconds_per_1000"].items())
        yield row(
            case["title"], f"{case['jobs']:,}",
            f"{rate['median']:,.0f} ({rate['least']:,.0f}–{rate['most']:,.0f})",
            f"{alone['median']:,.0f}" if alone else "–",
            f"{rate['median'] / alone['median']:.1f}" if alone else "–", cpu,
        )  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", nargs="*", choices=[*CASES, "posts"])
    options.add_argument("--no-reference", action="store_true")
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)


if __name__ == "__main__":
    main()

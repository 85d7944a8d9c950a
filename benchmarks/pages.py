"""How long pages and lists take with a million jobs: `python -m benchmarks.pages`.

Each view through Django's whole stack, without the network, as a signed-in member of staff: once
in a process that has shown nothing yet, as the web server is after its start, then a hundred
times. `--failing`: the pages of failures, where nearly all of the jobs failed.
"""

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from benchmarks import million, watched
from benchmarks.measure import emit, header, parser, percentile, quiet, row
from benchmarks.stack import database
from benchmarks.work import owner

JOBS, VIEWS = 1_000_000, 100
CORE_MS, OTHERS_MS = 100.0, 300.0  # wanted, of p99
CORE = (
    "/", "/live/dashboard", "/jobs", "/jobs?state=failed", "/jobs?state=queued",
    "/live/jobs?newest=1", "/live/jobs?{shown}", "/api/jobs", "/api/jobs?state=failed",
    "/api/jobs?state=queued", "/api/jobs/status",
)  # fmt: skip
JOBS_LISTS = (
    "/jobs?before={middle}", "/jobs?state=failed&before={middle}", "/jobs?state=cancelled",
    "/jobs?reason=pending", "/jobs?kind=command", "/jobs?sweep={sweep}", "/jobs?spec={spec}",
    "/jobs?node={node}", "/jobs?owner=bench", "/jobs?owner=nobody", "/jobs?tag=rack-0",
    "/jobs?age=24h", "/jobs?state=failed&ended=24h", "/jobs?ended=7d", "/jobs?q=scene",
    "/jobs?q=nothing-like-it", "/jobs?q=4711", "/api/jobs?node={node}", "/api/jobs?sweep={sweep}",
    "/api/jobs?q=nothing-like-it", "/api/jobs?state=cancelled",
)  # fmt: skip
WORK = (
    "/jobs/{job}", "/jobs/{job}/attempts/1", "/jobs/{failed}", "/jobs/{queued}", "/live/jobs/{job}",
    "/attempts/{attempt}/stdout", "/live/attempts/{attempt}/stdout", "/submit",
    "/submit?kind=sweep", "/submit?clone={job}", "/sweeps", "/live/sweeps", "/sweeps/{sweep}",
    "/sweeps/{sweep}?state=failed", "/live/sweeps/{sweep}", "/api/jobs/{job}",
    "/api/jobs/{queued}/why", "/api/jobs/{job}/output", "/api/jobs/{job}/artifacts", "/api/sweeps",
    "/api/sweeps/{sweep}",
)  # fmt: skip
FAILURES = (
    "/failures", "/failures?days=1", "/failures?days=30", "/live/failures?days=30",
    "/failures/{failure}", "/failures/{failure}?days=30", "/failures/{rare}?days=30",
    "/jobs?failure={failure}", "/jobs?failure={failure}&state=failed",
    "/jobs?failure={failure}&state=failed&ended={week}", "/jobs?failure={failure}&state=queued",
    "/jobs?failure={rare}", "/jobs?failure={failure}&spec={spec}", "/api/failures",
    "/api/failures?days=30", "/api/failures/{failure}?days=30", "/api/jobs?failure={failure}",
    "/api/jobs?failure={failure}&state=failed",
)  # fmt: skip
NODES = (
    "/nodes", "/live/nodes", "/nodes/{node}", "/live/nodes/{node}", "/live/charts/{node}",
    "/nodes/{node}/remove", "/nodes/join", "/settings/cluster", "/api/cluster/overview",
    "/api/cluster/nodes", "/api/cluster/nodes/{node}", "/api/cluster/health",
    "/api/cluster/strategy", "/api/cluster/invitations", "/api/dispy/status",
)  # fmt: skip
WATCHING = (
    "/monitoring", "/monitoring?range=24h", "/monitoring?range=7d", "/live/monitoring",
    "/live/beats", "/alerts", "/alerts?state=open", "/alerts?state=resolved&severity=critical",
    "/alerts?rule=hot_node&subject={node}", "/alerts?rule=overload", "/alerts?before={old_alert}",
    "/live/alerts", "/alerts/{alert}", "/live/alerts/{alert}", "/alerts/silences",
    "/alerts/rules", "/recommendations",
    "/recommendations?strategy=round_robin&nodes=0&days=7", "/settings/channels", "/live/channels",
    "/settings/channels/{channel}", "/live/channels/{channel}", "/settings/channels/deliveries",
    "/settings/channels/deliveries?state=failed", "/settings/channels/deliveries?state=queued",
    "/settings/channels/deliveries?channel={channel}", "/metrics", "/api/metrics",
    "/api/metrics?from={day_ago}", "/api/metrics?from={month_ago}",
    "/api/metrics?node={node}&from={week_ago}", "/api/alerts", "/api/alerts?state=open",
    "/api/alerts?rule=overload", "/api/alerts/{alert}", "/api/alerts/rules",
    "/api/alerts/rules/hot_node", "/api/silences", "/api/silences/{silence}",
    "/api/silences?active=true", "/api/maintenance", "/api/monitoring/channels",
    "/api/monitoring/channels/{channel}", "/api/monitoring/channels/{channel}/deliveries",
    "/api/cluster/optimize", "/healthz", "/readyz",
)  # fmt: skip
SCHEDULES = (
    "/schedules", "/live/schedules", "/schedules/{schedule}", "/live/schedules/{schedule}",
    "/schedules/new", "/schedules/{schedule}/edit", "/api/schedules", "/api/schedules/{schedule}",
    "/api/schedules/{schedule}/runs", "/api/schedules/preview?cron=5+4+*+*+*&time_zone=UTC",
)  # fmt: skip
REST = (
    "/docs", "/api/schema", "/password", "/admin/", "/admin/jobs/job/", "/admin/jobs/attempt/",
    "/admin/jobs/event/", "/admin/jobs/sweep/", "/admin/cluster/node/",
    "/admin/monitoring/channel/", "/admin/monitoring/delivery/", "/admin/monitoring/alert/",
    "/admin/monitoring/silence/", "/admin/schedules/schedule/", "/admin/schedules/run/",
)  # fmt: skip
PAGES = (*CORE, *JOBS_LISTS, *WORK, *FAILURES, *NODES, *WATCHING, *SCHEDULES, *REST)
OF_FAILING = (
    "/",
    "/jobs",
    "/jobs?state=failed",
    "/monitoring",
    "/api/jobs?state=failed",
    *FAILURES,
)


def places() -> dict[str, Any]:
    """What the paths name: rows from the midst of what there is."""
    from django.utils import timezone

    from jobs import failures
    from jobs.models import Attempt, Job, Sweep
    from monitoring.models import Alert, Channel, Silence
    from schedules.models import Schedule

    sweep = Sweep.objects.order_by("pk")[million.SWEEPS // 2]
    job = sweep.jobs.filter(state="succeeded").order_by("pk").values_list("pk", flat=True).first()
    shown = Job.objects.order_by("-pk").values_list("pk", "state")[:50]
    now, alert = time.time(), Alert.objects.order_by("-pk")[1000].pk
    return {
        "week": f"{failures.since(7, timezone.now()):%Y-%m-%dT%H:%MZ}",  # as the pages link
        "failure": million.COMMON, "rare": million.RARE, "sweep": sweep.pk, "job": job,
        "spec": sweep.spec_id, "node": "node-7", "middle": job,
        "failed": Job.objects.filter(state="failed").latest("pk").pk,
        "queued": Job.objects.filter(state="queued").latest("pk").pk,
        "attempt": Attempt.objects.get(job=job).pk, "alert": alert, "old_alert": alert - 10_000,
        "silence": Silence.objects.values_list("pk", flat=True).first(),
        "channel": Channel.objects.values_list("pk", flat=True).first(),
        "schedule": Schedule.objects.values_list("pk", flat=True).first(),
        "shown": "newest=1&known=" + quote(" ".join(f"{pk}.{state}" for pk, state in shown)),
        "day_ago": f"{now - 86400:.0f}", "week_ago": f"{now - 7 * 86400:.0f}",
        "month_ago": f"{now - 30 * 86400:.0f}",
    }  # fmt: skip


def wanted_ms(page: str) -> float:
    return CORE_MS if page in CORE else OTHERS_MS


def start() -> Any:
    """The web process as it is when it takes its first requests; returns a client."""
    from django.test import Client

    from dispycluster.warming import warm

    client, user = Client(), owner()
    user.is_staff = user.is_superuser = True  # who may see all pages
    user.save()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    client.handler.load_middleware()  # this and what follows as the web server does
    warm()
    gc.collect()
    gc.freeze()
    return client


def look(client: Any, path: str, views: int) -> dict[str, Any]:
    """One view in a process that has not shown it yet, then many."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    first = once(client, path)
    took = [once(client, path) for _ in range(views)]
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
        queries = len(captured)
    return {"queries": queries, "first": first,
            **{f"p{p}": percentile(took, p) for p in (50, 99)}}  # fmt: skip


def once(client: Any, path: str) -> float:
    """Milliseconds."""
    started = time.monotonic()
    answer = client.get(path)
    took = 1000 * (time.monotonic() - started)
    assert answer.status_code == 200, (path, answer.status_code, answer.content[:300])
    return took


def aside(client: Any, path: str, views: int) -> dict[str, Any]:
    """The same in a process of its own, which begins as this one is now."""
    from django.db import connection

    connection.close()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, json.dumps(look(client, path, views)).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)  # what is to be tidied up is the parent's
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        raise SystemExit(f"{path} failed")
    found: dict[str, Any] = json.loads(text)
    return found


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    with database(options.database):
        from django.core.management import call_command

        call_command("collectstatic", verbosity=0, interactive=False)
        fill(options.jobs, options.failing)
        return {"jobs": options.jobs, "failing": options.failing,
                "views": view_all(options.failing, options.only, options.views)}  # fmt: skip


def fill(jobs: int, failing: bool) -> None:
    from django.db import connection

    million.fill(jobs, failing)
    watched.watch()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # as autovacuum would have by then


def view_all(failing: bool, only: str, views: int) -> dict[str, Any]:
    from django.test import override_settings

    with override_settings(ALLOWED_HOSTS=["*"]):
        names, client, found = places(), start(), {}
        for page in OF_FAILING if failing else PAGES:
            if only in page:
                watched.look_again()
                found[page] = aside(client, page.format(**names), views)
                print(page, found[page], file=sys.stderr, flush=True)
        return found


def above(found: Mapping[str, Any], name: str) -> str:
    """What is wanted to be faster."""
    slow = [
        f"`{page}` {figures[name]:.0f} ms (wanted {wanted_ms(page):.0f} ms)"
        for page, figures in found["views"].items()
        if figures[name] > wanted_ms(page)
    ]
    return f"{len(slow)} of {len(found['views'])}{': ' if slow else ''}{'; '.join(slow)}"


def table(found: dict[str, Any]) -> Iterable[str]:
    what = "jobs, nearly all failed" if found["failing"] else "jobs"
    yield from header(f"view, with {found['jobs']:,} {what}", "p50", "p99", "first", "statements")
    for page, figures in found["views"].items():
        times = (f"{figures[name]:.1f} ms" for name in ("p50", "p99", "first"))
        yield row(f"`{page}`", *times, figures["queries"])
    yield ""
    yield f"p99 above what is wanted: {above(found, 'p99')}."
    yield f"First load above it: {above(found, 'first')}."


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=JOBS)
    options.add_argument("--views", type=int, default=VIEWS)
    options.add_argument("--failing", action="store_true")
    options.add_argument("--only", default="", help="those whose path holds this")
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)

"""How long pages and lists take with a million jobs: `python -m benchmarks.pages`.

Each view a hundred times through Django's whole stack, without the network, as a signed-in user.
"""

import gc
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from benchmarks.measure import emit, header, parser, percentile, quiet, row
from benchmarks.stack import database
from benchmarks.work import owner

JOBS, SWEEPS, VIEWS = 1_000_000, 20, 100
DAYS = 30
COMMON, RARE = f"{1000:016}", "f" * 16  # failures
STATES = ["succeeded"] * 93 + ["failed"] * 3 + ["cancelled"] * 2 + ["queued"] * 2
PAGES = (
    "/", "/live/dashboard", "/jobs", "/jobs?state=failed", "/jobs?state=queued",
    "/live/jobs?newest=1", "/sweeps", "/sweeps/{sweep}", "/jobs/{job}", "/nodes", "/api/jobs",
    "/api/jobs?state=failed", "/api/jobs/status", "/failures", "/failures?days=1",
    "/failures?days=30", "/failures/{failure}?days=30", "/jobs?failure={failure}",
    "/jobs?failure={failure}&state=failed&ended=7d", "/jobs?failure={rare}", "/api/failures",
    "/api/sweeps", "/api/sweeps/{sweep}",
)  # fmt: skip


def fill(total: int) -> None:
    """Jobs that ended over the last days, their attempts, and some that wait."""
    from django.db import connection, transaction
    from django.utils import timezone

    from cluster.models import Node
    from jobs.models import Job, Sweep
    from jobs.rows import insert_rows
    from jobs.serializers import JobIn
    from jobs.specs import spec_of
    from jobs.submit import JOB_FIELDS

    now = timezone.now()
    checked = JobIn(data={"kind": "command", "command": "true"})
    checked.is_valid(raise_exception=True)
    spec = spec_of(checked.validated_data, now)
    nodes = [
        Node.objects.create(name=f"node-{n}", address=f"10.0.0.{n}", slots=4, online=True,
                            patched=True, added_at=now, last_seen_at=now).pk
        for n in range(20)
    ]  # fmt: skip
    each = total // SWEEPS
    for number in range(SWEEPS):
        sweep = Sweep.objects.create(
            spec=spec, owner=owner(), over={"n": {"range": [0, each]}}, mode="grid", total=each,
            created_at=now, jobs_after=number * each,
        )  # fmt: skip
        rows = []
        for n in range(each):
            state = STATES[n % len(STATES)]
            ended = now - timedelta(days=DAYS) * ((number * each + n) / total)
            queued = state == "queued"
            rows.append(
                ("", spec.pk, spec.need_id, sweep.pk, owner_id(), f'{{"n":{n}}}', 0, 1, "retry", "",
                 state, ended, False, 0, int(not queued), int(not queued), 0, ended, "",
                 None if queued else ended, None if queued else nodes[n % 20],
                 None if queued else 0.5)
            )  # fmt: skip
        with transaction.atomic():
            insert_rows(Job, [*JOB_FIELDS, "finished_at", "node", "run_seconds"], rows)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_attempt (job_id, number, node_id, bundle, slots, placement,"
            " claimed_at, finished_at, outcome, error, error_type, traceback, stdout_bytes,"
            " stderr_bytes, run_seconds) SELECT id, 1, node_id, id, 1, '{}', finished_at,"
            " finished_at, state, '', '', '', 0, 0, 0.5 FROM jobs_job WHERE state <> 'queued'"
        )
        mark_failures(cursor)
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")  # as autovacuum would have by then


def mark_failures(cursor: Any) -> None:
    """Half of them of one kind, the others of forty, and one of a kind of its own."""
    kinds = "CASE WHEN id % 2 = 0 THEN 0 ELSE id / 100 % 40 END"
    last = "substr({}, -16)" if cursor.db.vendor == "sqlite" else "right({}, 16)"
    digest = last.format(f"'{'0' * 16}' || (1000 + {kinds})")
    cursor.execute(
        "UPDATE jobs_attempt SET error_type = 'ValueError',"
        f" error = 'ValueError: of kind ' || {kinds}, fingerprint = {digest}"
        " WHERE outcome = 'failed'"
    )
    cursor.execute(
        f"UPDATE jobs_attempt SET fingerprint = '{RARE}' WHERE id ="
        " (SELECT min(id) FROM jobs_attempt WHERE outcome = 'failed')"
    )


def owner_id(known: list[int] = []) -> int:  # noqa: B006  a cache
    if not known:
        known.append(owner().pk)
    return known[0]


def measure(options: Any) -> dict[str, Any]:
    quiet(options)
    found: dict[str, Any] = {"jobs": options.jobs, "views": {}}
    with database(options.database):
        from django.core.management import call_command
        from django.db import connection
        from django.test import Client, override_settings
        from django.test.utils import CaptureQueriesContext

        from jobs.models import Job, Sweep

        call_command("collectstatic", verbosity=0, interactive=False)
        fill(options.jobs)
        client = Client()
        client.force_login(owner(), "django.contrib.auth.backends.ModelBackend")
        names = {
            "failure": COMMON,
            "rare": RARE,
            "sweep": Sweep.objects.values_list("pk", flat=True)[SWEEPS // 2],
            "job": Job.objects.values_list("pk", flat=True)[options.jobs // 2],
        }
        client.get("/")  # loads what is loaded at the first request
        gc.collect()
        gc.freeze()  # as the web server does
        with override_settings(ALLOWED_HOSTS=["*"]):
            for page in PAGES:
                path = page.format(**names)
                with CaptureQueriesContext(connection) as captured:
                    answer = client.get(path)
                    queries = len(captured)
                assert answer.status_code == 200, (path, answer.status_code)
                took = []
                for _ in range(VIEWS):
                    started = time.monotonic()
                    client.get(path)
                    took.append(1000 * (time.monotonic() - started))
                found["views"][page] = {
                    "queries": queries, **{f"p{p}": percentile(took, p) for p in (50, 99)}
                }  # fmt: skip
    return found


def table(found: dict[str, Any]) -> Iterable[str]:
    yield from header(f"view, with {found['jobs']:,} jobs", "p50", "p99", "statements")
    for page, figures in found["views"].items():
        yield row(f"`{page}`", f"{figures['p50']:.1f} ms", f"{figures['p99']:.1f} ms",
                  figures["queries"])  # fmt: skip


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--jobs", type=int, default=JOBS)
    chosen = options.parse_args()
    emit(chosen, measure(chosen), table)

"""What advice rests on, gathered: replays of the history, and what the rows say now."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Sum

from cluster import fleet, placement
from cluster.models import Node
from cluster.placement import NodeView
from cluster.strategies import STRATEGIES
from jobs import models
from jobs.claim import READY, busy
from jobs.models import FINAL_STATES, Attempt, Job, Spec
from jobs.rows import moment, select, when
from monitoring import history as histories
from monitoring.fleets import typical, weakest, with_one_more, without
from monitoring.history import History
from monitoring.recommendations import LEAST_RESAMPLES, Drained, Facts, Used, Waiting
from monitoring.replay import Scene, Work, replay
from monitoring.resampling import RESAMPLES, Compared, compare

MOST_SPECS = 50  # that are looked at for their size
MOST_NEEDS = 20
SAMPLE_OLD = 5_000  # jobs, from which the bytes of all are told
OLD_DAYS = 30.0  # where RETENTION_DAYS keeps everything
LEAST_STUDIED = 200  # jobs: fewer are not taken to save time


def gather(found: History, now: datetime, seconds: float) -> Facts:
    """`seconds`: how long the replays may take; less time, fewer jobs or fewer rounds."""
    work = histories.work_of(found)
    scene = histories.scene_of(found)
    compared, studied = replays(work, scene, seconds)
    strategies = [one for one in compared if one.name in ("", *STRATEGIES)]
    sizes = [one for one in compared if one.name in ("", "more", "less")]
    old_days, old_jobs, old_bytes = old(now)
    taken = fleet.views(busy())
    return Facts(
        jobs=studied,
        nodes=len(found.machines),
        strategy=found.strategy,
        strategies=strategies,
        sizes=sizes,
        model=typical(found.machines).name if found.machines else "",
        weakest=weakest(found.machines).name if found.machines else "",
        old_jobs=old_jobs,
        old_days=old_days,
        old_bytes=old_bytes,
        free_slots=sum(view.free for view in taken if view.takes_work),
        **queue(now, taken),
        used=used(found),
    )


def scenes(scene: Scene) -> dict[str, Scene]:
    """The strategies not in use, one node more, one node less."""
    found = {name: replace(scene, strategy=name) for name in STRATEGIES if name != scene.strategy}
    found = found if len(scene.machines) > 1 else {}
    if scene.machines:
        found["more"] = with_one_more(scene)
    if len(scene.machines) > 1:
        found["less"] = without(scene, weakest(scene.machines).name)
    return found


def replays(work: list[Work], scene: Scene, seconds: float) -> tuple[list[Compared], int]:
    """All scenes compared, and from how many jobs: the newest, if there is no time for all."""
    deadline = time.monotonic() + seconds
    others = scenes(scene)
    if not work or not scene.machines:
        return [], len(work)
    while len(work) > LEAST_STUDIED:
        started = time.monotonic()
        replay(work, scene)
        one_round = (time.monotonic() - started) * (1 + len(others)) * 1.5
        if one_round * LEAST_RESAMPLES < deadline - time.monotonic():
            break
        work = work[len(work) // 2 :]
    go_on: Callable[[], bool] = lambda: time.monotonic() < deadline  # noqa: E731
    return compare(work, scene, others, RESAMPLES, go_on), len(work)


def old(now: datetime) -> tuple[float, int, int | None]:
    """Days kept, final jobs that ended before, and about how many bytes they wrote."""
    days = float(settings.RETENTION_DAYS or OLD_DAYS)
    before = now - timedelta(days=days)
    gone = Job.objects.filter(state__in=FINAL_STATES, finished_at__lt=before).order_by()
    count = gone.count()
    if not count:
        return days, 0, 0
    some = list(gone.values_list("pk", flat=True)[:SAMPLE_OLD])
    wrote = Attempt.objects.filter(job__in=some).aggregate(
        out=Sum("stdout_bytes"), err=Sum("stderr_bytes"), files=Sum("artifacts__size")
    )
    total = sum(value or 0 for value in wrote.values())
    return days, count, round(total * count / len(some))


def queue(now: datetime, views: list[NodeView]) -> dict[str, Any]:
    """Who waits for few nodes, and which drained nodes could help."""
    sql = (
        "SELECT need_id, COUNT(*), MIN(run_at) FROM jobs_job"  # noqa: S608
        f" WHERE {READY} GROUP BY need_id ORDER BY COUNT(*) DESC LIMIT {MOST_NEEDS}"
    )
    rows = select(sql, [moment(now)])
    needs = {
        row.pk: placement.need_of(row.body)
        for row in models.Need.objects.filter(pk__in=[pk for pk, _, _ in rows])
    }
    waiting = []
    could: Counter[str] = Counter()
    for pk, count, oldest in rows:
        need = needs[pk]
        for view in views:
            if view.draining and view.online and placement.never(need, view) is None:
                could[view.name] += count
        waiting.append(
            waiting_for(pk, need, count, max(0.0, (now - when(oldest)).total_seconds()), views)
        )
    drained = [
        Drained(node.name, node.slots, could[node.name], node.drain_reason)
        for node in Node.objects.filter(removed_at=None, draining=True, online=True)
    ]
    return {"waiting": waiting, "drained": drained}


def waiting_for(
    pk: int, need: placement.Need, count: int, seconds: float, views: list[NodeView]
) -> Waiting:
    fits = [view for view in views if view.takes_work and placement.never(need, view) is None]
    others = [
        (view.name, view.free, why)
        for view in views
        if view.takes_work and view.free and (why := placement.never(need, view))
    ]
    named = {"tags": sorted(need.tags), "nodes": sorted(need.nodes), "memory_mb": need.memory_mb,
             "slots": need.slots if need.slots > 1 else None,
             "exclude": sorted(need.exclude)}  # fmt: skip
    words = "; ".join(
        f"{name}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in named.items()
        if value
    )
    slots = sum(view.slots for view in fits)
    return Waiting(pk, words, count, seconds, [view.name for view in fits], slots, others)


def used(found: History) -> list[Used]:
    """What the most frequent specs asked for and used."""
    by_spec: dict[int, list[histories.Ran]] = defaultdict(list)
    for row in found.ran:
        by_spec[row.spec].append(row)
    most = sorted(by_spec, key=lambda pk: -len(by_spec[pk]))[:MOST_SPECS]
    specs = Spec.objects.select_related("need").in_bulk(most)
    return [used_by(specs[pk], by_spec[pk]) for pk in most if pk in specs]


def used_by(spec: Spec, rows: list[histories.Ran]) -> Used:
    good = [row for row in rows if row.outcome == "succeeded"]
    need = placement.need_of(spec.need.body)
    return Used(
        spec=spec.pk,
        title=spec.title[:100],
        runs=len(rows),
        timed_out=sum(row.outcome == "timed_out" for row in rows),
        memory_mb=need.memory_mb,
        slots=need.slots,
        timeout_seconds=spec.body.get("timeout_seconds"),
        rss_mb=[row.max_rss_kb / 1024 for row in good if row.max_rss_kb],
        cores=[row.cpu_seconds / row.run_seconds for row in good if row.cpu_seconds is not None],
        seconds=[row.run_seconds for row in rows],
    )

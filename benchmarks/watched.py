"""What a month of watching a million jobs leaves: samples, alerts, notices, schedules, advice."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks.million import DAYS
from benchmarks.work import owner

ALERTS, SILENCES, CHANNELS, NOTICES = 30_000, 2_000, 8, 40_000
OPEN, PENDING, ACTIVE = 40, 20, 10
SCHEDULES, RUNS = 300, 60_000
ADVICE_JOBS, ADVICE_SECONDS = 500, 10.0
RULES = ["hot_node", "disk_low", "node_down", "breaker_open", "dispatch_errors"]
FACTS = {"trouble": "it does not answer", "reason": "3 attempts lost in a row", "read_only": False}


def watch() -> None:
    """All of it, up to now; the monitor's last look was a moment ago."""
    from django.db import transaction
    from django.utils import timezone

    now, draw = timezone.now(), random.Random(1)
    with transaction.atomic():
        hold_leases(now)
        add_totals(now)
        add_samples(now, draw)
    with transaction.atomic():
        add_alerts(now, draw)
        add_silences(now)
        add_notices(now, draw)
        add_schedules(now)
    make_advice(now)


def look_again() -> None:
    """As the monitor does every ten seconds: what is shown as present is never old."""
    from django.utils import timezone

    from jobs.models import Lease
    from monitoring import samples, snapshot

    now = timezone.now()
    Lease.objects.update(renewed_at=now, expires_at=now + timedelta(hours=1))
    samples.keep(snapshot.read(now), now)


def hold_leases(now: datetime) -> None:
    from jobs.models import Lease

    for name in ("dispatcher", "monitor"):
        Lease.objects.create(
            name=name, holder="bench", epoch=1, taken_at=now - timedelta(days=1), renewed_at=now,
            expires_at=now + timedelta(days=1),
        )  # fmt: skip


def add_totals(now: datetime) -> None:
    """The running totals, as if the monitor had counted each of the attempts."""
    from django.db.models import Count, Max

    from jobs.models import Attempt
    from monitoring import totals
    from monitoring.models import Totals
    from monitoring.totals import Step

    found = Step()
    rows: Any = Attempt.objects.order_by().values_list("node", "outcome").annotate(Count("id"))
    for node, outcome, count in rows:
        seconds = 0.5 * count
        for counter in (found.cluster, found.nodes[node]):
            counter.update({f"attempts_{outcome}_total": count, "runs_total": count,
                            "run_seconds_total": seconds})  # fmt: skip
        found.cluster[f"jobs_{outcome}_total"] += count
    found.waits = found.runs = [0.5] * found.cluster["runs_total"]
    newest = Attempt.objects.aggregate(newest=Max("pk"))["newest"] or 0
    Totals.objects.create(
        pk=Totals.ONLY, attempt=newest, values=totals.added({}, found), moved_at=now
    )


def add_samples(now: datetime, draw: random.Random) -> None:
    """By the ten seconds for a day, by the minute for a week, by the quarter for the month."""
    from monitoring import samples, snapshot
    from monitoring.models import Totals

    seen = snapshot.read(now)
    sums = Totals.objects.get().values
    cluster = samples.cluster_values(seen, sums["cluster"])
    nodes = {
        node.id: samples.node_values(node, sums["nodes"].get(str(node.id), {}))
        for node in seen.nodes
    }
    ages = {**samples.AGES, samples.QUARTER: timedelta(days=DAYS)}
    for seconds, age in ages.items():
        end = samples.boundary(now, seconds)
        moments = [end - timedelta(seconds=seconds * n)
                   for n in range(int(age.total_seconds() / seconds))]  # fmt: skip
        samples.write(
            (node, at, seconds, moved(values, at, now, draw))
            for at in reversed(moments)
            for node, values in [(None, cluster), *nodes.items()]
        )


def moved(
    values: dict[str, Any], at: datetime, now: datetime, draw: random.Random
) -> dict[str, Any]:
    """The values as they may have been then: what only grows was smaller."""
    part = 1 - (now - at) / timedelta(days=DAYS)
    wave = 1 + draw.uniform(-0.2, 0.2)
    return {
        name: (round(value * part, 1) if name.endswith("_total") else round(value * wave, 4))
        for name, value in values.items()
    }


def add_alerts(now: datetime, draw: random.Random) -> None:
    from monitoring.models import Alert

    rows = []
    for n in range(ALERTS):
        started = now - timedelta(days=90) * (1 - n / ALERTS)
        rows.append(alert(RULES[n % 5], f"node-{draw.randrange(20)}", started,
                          state="resolved", resolved_at=started + timedelta(minutes=7),
                          cleared_at=started + timedelta(minutes=6)))  # fmt: skip
    for n in range(OPEN):
        state = "acknowledged" if n % 4 == 0 else "firing"
        rows.append(alert(RULES[n // 20], f"node-{n % 20}", now, state=state))
    for n in range(PENDING):
        rows.append(alert("dispatch_errors", f"node-{n}", now, state="pending", fired_at=None))
    Alert.objects.bulk_create(rows, batch_size=1000)


def alert(rule: str, subject: str, started: datetime, **more: Any) -> Any:
    from monitoring.models import Alert

    values = {"fired_at": started + timedelta(minutes=1), "announced_at": started, **more}
    return Alert(
        rule=rule, subject=subject, severity="critical" if rule == "node_down" else "warning",
        value=81.0, threshold=80.0, facts=FACTS, started_at=started,
        inside=[{"rule": "dispatch_errors", "subject": subject, "value": 3, "facts": {}}],
        **values,
    )  # fmt: skip


def add_silences(now: datetime) -> None:
    from monitoring.models import Silence

    Silence.objects.bulk_create(
        Silence(
            rule=RULES[n % 5], subject=f"node-{n % 20}", comment="a fan is on its way",
            created_at=now - timedelta(hours=n), created_by="bench",
            ends_at=now + timedelta(hours=1) if n < ACTIVE else now - timedelta(hours=n),
        )
        for n in range(SILENCES)
    )  # fmt: skip


def add_notices(now: datetime, draw: random.Random) -> None:
    from monitoring.models import Alert, Channel, Delivery

    channels = Channel.objects.bulk_create(
        Channel(name=f"channel {n}", url=f"json://10.0.0.{n}/hook", created_at=now,
                created_by="bench")
        for n in range(CHANNELS)
    )  # fmt: skip
    rows = Delivery.objects.bulk_create(
        (
            Delivery(
                channel=channels[n % CHANNELS], kind="firing" if n % 2 else "resolved",
                state="failed" if n % 200 == 0 else "sent", title="Warning: node-1 is at 81 °C.",
                body="Warning: node-1 is at 81 °C.\nGive it air.\n" * 5, tries=1, created_at=at,
                due_at=at, sent_at=at,
            )
            for n in range(NOTICES)
            for at in [now - timedelta(days=90) * (1 - n / NOTICES)]
        ),
        batch_size=1000,
    )  # fmt: skip
    alerts = list(Alert.objects.order_by("id").values_list("pk", flat=True))
    links = Delivery.alerts.through
    links.objects.bulk_create(
        (
            links(delivery=row, alert_id=pk)
            for place, row in enumerate(rows)
            for pk in {alerts[place * len(alerts) // len(rows)], draw.choice(alerts)}
        ),
        batch_size=1000,
    )


def add_schedules(now: datetime) -> None:
    from jobs.models import Job
    from schedules.models import Run, Schedule

    body = {"kind": "command", "command": ["backup", "--all"]}
    made = Schedule.objects.bulk_create(
        Schedule(
            name=f"backup {n}", owner=owner(), what="job", body=body, cron="*/15 * * * *",
            zone="UTC", next_at=now + timedelta(minutes=15), reckoned_at=now, created_at=now,
            changed_at=now, started=RUNS // SCHEDULES, last_at=now,
        )
        for n in range(SCHEDULES)
    )  # fmt: skip
    jobs = list(Job.objects.order_by("-id").values_list("pk", flat=True)[:RUNS])
    Run.objects.bulk_create(run_rows(made, jobs, now), batch_size=1000)


def run_rows(schedules: list[Any], jobs: list[int], now: datetime) -> Iterator[Any]:
    from schedules.models import Run

    for n in range(RUNS):
        at = now - timedelta(minutes=15 * (n // SCHEDULES + 1))
        started = bool(jobs) and n % 50 > 0
        yield Run(
            schedule=schedules[n % SCHEDULES], scheduled_for=at, at=at,
            outcome="started" if started else "overlap", job_id=jobs[n % len(jobs)] if started
            else None, reason="" if started else "job 1 was still open",
        )  # fmt: skip


def make_advice(now: datetime) -> None:
    """A study of these very jobs, and some advice that was taken."""
    from monitoring import advice
    from monitoring.models import Change

    study = advice.study(now, most=ADVICE_JOBS, seconds=ADVICE_SECONDS)
    one = next(iter(study.body["recommendations"]), None)
    if one:
        Change.objects.bulk_create(
            Change(kind=one["kind"], facts=one, before={}, after={}, at=now, by=owner())
            for _ in range(500)
        )

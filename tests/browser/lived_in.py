"""A cluster that has been lived in: something on every page of the watching."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from cluster import nodes
from cluster.breaker import Breaker, Loss, after_losses
from cluster.checkup import keep
from cluster.engine import reasons
from cluster.models import Node
from jobs import lifecycle
from jobs.lifecycle import Closing
from jobs.models import Job, Lease
from monitoring import advice, alerts, silences, snapshot
from monitoring.models import Alert, Channel, Delivery, Sample
from schedules import due
from schedules.models import Run, Schedule
from tests.browser.test_failures import TRACEBACK
from tests.browser.test_monitoring import fill
from tests.factories import hold_lease, make_job
from tests.monitoring.test_advice import past
from tests.pages.rows import make_ended, make_running, write
from tests.pages.test_schedules import make_schedule

PACKAGES = {"numpy": "2.3.4", "pillow": "12.0.0", "dispy": "4.15.2", "psutil": "7.1.0"}


def world(now: datetime, chief: User) -> None:
    past(now)  # three nodes with an hour of work behind them
    fast, middle, slow = Node.objects.order_by("speed").reverse()
    hold_lease(now)
    Lease.objects.update(taken_at=now - timedelta(days=2))
    for node, name, address in ((fast, "workshop", "workshop.lan"), (middle, "pi-4", "10.0.0.14"),
                                (slow, "pi-attic", "10.0.0.15")):  # fmt: skip
        healthy(node, now, name, address)
    ill(now)
    fill([fast, middle], 1440)
    failures(now, [fast, middle, slow])
    timetable(now, chief)
    now_running(now, fast)
    advice.study(now, most=400, seconds=5)
    told(now, chief)


def healthy(node: Node, now: datetime, name: str, address: str) -> None:
    Node.objects.filter(pk=node.pk).update(
        name=name, address=address, last_seen_at=now, slots=4, cpus=4, version="4.15.2",
        platform="Linux-6.12-aarch64-with-glibc2.41", cpu_percent=37.5, memory_free=2_100_000_000,
        memory_total=4_000_000_000, disk_free=11_500_000_000, swap_percent=3.0, dispatch_ms=31.2,
        canary_at=now - timedelta(seconds=50), tags=["ssd", "camera"],
        auto_tags=["arch:aarch64", "os:linux", "py:3.11"], added_at=now - timedelta(days=40),
        passport={"agent": "1", "os": "Debian GNU/Linux 13", "cores": 4, "model": "Raspberry Pi 5",
                  "memory_total": 4_000_000_000, "python": "3.11.2", "packages": PACKAGES},
        reading={"load_1": 1.7, "temperature": 62.5, "throttled": [], "round_trip_ms": 2.4,
                 "throttled_since_boot": ["under_voltage"], "clock_skew_seconds": 0.3,
                 "disk_total": 29_000_000_000},
        speed_evidence=[{"spec": 0, "runs": 40, "seconds": 0.11, "fleet_seconds": 0.16}],
    )  # fmt: skip


def ill(now: datetime) -> None:
    """One that lost jobs, one that is away, one that is being worked on."""
    lost = Node.objects.create(
        name="pi-7", address="10.0.0.17", slots=4, online=True, added_at=now, last_seen_at=now,
        patched=True, reading={"temperature": 84.0, "throttled": ["under_voltage"]},
    )  # fmt: skip
    losses = [Loss(lost.pk, job, now) for job in range(1, 4)]
    keep(lost, after_losses(Breaker(), losses, lost.pk, now))
    away = Node.objects.create(
        name="lab-workstation-by-the-window", address="lab-3.example.org", slots=16,
        added_at=now - timedelta(days=9), last_seen_at=now - timedelta(minutes=12),
    )  # fmt: skip
    nodes.gone(away.address, reasons.unreachable(ConnectionRefusedError(111, "no"), 51348), now)
    Node.objects.create(
        name="pi-8", address="10.0.0.18", slots=4, online=True, added_at=now, last_seen_at=now,
        draining=True, drain_reason="a new disk, back on Monday", patched=True,
    )  # fmt: skip


def failures(now: datetime, where: list[Node]) -> None:
    for n in range(12):
        job = make_running(now, where[n % 2], name=f"prices {n}")
        error = f"ValueError: could not convert string to float: '{n},50'"
        told = Closing(job.attempts.get().pk, "failed", error=error, error_type="ValueError",
                       traceback=TRACEBACK.format(n=n))  # fmt: skip
        lifecycle.close([told], now)
    for n in range(3):
        job = make_running(now, where[2], name=f"mirror {n}", command="curl -O https://example.org")
        error = "exited with status 6"
        lifecycle.close([Closing(job.attempts.get().pk, "failed", error=error)], now)
    loud = make_ended(now, where[0], "failed", name="train the large model", error="timed out")
    write(loud, b"Traceback (most recent call last):\nMemoryError\n", "stderr")


def timetable(now: datetime, owner: User) -> None:
    nightly = make_schedule(owner, now - timedelta(days=3), "nightly thumbnails", cron="30 2 * * *")
    for day in (2, 1, 0):
        run = due.run_now(nightly, "", now - timedelta(days=day))
        Job.objects.filter(pk__in=[run.job_id]).update(state="failed", finished_at=run.at)
    weekly = make_schedule(owner, now - timedelta(days=20), "weekly report", overlap="skip")
    rows: list[dict[str, Any]] = [
        {"outcome": "missed", "until": now - timedelta(days=9)},
        {"outcome": "overlap", "reason": "job 12"},
        {"outcome": "refused", "reason": "No function montecarlo.gone."},
        {"outcome": "started", "job_id": make_ended(now, Node.objects.all()[0]).pk},
    ]
    for number, row in enumerate(rows):
        at = now - timedelta(days=10 - 2 * number)
        Run.objects.create(schedule=weekly, scheduled_for=at, at=at, **row)
    paused = make_schedule(owner, now, "mirror of the archive", cron="*/15 * * * *")
    Schedule.objects.filter(pk=paused.pk).update(
        paused_at=now, paused_by="chief", paused_why="the archive moves house", next_at=None
    )


def now_running(now: datetime, node: Node) -> None:
    for n in range(3):
        make_running(now, node, name=f"thumbnails {n}", command=f"convert {n}.png {n}.jpg")
    for n in range(25):
        make_job(now - timedelta(minutes=2), name=f"scan {n}", needs={"tags": ["scanner"]})


def told(now: datetime, chief: User) -> None:
    """Alerts open and over, acknowledged and silenced; channels, and what they were sent."""
    values: dict[str, Any] = {"created_at": now - timedelta(days=8), "created_by": "chief"}
    mail = Channel.objects.create(name="on call", url="mailto:oncall@example.org", **values)
    chat = Channel.objects.create(
        name="workshop chat", url="slack://T0000/B0000/XXXX", least="critical",
        tags=["camera"], **values,
    )  # fmt: skip
    Channel.objects.create(
        name="old hook", url="json://hook.example.org/x", enabled=False, **values
    )
    silences.add("hot_node", "pi-7", "the fan is ordered", now + timedelta(hours=30), "chief", now)
    silences.add("", "pi-8", "a new disk", now + timedelta(days=2), "chief", now)
    for days, rule, subject, facts in (
        (1, "node_down", "pi-4", {"trouble": "nothing heard from it for 15 s"}),
        (3, "overload", "", {"ready": 5200, "before": 4100, "slots": 12}),
        (6, "nodes_down", "", {"nodes": ["pi-4", "pi-7", "pi-8"], "away": ["pi-7"], "fleet": 6}),
    ):  # fmt: skip
        at = now - timedelta(days=days)
        over = {"state": "resolved", "started_at": at, "fired_at": at,
                "resolved_at": at + timedelta(minutes=12)}  # fmt: skip
        Alert.objects.create(rule=rule, subject=subject, facts=facts, value=1200,
                             severity="warning", **over)  # fmt: skip
    for minutes in (12, 0):
        alerts.judge(snapshot.judged(snapshot.read(now)), now - timedelta(minutes=minutes))
    alert = Alert.objects.get(rule="breaker_open")
    alerts.acknowledge(alert, "chief", now)
    for n, (channel, state, error) in enumerate((
        (mail, "sent", ""), (chat, "failed", "no answer within 30 s"),
        (mail, "queued", "no mail server is set: EMAIL_URL"),
    )):  # fmt: skip
        row = Delivery.objects.create(
            channel=channel, kind="firing", state=state, tries=n, error=error, created_at=now,
            due_at=now, sent_at=now if state == "sent" else None,
            title="Warning: pi-7 is quarantined and gets no jobs: 3 different jobs were lost on it",
            body="What is.\n\nWhat to do.",
        )  # fmt: skip
        row.alerts.add(alert)
    Sample.objects.filter(seconds=10).delete()

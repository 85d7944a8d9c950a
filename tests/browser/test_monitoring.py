"""The charts, in a real browser: they are drawn, fit a narrow screen, and follow what happens."""

import math
import os
from datetime import datetime, timedelta

from django.utils import timezone

from cluster.models import Node
from monitoring import samples
from tests.browser.walker import Walker
from tests.factories import hold_lease, make_node


def fill(nodes: list[Node], minutes: int) -> None:
    """Samples of the last minutes: a day with its ups and downs, and a gap."""
    now = timezone.now()
    rows: list[tuple[int | None, datetime, int, dict[str, float]]] = []
    for minute in range(minutes):
        at, phase = now - timedelta(minutes=minutes - 1 - minute), minute / 90
        if 400 < minute < 430:
            continue
        wave = 50 + 40 * math.sin(phase)
        values = {
            "queued": round(wave), "ready": round(wave / 2), "running": 4, "slots": 8, "busy": 4,
            "oldest_wait_seconds": wave, "nodes": 3, "nodes_online": 2, "cpu_percent": wave,
            "memory_percent": 40, "round_trip_ms": 2.5, "dispatch_ms": 30, "home_free": 9e9,
            "database_bytes": 1e8 + minute * 1e4, "submitted_total": minute * 7,
            "jobs_succeeded_total": minute * 6, "jobs_failed_total": minute // 9,
            "attempts_failed_total": minute // 9, "attempts_lost_total": minute // 50,
            "waits_total": minute * 7, "wait_seconds_total": minute * 30, "runs_total": minute * 7,
            "run_seconds_total": minute * 14,
            **{f"wait_le_{b:g}_total": minute * 7 for b in (10, 30, 60, 300, 900, 3600)},
        }  # fmt: skip
        rows.append((None, at, 60, values))
        for node in nodes:
            hot = {"cpu_percent": wave, "memory_percent": 50 + 10 * math.cos(phase), "slots": 4,
                   "busy": 2, "temperature": 45 + wave / 5, "swap_percent": 1}  # fmt: skip
            rows.append((node.pk, at, 60, hot))
    samples.write(rows)


def test_charts_are_drawn_on_wide_and_narrow_screens_and_follow(walk: Walker) -> None:
    now = timezone.now()
    hold_lease(now)
    nodes = [make_node(f"pi-{n}", slots=4, last_seen_at=now, cpu_percent=20) for n in (1, 2)]
    make_node("pi-off", online=False)
    fill(nodes, 1440)
    walk.sign_in()
    walk.go("/monitoring?range=24h")
    assert walk.count("svg.lines") == 9
    assert walk.find("svg.lines path:not(.grid)").rect["width"] > 200
    picture(walk, "wide")
    for width in (1280, 375):
        walk.narrow(width)
        assert walk.too_wide() == []
    picture(walk, "narrow")
    walk.find("#chart-queue-table summary").click()
    walk.wait("Until", "#chart-queue-table")
    assert walk.too_wide() == []
    walk.narrow(1280)
    walk.go("/nodes/pi-1")
    assert walk.count("#node-charts svg.lines") == 3
    picture(walk, "node")
    walk.go("/monitoring")
    walk.find('a.chip[href$="7d"]').click()
    walk.wait_path("/monitoring?range=7d")
    walk.go("/monitoring")
    walk.wait("Nobody has measured this yet")
    samples.write([(None, timezone.now(), 10, {"queued": 4711, "ready": 4711, "running": 1})])
    walk.wait("4\u202f711", "#chart-queue + .legend", seconds=25)


def picture(walk: Walker, name: str) -> None:
    """For people to look at, where they asked for it."""
    if folder := os.environ.get("SCREENSHOTS"):
        height = walk.driver.execute_script("return document.documentElement.scrollHeight")
        size = walk.driver.get_window_size()
        walk.driver.set_window_size(size["width"], height)
        walk.driver.save_screenshot(f"{folder}/monitoring-{name}.png")

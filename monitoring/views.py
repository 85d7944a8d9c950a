"""The dashboard: one look at everything."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from cluster import fleet
from cluster.placement import NodeView
from cluster.views import cards
from jobs import counts
from jobs.claim import busy
from jobs.models import FINAL_STATES, Job, JobQuerySet, Lease, State
from jobs.views.listing import rows_of, with_parts
from monitoring import alerts, monitor_beat, silences
from monitoring.models import Alert
from monitoring.verdict import Standing, verdict

BARS = 24
HOUR, FIVE_MINUTES = timedelta(hours=1), timedelta(minutes=5)
RECENT = 8
HEIGHT = 52  # of the chart, in its own units


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    live = request.path.startswith("/live/")
    template = "monitoring/_dashboard.html" if live else "monitoring/dashboard.html"
    return render(request, template, picture(timezone.now()))


@require_safe
def beats(request: HttpRequest) -> HttpResponse:
    return render(request, "monitoring/_beats.html")


def picture(now: datetime) -> dict[str, Any]:
    """Everything the dashboard shows, in a fixed number of statements."""
    by = counts.by_state(Job.objects.all())
    shown = cards()
    online = [card for card in shown if card.node.online]
    later, oldest = counts.scheduled(now), counts.oldest(now)
    day = throughput(now, HOUR)
    ended = {state: sum(bar[state] for bar in day) for state in FINAL_STATES}
    judged = ended[State.SUCCEEDED] + ended[State.FAILED]
    views = fleet.views(busy())
    standing = Standing(
        dispatcher=beat(now),
        nodes=len(shown),
        offline=[card.node.name for card in shown if not card.node.online],
        quarantined=[card.node.name for card in online if card.state == "quarantined"],
        suspect=[card.node.name for card in online if card.state == "suspect"],
        draining=sum(card.node.draining for card in online),
        running=by[State.RUNNING],
        waiting=max(0, by[State.QUEUED] - later),
        later=later,
        taken=sum(card.busy for card in shown),
        slots=sum(card.node.slots for card in online),
    )
    return {
        "verdict": verdict(standing),
        "alerts": open_alerts(now),
        "maintenance": silences.maintenance(now),
        "standing": standing,
        "by": by,
        "total": sum(by.values()),
        "oldest": oldest,
        "cards": shown,
        "chart": shown_bars(now, day),
        "ended": ended,
        "ended_total": sum(ended.values()),
        "share": 100 * ended[State.SUCCEEDED] / judged if judged else None,
        "judged": judged,
        "failures": latest(
            Job.objects.filter(state=State.FAILED, finished_at__isnull=False),
            "-finished_at",
            now,
            views,
        ),
        "running": latest(Job.objects.filter(state=State.RUNNING), "-id", now, views),
    }


def open_alerts(now: datetime) -> list[Alert]:
    """The worst first; that nobody watches is worse than anything seen."""
    silent = monitor_beat.found(now)
    return [*([silent] if silent else []), *alerts.open_now()]


def beat(now: datetime) -> str:
    lease = Lease.objects.filter(name="dispatcher").first()
    if lease is None:
        return "never"
    return "up" if lease.expires_at > now else "down"


def latest(jobs: JobQuerySet, order: str, now: datetime, views: list[NodeView]) -> list[Any]:
    return rows_of(list(with_parts(jobs).order_by(order)[:RECENT]), now, views)


def throughput(now: datetime, step: timedelta) -> list[dict[str, int]]:
    """How many jobs ended in each of the last steps, oldest first."""
    edges = [now - step * (BARS - place) for place in range(BARS + 1)]
    return counts.ended(list(pairwise(edges)))


def shown_bars(now: datetime, day: list[dict[str, int]]) -> dict[str, Any]:
    """A day by the hour; on a cluster's first two hours those, by five minutes."""
    if any(sum(bar.values()) for bar in day[:-2]):
        return chart(day, now, HOUR)
    return chart(throughput(now, FIVE_MINUTES), now, FIVE_MINUTES)


def chart(bars: list[dict[str, int]], now: datetime, step: timedelta) -> dict[str, Any]:
    """The bars as rectangles: good ones from the ground up, failed ones on top."""
    most = max(bar[State.SUCCEEDED] + bar[State.FAILED] for bar in bars)
    shapes = []
    for place, bar in enumerate(bars):
        good = HEIGHT * bar[State.SUCCEEDED] / most if most else 0
        bad = HEIGHT * bar[State.FAILED] / most if most else 0
        end = timezone.localtime(now - step * (BARS - place - 1))
        words = _("%(from)s to %(to)s: %(good)s succeeded, %(bad)s failed") % {
            "from": f"{end - step:%H:%M}", "to": f"{end:%H:%M}",
            "good": bar[State.SUCCEEDED], "bad": bar[State.FAILED],
        }  # fmt: skip
        shapes.append({
            "x": place * 10 + 1, "words": words,
            "good": f"{good:.2f}", "good_y": f"{HEIGHT - good:.2f}",
            "bad": f"{bad:.2f}", "bad_y": f"{HEIGHT - good - bad:.2f}",
        })  # fmt: skip
    return {"bars": shapes, "most": most, "hourly": step == HOUR}

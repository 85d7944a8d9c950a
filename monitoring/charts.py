"""Series as lines: paths in a box of 600 by 120, axis marks, and the same as a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from jobs.amounts import size
from monitoring import metrics, samples
from monitoring.amounts import amount
from monitoring.metrics import Metric

WIDTH, HEIGHT = 600, 120
ROWS = 24  # of the table, and marks that tell their values under the pointer
RANGES = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
UNITS = {
    "0 or 1": "",
    "processes": "",
    "jobs/min": gettext_noop("jobs/min"),
    "1/min": gettext_noop("per min"),
}
Column = Sequence[float | None]


@dataclass(frozen=True)
class Plan:
    """A chart: which metrics it draws. Of per cent the top is always 100."""

    key: str
    title: str
    names: tuple[str, ...]


CLUSTER = [
    Plan("queue", gettext_noop("Queue"), ("ready", "running")),
    Plan("throughput", gettext_noop("Submitted and done"), ("throughput", "submitted")),
    Plan("waits", gettext_noop("Wait for a node"), ("wait_p95", "wait_mean")),
    Plan("success", gettext_noop("Success"), ("success_share",)),
    Plan("failures", gettext_noop("Attempts that went wrong"),
         ("failed_attempts", "lost_attempts", "timed_out_attempts")),
    Plan("use", gettext_noop("Use of the nodes"), ("utilisation", "cpu", "memory")),
    Plan("latency", gettext_noop("Latency"), ("network_latency", "dispatch_latency")),
    Plan("nodes", gettext_noop("Nodes online"), ("nodes_online", "nodes")),
    Plan("database", gettext_noop("Database"), ("database_size",)),
]  # fmt: skip
NODE = [
    Plan("cpu", gettext_noop("CPU"), ("cpu", "utilisation")),
    Plan("memory", gettext_noop("Memory"), ("memory", "swap")),
    Plan("temperature", gettext_noop("Temperature"), ("temperature",)),
]


@dataclass(frozen=True)
class Line:
    label: str
    path: str
    dots: list[tuple[str, str]]  # single values between gaps
    last: str


@dataclass(frozen=True)
class Mark:
    """A stretch of the chart and what it says."""

    x: str
    width: str
    words: str
    at: datetime
    cells: list[str]


@dataclass(frozen=True)
class Chart:
    key: str
    title: str
    lines: list[Line]
    top: str
    start: datetime
    end: datetime
    marks: list[Mark]
    words: str
    empty: bool


def of_cluster(length: timedelta, now: datetime) -> list[Chart]:
    return drawn(CLUSTER, metrics.OF_CLUSTER, None, length, now)


def of_node(node: int, length: timedelta, now: datetime) -> list[Chart]:
    return drawn(NODE, metrics.OF_NODE, node, length, now)


def drawn(
    plans: Sequence[Plan], known: Mapping[str, Metric], node: int | None, length: timedelta,
    now: datetime,
) -> list[Chart]:  # fmt: skip
    step = samples.steps_for(now - length, now, points=180)
    end = samples.boundary(now, step) + timedelta(seconds=step)  # round: live charts stand still
    found = samples.series(node, end - length, end, step, now)
    wanted = [known[name] for plan in plans for name in plan.names]
    columns = metrics.columns(wanted, found.points)
    moments = [point.at for point in found.points[1:]]
    return [chart(plan, known, columns, moments) for plan in plans]


def chart(
    plan: Plan, known: Mapping[str, Metric], columns: Mapping[str, Column],
    moments: Sequence[datetime],
) -> Chart:  # fmt: skip
    chosen = [known[name] for name in plan.names]
    values = [value for name in plan.names for value in columns[name] if value is not None]
    unit = chosen[0].unit
    top = 100.0 if unit == "%" else ceiling(max(values, default=0.0))
    lines = [line(metric, columns[metric.name], top) for metric in chosen]
    ends = {"title": _(plan.title), "from": said(moments[0]), "to": said(moments[-1])}
    words = _("%(title)s from %(from)s to %(to)s") % ends
    latest = "; ".join(f"{one.label}: {one.last}" for one in lines)
    return Chart(
        plan.key, _(plan.title), lines, shown(top, unit), moments[0], moments[-1],
        list(marks(chosen, columns, moments)), f"{words}. {latest}", not values,
    )  # fmt: skip


def ceiling(value: float) -> float:
    """The next number that reads well: 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** len(str(int(value))) / 10 if value >= 1 else 10.0**-6
    while True:
        for step in (1, 2, 2.5, 5):
            if step * power >= value:
                return step * power
        power *= 10


def line(metric: Metric, column: Column, top: float) -> Line:
    path, dots = list[str](), list[tuple[str, str]]()
    for part in parts(column):
        places = [(x_of(place, len(column)), y_of(value, top)) for place, value in part]
        if len(places) == 1:
            dots.append(places[0])
        else:
            path.append("M" + "L".join(f"{x} {y}" for x, y in places))
    last = next((value for value in reversed(column) if value is not None), None)
    return Line(_(metric.label), "".join(path), dots, shown(last, metric.unit))


def parts(column: Column) -> Iterator[list[tuple[int, float]]]:
    """What is known without a gap."""
    part: list[tuple[int, float]] = []
    for place, value in enumerate(column):
        if value is not None:
            part.append((place, value))
        elif part:
            yield part
            part = []
    if part:
        yield part


def x_of(place: int, count: int) -> str:
    return f"{WIDTH * (place + 0.5) / count:.4g}"


def y_of(value: float, top: float) -> str:
    return f"{HEIGHT * (1 - min(max(value, 0.0), top) / top):.4g}"


def marks(
    chosen: Sequence[Metric], columns: Mapping[str, Column], moments: Sequence[datetime]
) -> Iterator[Mark]:
    """The values at the end of each stretch, newest last."""
    count = len(moments)
    edges = sorted({round(count * place / min(ROWS, count)) for place in range(ROWS + 1)})
    for low, high in pairwise(edge for edge in edges if edge <= count):
        cells = [shown(latest(columns[metric.name][low:high]), metric.unit) for metric in chosen]
        named = zip(chosen, cells, strict=True)
        words = "; ".join(f"{_(metric.label)}: {cell}" for metric, cell in named)
        x, width = WIDTH * low / count, WIDTH * (high - low) / count
        at = moments[high - 1]
        yield Mark(f"{x:.4g}", f"{width:.4g}", f"{said(at)} · {words}", at, cells)


def latest(column: Column) -> float | None:
    return next((value for value in reversed(column) if value is not None), None)


def said(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def shown(value: float | None, unit: str) -> str:
    """With its unit, as a page has it."""
    if value is not None and unit == "bytes":
        return size(value)
    if unit == "s" and value is not None and value < 10:
        return f"{value:.2g} s" if value else "0 s"
    words = UNITS.get(unit)
    return amount(value, unit if words is None else words and _(words))

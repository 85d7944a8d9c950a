"""Rows as a file, whatever their number: read piece by piece, by key, in flat memory.

docs/export.md says what is promised while the rows change.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, Max, Value
from django.db.models.functions import Coalesce, Length

from cluster.words import told as said_in
from jobs.cells import cell
from jobs.models import Attempt, Job
from jobs.values import read
from monitoring.models import Alert, Sample

LOOK = 1000  # rows whose weight is read at once
HEAVY = 1_000_000  # characters of long texts that are read at once, or one row that has more

Row = dict[str, Any]


def as_it_is(row: Row) -> Iterator[Row]:
    yield row


def one_value_a_row(row: Row) -> Iterator[Row]:
    """A sample's values one under the other: a table whose columns never change."""
    values = row.pop("values")
    for name, value in values.items():
        yield {**row, "name": name, "value": value}


@dataclass(frozen=True)
class What:
    """One kind of rows: its columns with the fields they are read from."""

    model: Any
    moment: str  # the field that the range is about
    columns: dict[str, str]
    json: tuple[str, ...] = ()  # columns that hold JSON as text
    words: tuple[str, ...] = ()  # columns that may hold Words: they go out in English
    heavy: tuple[str, ...] = ()  # texts without a small limit
    table: Callable[[Row], Iterator[Row]] = as_it_is  # how a row goes into a CSV
    heads: tuple[str, ...] = field(default=())  # the CSV's columns, where they are others


def same(*names: str, **others: str) -> dict[str, str]:
    return {name: others.get(name, name) for name in names}


KINDS = {
    "jobs": What(
        Job,
        "created_at",
        same(
            "id", "name", "kind", "title", "spec", "sweep", "owner", "priority", "args", "state",
            "node", "attempts", "max_attempts", "on_lost", "created_at", "run_at", "started_at",
            "finished_at", "run_seconds", "exit_code", "error", "result",
            kind="spec__kind", title="spec__title", owner="owner__username", node="node__name",
            attempts="tried",
        ),
        json=("args", "result"),
        heavy=("args", "result", "error"),
    ),
    "attempts": What(
        Attempt,
        "claimed_at",
        same(
            "id", "job", "number", "node", "bundle", "slots", "outcome", "exit_code", "error_type",
            "error", "fingerprint", "claimed_at", "started_at", "finished_at", "run_seconds",
            "cpu_seconds", "max_rss_kb", "stdout_bytes", "stderr_bytes", "traceback",
            node="node__name",
        ),
        heavy=("error", "traceback"),
    ),
    "samples": What(
        Sample,
        "at",
        same("id", "at", "seconds", "node", "values", node="node__name"),
        table=one_value_a_row,
        heads=("id", "at", "seconds", "node", "name", "value"),
    ),
    "alerts": What(
        Alert,
        "started_at",
        same(
            "id", "rule", "subject", "severity", "state", "value", "threshold", "started_at",
            "fired_at", "acknowledged_at", "acknowledged_by", "resolved_at", "facts", "inside",
        ),
        words=("facts", "inside"),
    ),
}  # fmt: skip
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}


def pieces(what: What, start: datetime | None, end: datetime | None) -> Iterator[list[Row]]:
    """The rows in the order of their keys, those that are there now, a piece at a time."""
    rows = what.model._default_manager.order_by("pk")
    newest = rows.aggregate(newest=Max("pk"))["newest"]
    if newest is None:
        return
    rows = rows.filter(pk__lte=newest)
    if start:
        rows = rows.filter(**{f"{what.moment}__gte": start})
    if end:
        rows = rows.filter(**{f"{what.moment}__lt": end})
    weight: Any = Value(0)
    for name in what.heavy:
        weight = weight + Coalesce(Length(F(name)), Value(0))
    look = rows.annotate(weight=weight).values_list("pk", "weight")
    told = rows.values_list(*what.columns.values())
    after = 0
    while found := list(look.filter(pk__gt=after)[:LOOK]):
        for first, last in light(found):
            yield [told_row(what, row) for row in told.filter(pk__gte=first, pk__lte=last)]
        after = found[-1][0]


def light(found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Runs of keys, first and last, whose texts together are not too much to hold."""
    first, last, held = 0, 0, 0
    for pk, weight in found:
        if first and held + weight > HEAVY:
            yield first, last
            first = 0
        if not first:
            first, held = pk, 0
        last, held = pk, held + weight
    if first:
        yield first, last


def told_row(what: What, values: Iterable[Any]) -> Row:
    row = {
        name: moment(value) if type(value) is datetime else value
        for name, value in zip(what.columns, values, strict=True)
    }
    for name in what.json:
        row[name] = None if row[name] is None else read(row[name])
    for name in what.words:
        row[name] = said_in(row[name], str)
    return row


def moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_csv(what: What, found: Iterable[list[Row]]) -> Iterator[str]:
    """For spreadsheets: CR LF, a ' in front of what they would take for a formula."""
    heads = what.heads or tuple(what.columns)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(heads)
    yield buffer.getvalue()
    for piece in found:
        buffer.seek(0)
        buffer.truncate()
        writer.writerows(
            [cell(line[name]) for name in heads] for row in piece for line in what.table(row)
        )
        yield buffer.getvalue()


def as_ndjson(what: What, found: Iterable[list[Row]]) -> Iterator[str]:
    """An object a line."""
    for piece in found:
        yield "".join(f"{dumped(row)}\n" for row in piece)


def as_json(what: What, found: Iterable[list[Row]]) -> Iterator[str]:
    """An array of objects, whole also where there is none."""
    yield "["
    comma = "\n"
    for piece in found:
        yield comma + ",\n".join(dumped(row) for row in piece)
        comma = ",\n"
    yield "\n]\n"


def dumped(row: Row) -> str:
    try:
        return json.dumps(row, allow_nan=False)
    except ValueError:  # a number that JSON has no word for
        return json.dumps(finite(row))


def finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


WRITERS = {"csv": as_csv, "json": as_json, "ndjson": as_ndjson}


def export(kind: str, form: str, start: datetime | None, end: datetime | None) -> Iterator[str]:
    """The text of the file, piece by piece. kind: of KINDS; form: of FORMATS."""
    what = KINDS[kind]
    return WRITERS[form](what, pieces(what, start, end))

"""Rows as files: whole, safe for a spreadsheet, in flat memory."""

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cluster.models import Node
from jobs.cells import cell
from jobs.models import Attempt, Job
from monitoring import export
from monitoring.models import Alert, Sample
from tests.factories import make_job, make_node, make_sweep, make_user
from tests.pages.rows import HOSTILE, make_ended, make_running

pytestmark = pytest.mark.django_db
FORMULA = '=HYPERLINK("http://elsewhere","x")'


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def node(now: datetime) -> Node:
    return make_node("pi-1", slots=4)


@pytest.fixture
def user(client: Client) -> Client:
    client.force_login(make_user())
    return client


def text_of(client: Client, query: str) -> str:
    answer: Any = client.get(f"/api/monitoring/export?{query}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()


def table(client: Client, query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(client, query), newline="")))


def test_every_kind_in_every_form_has_the_same_rows(
    user: Client, node: Node, now: datetime
) -> None:
    for _ in range(3):
        make_ended(now, node, result='{"pi": 3.14}')
    make_running(now, node)
    for n in range(2):
        Sample.objects.create(at=now, seconds=10, values={"busy": n, "queued": 1.5}, node=node)
        Alert.objects.create(rule="node_down", subject=f"pi-{n}", severity="critical",
                             started_at=now, facts={"never": True})  # fmt: skip
    for kind, count, lines in (
        ("jobs", 4, 4),
        ("attempts", 4, 4),
        ("samples", 2, 4),
        ("alerts", 2, 2),
    ):
        whole = json.loads(text_of(user, f"what={kind}&format=json"))
        each = [json.loads(row) for row in text_of(user, f"what={kind}&format=ndjson").splitlines()]
        assert whole == each
        assert len(whole) == count
        assert len(table(user, f"what={kind}")) == lines
    job = json.loads(text_of(user, "what=jobs&format=json"))[0]
    assert (job["result"], job["args"], job["owner"], job["node"]) == (
        {"pi": 3.14},
        {},
        "alice",
        "pi-1",
    )
    assert job["created_at"].endswith("Z")
    assert {row["name"] for row in table(user, "what=samples")} == {"busy", "queued"}
    assert table(user, "what=attempts&format=csv")[3]["finished_at"] == ""


def test_what_is_empty_is_whole(user: Client) -> None:
    for kind in export.KINDS:
        assert json.loads(text_of(user, f"what={kind}&format=json")) == []
        assert text_of(user, f"what={kind}&format=ndjson") == ""
        [heads] = csv.reader(io.StringIO(text_of(user, f"what={kind}&format=csv")))
        assert heads[0] == "id"
    make_job()
    assert json.loads(text_of(user, "what=jobs&format=json&to=2020-01-01")) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(FORMULA, f"'{FORMULA}"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\tx", "'\tx"),
     ("\rx", "'\rx"), ("\nx", "'\nx"), ("＝1", "'＝1"), (-1, -1), (-0.5, -0.5), (True, "true"),
     (None, ""), ("a=b", "a=b"), ([1], "[1]"), ({"a": "="}, '{"a": "="}')],
)  # fmt: skip
def test_a_text_that_might_be_a_formula_is_only_text_and_numbers_are_numbers(
    value: Any, shown: Any
) -> None:
    assert cell(value) == shown


def test_hostile_text_breaks_out_of_no_cell(user: Client, node: Node, now: datetime) -> None:
    evil = f'{FORMULA}\r\n",=1+1,"\u2028{HOSTILE}'
    job = make_ended(now, node, "failed", name=FORMULA, error=evil, result=json.dumps(FORMULA))
    Job.objects.filter(pk=job.pk).update(priority=-5, error=evil)
    Attempt.objects.update(error=evil, error_type="+x")
    [row] = table(user, "what=jobs")
    assert (row["name"], row["error"]) == (f"'{FORMULA}", f"'{evil}")
    assert (row["priority"], row["result"]) == ("-5", f"'{FORMULA}")
    [row] = table(user, "what=attempts")
    assert (row["error"], row["error_type"]) == (f"'{evil}", "'+x")
    assert json.loads(text_of(user, "what=attempts&format=json"))[0]["error"] == evil
    assert len(text_of(user, "what=attempts&format=ndjson").split("\n")) == 2
    Job.objects.update(result="-5")
    assert table(user, "what=jobs")[0]["result"] == "-5"


def test_the_range_is_by_day_or_by_moment(user: Client) -> None:
    for day in (1, 2, 3):
        make_job(datetime(2026, 3, day, 12, tzinfo=UTC))

    def days(query: str) -> list[str]:
        return [row["created_at"][:10] for row in table(user, f"what=jobs&{query}")]

    assert days("from=2026-03-02") == ["2026-03-02", "2026-03-03"]
    assert days("from=2026-03-01&to=2026-03-02") == ["2026-03-01", "2026-03-02"]
    assert days("to=2026-03-02T12:00:00Z") == ["2026-03-01"]
    assert days("from=2026-03-02T12:00:00Z&to=2026-03-02T12:00:01Z") == ["2026-03-02"]
    answer = user.get("/api/monitoring/export?what=jobs&from=2026-03-01&to=2026-03-31")
    assert answer["Content-Disposition"] == (
        'attachment; filename="jobs_2026-03-01_2026-03-31.csv"'
    )
    assert answer["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "what"), ("what=secrets", "what"), ("what=jobs&format=xls", "format"),
     ("what=jobs&from=yesterday", "from"), ("what=jobs&to=2026-02-30", "to"),
     ("what=jobs&to=9999-12-31", "to"), ("what=jobs&from=2026-03-02&to=2026-03-01", "to"),
     ("what=jobs&from=2026-03-01T99:00:00Z", "from")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_field(user: Client, query: str, field: str) -> None:
    answer = user.get(f"/api/monitoring/export?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_only_who_is_signed_in_gets_anything(client: Client) -> None:
    assert client.get("/api/monitoring/export?what=jobs").status_code in (401, 403)


def test_what_comes_after_the_start_is_left_out_and_what_goes_is_no_error(
    user: Client, node: Node, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LOOK", 2)
    jobs = [make_job(now) for _ in range(6)]
    rows = export.pieces(export.KINDS["jobs"], None, None)
    seen = [row["id"] for row in next(rows)]
    Job.objects.filter(pk=jobs[2].pk).delete()
    make_job(now)
    seen += [row["id"] for piece in rows for row in piece]
    assert seen == [job.pk for job in jobs if job.pk != jobs[2].pk]


def test_rows_are_read_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "HEAVY", 10)
    assert list(export.light([])) == []
    assert list(export.light([(1, 3), (2, 3), (3, 9), (4, 99), (5, 0), (6, 0)])) == [
        (1, 2), (3, 3), (4, 4), (5, 6),
    ]  # fmt: skip


def test_many_heavy_rows_take_little_memory(node: Node, now: datetime) -> None:
    """40 MB of tracebacks."""
    make_sweep(2000, now)
    Attempt.objects.bulk_create(
        Attempt(job_id=pk, number=1, node=node, bundle=pk, claimed_at=now, finished_at=now,
                outcome="failed")
        for pk in Job.objects.values_list("pk", flat=True)
    )  # fmt: skip
    Attempt.objects.update(traceback="é" * 20_000)
    tracemalloc.start()
    sizes = [len(text) for text in export.export("attempts", "csv", None, now + timedelta(1))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) > 40_000_000
    assert peak < 16_000_000

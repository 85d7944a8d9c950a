"""Pages with what no page can hold in their rows, and forms that are given it."""

from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from cluster.models import Node
from jobs.models import Job, Spec, Sweep
from tests.factories import make_sweep
from tests.pages.rows import make_ended

TEXTS = [
    r'{"x\udce9": "\ud800"}', '{"x": 1e999}', '{"x": NaN}', '{"x": %s}' % ("[" * 900 + "]" * 900),
    "[" * 900 + "]" * 900, r'"\udce9"', '{"x":', '"x"', "7",
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("text", TEXTS)
def test_a_row_that_no_page_can_hold_breaks_none(
    page: Client, node: Node, now: datetime, text: str
) -> None:
    job, sweep = make_ended(now, node), make_sweep(1, now)
    args = text if text.startswith("{") else "{}"
    Job.objects.update(args=args, result=text)
    for path in (
        "/", "/jobs", f"/jobs/{job.pk}", f"/live/jobs/{job.pk}", f"/jobs/{job.pk}/result.json",
        f"/submit?clone={job.pk}", f"/schedules/new?job={job.pk}",
        f"/schedules/new?sweep={sweep.pk}", f"/sweeps/{sweep.pk}", f"/live/sweeps/{sweep.pk}",
        f"/sweeps/{sweep.pk}/results.csv", "/api/monitoring/export?what=jobs&format=csv",
        "/api/monitoring/export?what=jobs&format=json",
    ):  # fmt: skip
        answer: Any = page.get(path)
        assert answer.status_code == 200, path
        whole = b"".join(answer) if answer.streaming else answer.content
        assert whole.decode(), path


@pytest.mark.django_db
def test_an_old_specs_half_character_breaks_no_page(
    page: Client, node: Node, now: datetime
) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("its jsonb takes no such thing")
    job, sweep = make_ended(now, node), make_sweep(1, now)
    Spec.objects.update(body={"command": ["ls", "\ud800"], "env": {"A\udce9": "x"}})
    Sweep.objects.update(over={"seed": ["\ud800"]})
    for path in (
        f"/jobs/{job.pk}", f"/submit?clone={job.pk}", f"/schedules/new?job={job.pk}",
        f"/schedules/new?sweep={sweep.pk}", f"/sweeps/{sweep.pk}", "/sweeps",
    ):  # fmt: skip
        answer = page.get(path)
        assert answer.status_code == 200, path
        assert answer.content.decode(), path


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["/submit", "/submit/preview"])
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("kind=command", {"command": "true", "more": r'{"args": {"x": "\ud800"}}'}),
        ("kind=command", {"command": "true", "more": '{"args": {"x": 1e999}}'}),
        ("kind=command", {"command": "true", "more": "[" * 90_000}),
        ("kind=sweep&of=command", {"command": "true {x}", "over": r'x: "\ud800", 2'}),
        ("kind=sweep&of=command", {"command": "true {x}", "over": "x: 1e999, 2"}),
        ("kind=sweep&of=command", {"command": "true {x}", "over": f"x: 0..{'9' * 5000}"}),
        (
            "kind=sweep&of=command",
            {"command": "true {x}", "over": r'{"x": "\ud800"}', "mode": "list"},
        ),
    ],
)
def test_a_form_refuses_what_no_page_can_hold(
    page: Client, end: str, query: str, fields: dict[str, str]
) -> None:
    answer = page.post(f"{end}?{query}", {"mode": "grid", **fields})
    assert answer.status_code == 200
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_form_says_which_field_it_is(page: Client) -> None:
    fields = {"command": "true {x}", "mode": "grid", "over": r'x: 1, "\ud800"'}
    text = page.post("/submit?kind=sweep&of=command", fields).content.decode()
    assert "x[1]: There is half of a character (a lone surrogate) in it." in text


@pytest.mark.django_db
@pytest.mark.parametrize("value", [r'"\ud800"', "1e999", "NaN", "[" * 90_000])
def test_a_schedules_form_refuses_it_too(page: Client, value: str) -> None:
    body = f'{{"kind": "command", "command": "true", "args": {{"x": {value}}}}}'
    fields = {"name": "n", "every": "1", "unit": "60", "what": "job", "body": body}
    answer = page.post("/schedules/new", fields)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "args.x: " in text or "No JSON: " in text

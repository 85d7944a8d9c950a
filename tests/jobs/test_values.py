"""What others made of JSON: taken, refused with its place, and told whatever it is."""

import json
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from jobs import values
from jobs.models import Job, Spec, Sweep
from schedules.models import Schedule
from tests.factories import make_job, make_sweep


def nested(depth: int) -> Any:
    found: list[Any] = []
    for _ in range(depth - 1):
        found = [found]
    return found


FINE = [None, 1, 2**70, 10**400, 1.5, "é 😀", {"a": [1, {"b": []}]}, nested(200), "\\ud800"]


@pytest.mark.parametrize("value", FINE)
def test_a_value_that_everybody_can_read_stays_as_it_is(value: Any) -> None:
    text = json.dumps(value)
    assert values.complaint(value) == ""
    assert values.read(text) == value
    assert type(values.read(text)) is type(value)
    assert values.mended(value) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (r'"\ud800"', "There is half of a character (a lone surrogate) in it."),
        (r'{"a": [0, {"b": "x\udce9"}]}', "a[1].b: There is half of a character"),
        (r'{"a": {"\udce9": 1}}', "a: There is half of a character"),
        ('{"a": 1e999}', "a: Not a finite number."),
        ('{"a": [-1e999, NaN]}', "a[0]: Not a finite number."),
        ("[" * 201 + "]" * 201, "Nested more than 200 deep."),
    ],
)
def test_a_value_that_could_not_be_told_again_is_named_with_its_place(
    text: str, complaint: str
) -> None:
    value = json.loads(text)
    assert values.complaint(value).startswith(complaint)
    told = json.dumps(values.mended(value), allow_nan=False, ensure_ascii=False)
    assert told.encode().decode() == told


@pytest.mark.parametrize(
    "text",
    [r'"\ud800"', r'{"\udce9": 1}', "[1e999]", "NaN", "[" * 990 + "]" * 990, "[" * 99_999, "{", ""],
)
def test_what_cannot_be_told_as_json_is_read_as_its_text(text: str) -> None:
    assert values.read(text) == text


def test_a_zero_byte_is_refused_where_it_comes_in() -> None:
    assert values.complaint({"a": "x\0"}) == "a: There is a zero byte in it."
    assert values.refused({"a\ud800\0": 1, "b": 2}) == {
        "a��": ["There is half of a character (a lone surrogate) in it."]
    }
    assert values.refused([1e999]) == {"body": ["[0]: Not a finite number."]}


JOB = '{"kind": "command", "command": "true", %s}'
SWEEP = '{"spec": {"kind": "command", "command": "true"}, "over": %s}'
SCHEDULE = '{"name": "n", "every_seconds": 60, "job": {"kind": "command", "command": ["ls", %s]}}'
DEEP = "[" * 300 + "]" * 300


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body", "field", "place"),
    [
        ("/api/jobs", JOB % r'"args": {"x": "\ud800"}', "args", "x: There is half"),
        ("/api/jobs", JOB % r'"args": {"\ud800": 1}', "args", "There is half"),
        ("/api/jobs", JOB % '"args": {"x": [1e999]}', "args", "x[0]: Not a finite"),
        ("/api/jobs", JOB % r'"args": {"x": "\u0000"}', "args", "x: There is a zero"),
        ("/api/jobs", JOB % f'"args": {{"x": {DEEP}}}', "args", "Nested more than 200"),
        ("/api/jobs", JOB % f'"args": {{"x": {"[" * 90_000}}}', "body", "Nested more than 200"),
        ("/api/jobs", JOB % r'"env": {"A\udce9": "b"}', "env", "There is half"),
        ("/api/jobs", JOB % r'"env": {"A": "\udce9"}', "env", "A: There is half"),
        ("/api/jobs", JOB % r'"\udce9": 1', "�", "There is half"),
        ("/api/jobs", '["\\ud800"]', "body", "[0]: There is half"),
        ("/api/sweeps", SWEEP % r'{"x": [1, "\ud800"]}', "over", "x[1]: There is half"),
        ("/api/sweeps", SWEEP % '{"x": [1e999]}', "over", "x[0]: Not a finite"),
        ("/api/sweeps", SWEEP % r'{"x": ["\u0000"]}', "over", "x[0]: There is a zero"),
        ("/api/schedules", SCHEDULE % r'"\ud800"', "job", "command[1]: There is half"),
    ],
)
def test_a_body_that_could_not_be_told_again_is_refused_by_field(
    client: APIClient, path: str, body: str, field: str, place: str
) -> None:
    answer = client.post(path, body, content_type="application/json")
    assert answer.status_code == 400
    assert [*answer.json()] == [field]
    assert answer.json()[field][0].startswith(place)
    assert not (Job.objects.exists() or Sweep.objects.exists() or Schedule.objects.exists())
    assert client.get("/api/jobs").json()["results"] == []


@pytest.mark.django_db
def test_a_row_that_is_there_already_keeps_nobody_from_the_others(client: APIClient) -> None:
    fine, half, infinite, deep = (make_job() for _ in range(4))
    bad = {half.pk: r'{"x": "\ud800"}', infinite.pk: '{"x": 1e999}', deep.pk: f'{{"x": {DEEP}}}'}
    for pk, text in bad.items():
        Job.objects.filter(pk=pk).update(args=text, result=text)
    Job.objects.filter(pk=fine.pk).update(args='{"x": "é"}', result=str(10**400))
    answer = client.get("/api/jobs")
    assert answer.status_code == 200
    found = {job["id"]: (job["args"], job["result"]) for job in answer.json()["results"]}
    assert found == {pk: (text, text) for pk, text in bad.items()} | {
        fine.pk: ({"x": "é"}, 10**400)
    }
    for pk in bad:
        assert client.get(f"/api/jobs/{pk}").json()["args"] == bad[pk]


@pytest.mark.django_db
def test_a_body_that_is_there_already_is_told_as_far_as_it_can_be(client: APIClient) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("its jsonb takes no such thing")
    job, sweep = make_job(), make_sweep(1)
    Spec.objects.filter(pk=job.spec_id).update(body={"command": ["\ud800"]})
    Sweep.objects.filter(pk=sweep.pk).update(over={"seed": ["\ud800", 1]})
    assert client.get(f"/api/jobs/{job.pk}").json()["spec"]["command"] == ["�"]
    assert client.get(f"/api/sweeps/{sweep.pk}").json()["over"] == {"seed": ["�", 1]}

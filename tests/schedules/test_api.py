"""/api/schedules: who may do what, and refusals that say what to do."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import Job
from schedules.models import Run, Schedule
from tests.factories import make_user

JOB = {"kind": "command", "command": ["true"]}
BODY = {"name": "nightly", "job": JOB, "cron": "0 2 * * *", "time_zone": "Europe/Berlin"}
JSON = "application/json"
pytestmark = pytest.mark.django_db


@pytest.fixture
def api(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def bob(db: None) -> Client:
    found = Client()
    found.force_login(make_user("bob"))
    return found


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    return client.post(path, body or {}, content_type=JSON, headers=headers)


def make(api: Client, **changes: Any) -> dict[str, Any]:
    answer = post(api, "/api/schedules", {**BODY, **changes})
    assert answer.status_code == 201, answer.json()
    found: dict[str, Any] = answer.json()
    return found


def test_it_is_made_read_changed_and_deleted(api: Client) -> None:
    made = make(api)
    path = f"/api/schedules/{made['id']}"
    assert made == api.get(path).json()
    assert (made["state"], made["owner"], made["job"], made["sweep"]) == (
        "active", "alice", JOB, None,
    )  # fmt: skip
    assert (made["missed"], made["overlap"], len(made["next_times"])) == ("once", "allow", 5)
    assert made["next_at"] == made["next_times"][0]
    assert api.get("/api/schedules?owner=alice").json()["results"] == [made]
    assert api.get("/api/schedules?owner=bob").json()["results"] == []
    changed = api.patch(path, {"every_seconds": 90, "overlap": "skip"}, content_type=JSON).json()
    assert (changed["cron"], changed["every_seconds"], changed["overlap"]) == ("", 90, "skip")
    assert changed["anchor"] and changed["job"] == JOB
    changed = api.patch(path, {"cron": "@daily"}, content_type=JSON).json()
    assert (changed["cron"], changed["every_seconds"], changed["anchor"]) == ("@daily", None, None)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_a_sweep_is_taken_as_the_api_takes_it(api: Client) -> None:
    sweep = {"spec": {"kind": "command", "command": "echo {n}"}, "over": {"n": [1, 2]}}
    body = {"name": "two", "sweep": sweep, "every_seconds": 3600}
    made = post(api, "/api/schedules", body).json()
    assert (made["sweep"], made["job"]) == (sweep, None)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"cron": "0 25 * * *"}, "cron", "The hour, 25: give 0 to 23"),
        ({"cron": "0 2 * *"}, "cron", "Give five parts"),
        ({"cron": ""}, "cron", "Give either cron or every_seconds."),
        ({"every_seconds": 60}, "cron", "Give either cron or every_seconds."),
        ({"cron": "", "every_seconds": 9}, "every_seconds", "greater than or equal to 10"),
        ({"time_zone": "Europe/Bern"}, "time_zone", "There is no time zone Europe/Bern."),
        ({"time_zone": "../etc/passwd"}, "time_zone", "There is no time zone"),
        ({"time_zone": "Europe"}, "time_zone", "There is no time zone Europe."),
        ({"missed": "maybe"}, "missed", "not a valid choice"),
        ({"start_at": "2027-01-02T00:00Z", "end_at": "2027-01-01T00:00Z"}, "end_at",
         "It ends before it starts."),
        ({"sweep": {}}, "job", "Give either job or sweep."),
        ({"often": True}, "often", "Unknown field."),
        ({"name": ""}, "name", "blank"),
        ({"job": "date"}, "job", "dictionary"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field(
    api: Client, changes: dict[str, Any], field: str, words: str
) -> None:
    answer = post(api, "/api/schedules", {**BODY, **changes})
    assert answer.status_code == 400
    assert words in str(answer.json()[field])


def test_what_is_wrong_with_the_body_is_said_within_it(api: Client) -> None:
    wrong = {"kind": "command", "priority": 1000}
    answer = post(api, "/api/schedules", {**BODY, "job": wrong})
    assert answer.status_code == 400
    assert "priority" in answer.json()["job"]
    many = {"spec": JOB, "over": {"n": {"range": [0, 200_000]}}}
    body = {"name": "many", "cron": "@daily", "sweep": many}
    answer = post(api, "/api/schedules", body)
    assert "at most 100,000" in answer.json()["sweep"]["over"][0]


def test_a_name_is_used_once_by_each_user(api: Client, bob: Client) -> None:
    first, other = make(api), make(api, name="other")
    make(bob)
    answer = post(api, "/api/schedules", BODY)
    assert answer.json() == {"name": ["There is a schedule of this name already."]}
    path = f"/api/schedules/{other['id']}"
    assert api.patch(path, {"name": "nightly"}, content_type=JSON).status_code == 400
    path = f"/api/schedules/{first['id']}"
    assert api.patch(path, {"name": "nightly"}, content_type=JSON).status_code == 200


def test_others_may_read_and_staff_may_change(api: Client, bob: Client) -> None:
    path = f"/api/schedules/{make(api)['id']}"
    assert bob.get(path).status_code == 200
    assert bob.get(f"{path}/runs").status_code == 200
    for action in ("pause", "resume", "run-now"):
        assert post(bob, f"{path}/{action}").status_code == 403
    assert bob.delete(path).status_code == 403
    assert bob.patch(path, {"name": "x"}, content_type=JSON).status_code == 403
    User.objects.filter(username="bob").update(is_staff=True)
    assert bob.patch(path, {"name": "x"}, content_type=JSON).status_code == 200
    assert Schedule.objects.get().owner.username == "alice"


def test_it_is_paused_with_a_reason_and_resumed(api: Client) -> None:
    path = f"/api/schedules/{make(api)['id']}"
    paused = post(api, f"{path}/pause", {"reason": "moving house"}).json()
    assert (paused["state"], paused["paused_by"], paused["paused_why"]) == (
        "paused", "alice", "moving house",
    )  # fmt: skip
    assert (paused["next_at"], paused["next_times"]) == (None, [])
    resumed = post(api, f"{path}/resume").json()
    assert (resumed["state"], resumed["paused_why"]) == ("active", "")
    assert resumed["next_at"]


def test_it_runs_now_once_for_each_key(api: Client) -> None:
    path = f"/api/schedules/{make(api, overlap='skip')['id']}"
    first = post(api, f"{path}/run-now", **{"Idempotency-Key": "k"})
    again = post(api, f"{path}/run-now", **{"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["job"] == Job.objects.get().pk
    refused = post(api, f"{path}/run-now")
    assert refused.status_code == 409
    assert "Not while the last one is open" in refused.json()["detail"]
    runs = api.get(f"{path}/runs").json()["results"]
    assert [(run["outcome"], run["who"]) for run in runs] == [("started", "alice")]


def test_run_now_says_what_is_wrong_with_the_body(api: Client) -> None:
    made = make(api)
    Schedule.objects.update(body={"kind": "function", "function": "no.such"})
    answer = post(api, f"/api/schedules/{made['id']}/run-now")
    assert answer.status_code == 400
    assert "No function no.such" in answer.json()["body"][0]
    assert not Run.objects.exists()


def test_runs_come_in_pages(api: Client, now: datetime) -> None:
    made = make(api)
    Run.objects.bulk_create(
        Run(schedule_id=made["id"], scheduled_for=now + timedelta(hours=n), at=now,
            outcome="missed")
        for n in range(5)
    )  # fmt: skip
    first = api.get(f"/api/schedules/{made['id']}/runs?limit=3").json()
    rest = api.get(first["next"]).json()
    times = [run["scheduled_for"] for run in [*first["results"], *rest["results"]]]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)


def test_a_rule_can_be_looked_at_before_it_is_saved(api: Client) -> None:
    path = "/api/schedules/preview"
    found = api.get(path, {"cron": "30 2 * * *", "time_zone": "Europe/Berlin"}).json()
    assert len(found["next_times"]) == 5
    assert all(text[11:16] in ("02:30", "03:00") for text in found["local_times"])
    found = api.get(path, {"every_seconds": "60"}).json()
    assert len(found["next_times"]) == 5
    wrong = api.get(path, {"cron": "x * * * *"})
    assert (wrong.status_code, "The minute, x" in wrong.json()["cron"][0]) == (400, True)
    over = {"cron": "@daily", "end_at": "2020-01-01T00:00:00Z"}
    assert api.get(path, over).json()["next_times"] == []


def test_the_list_asks_a_fixed_number_of_statements(
    api: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        make(api, name=str(number))
    with django_assert_max_num_queries(4):
        assert len(api.get("/api/schedules").json()["results"]) == 6


def test_the_schema_knows_the_paths(api: Client) -> None:
    text = api.get("/api/schema").content.decode()
    assert "/api/schedules/{id}/run-now" in text or "/api/schedules/{pk}/run-now" in text

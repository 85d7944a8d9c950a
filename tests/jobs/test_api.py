"""The API as a client sees it: what it takes, what it refuses and in which words."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import get_resolver
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from jobs import files
from jobs.dispatcher import Desk, run_once
from jobs.health import Health
from jobs.models import Artifact, Job, Sweep
from tests.factories import hold_lease, make_job, make_node, make_sweep, make_user
from tests.fakes import FakeEngine, stream
from tests.pages.rows import make_ended

pytestmark = pytest.mark.django_db


def post(client: APIClient, path: str, body: Any = None) -> Any:
    return client.post(path, body, format="json")


def test_a_job_is_taken_and_read_back(client: APIClient) -> None:
    body = {
        "name": "thumbs", "kind": "command", "command": ["convert", "in.png"],
        "needs": {"tags": ["arm64"], "memory_mb": 256}, "priority": 5, "timeout_seconds": 60,
        "max_attempts": 3, "outputs": ["*.png"], "env": {"A": "b"},
    }  # fmt: skip
    answer = post(client, "/api/jobs", body)
    assert answer.status_code == 201
    job = answer.json()
    assert client.get(f"/api/jobs/{job['id']}").json()["spec"]["needs"]["tags"] == ["arm64"]
    known = {key: job[key] for key in ("name", "kind", "state", "priority", "owner", "attempts")}
    assert known == {
        "name": "thumbs", "kind": "command", "state": "queued", "priority": 5, "owner": "alice",
        "attempts": 0,
    }  # fmt: skip
    assert job["max_attempts"] == 3
    assert "none is known" in job["reason"]


def test_jobs_of_the_same_content_share_a_spec(client: APIClient) -> None:
    for seed in range(3):
        body = {"kind": "function", "function": "montecarlo.pi_block", "args": {"seed": seed}}
        assert post(client, "/api/jobs", body).status_code == 201
    assert Job.objects.values("spec").distinct().count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "command"}, "command"),
        ({"kind": "command", "command": []}, "command"),
        ({"kind": "command", "command": [1]}, "command"),
        ({"kind": "command", "command": "ls", "source": "x"}, "source"),
        ({"kind": "command", "command": "ls", "colour": "red"}, "colour"),
        ({"kind": "command", "command": "ls", "timeout_seconds": -1}, "timeout_seconds"),
        ({"kind": "command", "command": "ls", "timeout_seconds": "soon"}, "timeout_seconds"),
        ({"kind": "command", "command": "ls", "priority": 1000}, "priority"),
        ({"kind": "command", "command": "ls", "max_attempts": 0}, "max_attempts"),
        ({"kind": "command", "command": "ls", "run_at": "tomorrow"}, "run_at"),
        ({"kind": "command", "command": "ls", "files": {"../x": "sha256:" + "0" * 64}}, "files"),
        ({"kind": "command", "command": "ls", "files": {"x": "sha256:" + "0" * 64}}, "files"),
        ({"kind": "command", "command": "ls", "files": {"x": "md5:0"}}, "files"),
        ({"kind": "command", "command": "ls", "outputs": ["/etc/passwd"]}, "outputs"),
        ({"kind": "command", "command": "ls", "needs": {"gpu": 1}}, "needs"),
        ({"kind": "command", "command": "ls", "needs": {"memory_mb": 1}}, "needs"),
        ({"kind": "command", "command": "ls", "isolation": "shared"}, "isolation"),
        ({"kind": "command", "command": "ls", "env": {"A=B": "c"}}, "env"),
        ({"kind": "script", "source": ""}, "source"),
        ({"kind": "magic"}, "kind"),
        ({"kind": "function", "function": "montecarlo.pie", "args": {}}, "function"),
        ({"kind": "function", "function": "montecarlo.pi", "args": {}}, "args"),
        ({"kind": "function", "function": "montecarlo.pi", "args": {"samples": "9"}}, "args"),
        ({"kind": "function", "function": "montecarlo.pi", "args": {"n": 1}}, "args"),
        ([1, 2], "non_field_errors"),
        ("text", "non_field_errors"),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(
    client: APIClient, body: Any, field: str
) -> None:
    answer = post(client, "/api/jobs", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert Job.objects.count() == 0


def test_a_misspelt_function_gets_a_suggestion(client: APIClient) -> None:
    answer = post(client, "/api/jobs", {"kind": "function", "function": "montecarlo.pi_blok"})
    assert "montecarlo.pi_block" in answer.json()["function"][0]


def test_bad_json_is_refused(client: APIClient) -> None:
    answer = client.post("/api/jobs", "{not json", content_type="application/json")
    assert answer.status_code == 400
    assert "JSON" in answer.json()["detail"]


def test_a_body_of_ten_megabytes_is_refused_before_it_is_read(client: APIClient) -> None:
    text = json.dumps({"kind": "script", "source": "#" * 10 * 2**20})
    answer = client.post("/api/jobs", text, content_type="application/json")
    assert answer.status_code == 413
    assert "/api/files" in answer.json()["body"][0]


@pytest.mark.parametrize(
    ("over", "mode", "points"),
    [
        ({"a": {"range": [0, 3]}}, "grid", [{"a": 0}, {"a": 1}, {"a": 2}]),
        ({"a": {"range": [4, 0, -2]}}, "grid", [{"a": 4}, {"a": 2}]),
        ({"a": [1, 2], "b": ["x", "y"]}, "zip", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"a": [1, 2], "b": [3]}, "grid", [{"a": 1, "b": 3}, {"a": 2, "b": 3}]),
        ([{"a": 1}, {"b": 2}], "list", [{"a": 1}, {"b": 2}]),
    ],
)
def test_a_sweep_makes_one_job_for_each_set_of_arguments(
    client: APIClient, over: Any, mode: str, points: list[dict[str, Any]]
) -> None:
    spec = {"kind": "command", "command": ["echo", "{a}"], "priority": 2}
    answer = post(client, "/api/sweeps", {"name": "s", "spec": spec, "over": over, "mode": mode})
    assert answer.status_code == 201
    assert answer.json()["total"] == len(points)
    jobs = Job.objects.filter(sweep=answer.json()["id"]).order_by("id")
    assert [json.loads(job.args) for job in jobs] == points
    assert {job.priority for job in jobs} == {2}


@pytest.mark.parametrize(
    ("over", "mode"),
    [
        ({}, "grid"),
        ([], "list"),
        ([1], "list"),
        ({"a": []}, "grid"),
        ({"a": 5}, "grid"),
        ({"a": {"range": [1]}}, "grid"),
        ({"a": {"range": [0, 5, 0]}}, "grid"),
        ({"a": {"range": [0, "x"]}}, "grid"),
        ({"a": {"range": [0, 0]}}, "grid"),
        ({"a": {"range": [0, 10**12]}}, "grid"),
        ({"a": [1, 2], "b": [1]}, "zip"),
        ({"a": [1]}, "list"),
        (None, "grid"),
        ("x", "zip"),
    ],
)
def test_a_sweep_over_nonsense_is_refused_whole(client: APIClient, over: Any, mode: str) -> None:
    body = {"spec": {"kind": "command", "command": "ls"}, "over": over, "mode": mode}
    answer = post(client, "/api/sweeps", body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["over"]
    assert Sweep.objects.count() == 0


def test_a_sweeps_arguments_are_checked_against_the_function(client: APIClient) -> None:
    spec = {"kind": "function", "function": "montecarlo.pi_block"}
    answer = post(client, "/api/sweeps", {"spec": spec, "over": {"sed": [1]}})
    assert answer.status_code == 400
    assert "sed" in answer.json()["over"][0]


def test_a_sweep_tells_how_far_it_is(client: APIClient) -> None:
    sweep = make_sweep(3)
    answer = client.get(f"/api/sweeps/{sweep.pk}").json()
    assert (answer["state"], answer["counts"]["queued"]) == ("queued", 3)
    Job.objects.update(state="succeeded", finished_at=timezone.now())
    answer = client.get(f"/api/sweeps/{sweep.pk}").json()
    assert (answer["state"], answer["counts"]["succeeded"]) == ("succeeded", 3)
    assert answer["finished_at"]


def test_the_list_is_filtered_and_paged_by_key(client: APIClient) -> None:
    make_sweep(5)
    make_job(name="other")
    Job.objects.filter(name="other").update(state="failed", finished_at=timezone.now())
    page = client.get("/api/jobs?limit=4").json()
    assert [len(page["results"]), page["previous"]] == [4, None]
    rest = client.get(page["next"]).json()
    assert [len(rest["results"]), rest["next"]] == [2, None]
    assert len({job["id"] for job in page["results"] + rest["results"]}) == 6

    def found(query: str) -> int:
        return len(client.get(f"/api/jobs?{query}").json()["results"])

    assert found("state=failed") == 1
    assert found("state=pending&state=failed") == 6
    assert found("state=completed") == 0
    assert found("kind=function") == 5
    assert found("q=othe") == 1
    assert found("q=pi_block&owner=alice") == 5
    assert found("reason=pending") == 5
    assert found("node=nowhere") == 0


@pytest.mark.parametrize("query", ["state=x", "kind=x", "sweep=x", "since=x", "reason=x"])
def test_a_filter_that_makes_no_sense_is_refused_by_name(client: APIClient, query: str) -> None:
    answer = client.get(f"/api/jobs?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [query.split("=")[0]]


def test_the_list_asks_the_same_number_of_questions_however_long(
    client: APIClient, django_assert_num_queries: Any
) -> None:
    make_sweep(3)
    with django_assert_num_queries(2):
        client.get("/api/jobs")
    make_sweep(40)
    with django_assert_num_queries(2):
        client.get("/api/jobs")


def test_the_counts_tell_every_state(client: APIClient) -> None:
    make_job(timezone.now() - timedelta(seconds=90))
    answer = client.get("/api/jobs/status").json()
    assert answer["queued"] == answer["total"] == 1
    assert answer["cancelled"] == 0
    assert 89 < answer["oldest_queued_seconds"] < 120


def run_to_the_end(client: APIClient, outcome: str = "succeeded", **more: Any) -> Job:
    make_node()
    job = make_job(timezone.now())
    engine, desk = FakeEngine(), Desk(hold_lease(timezone.now()), Health(timezone.now()))
    run_once(engine, desk, timezone.now())
    engine.end(engine.only(), outcome, **more)
    run_once(engine, desk, timezone.now())
    return job


def test_detail_output_cancel_requeue_delete(client: APIClient) -> None:
    job = run_to_the_end(client, "failed", error="no", stderr=stream("é broke\n"))
    path = f"/api/jobs/{job.pk}"
    detail = client.get(path).json()
    assert [attempt["outcome"] for attempt in detail["tries"]] == ["failed"]
    assert detail["tries"][0]["placement"]["strategy"] == "least_connections"
    output = client.get(f"{path}/output?stream=stderr").json()
    assert (output["text"], output["complete"], output["total"]) == ("é broke\n", True, 9)
    raw = client.get(f"{path}/output?stream=stderr&raw=1")
    assert (raw.content, raw["Content-Type"][:10]) == ("é broke\n".encode(), "text/plain")
    assert "attachment" in raw["Content-Disposition"]
    assert post(client, f"{path}/cancel").status_code == 409
    again = post(client, f"{path}/requeue")
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    assert post(client, f"{path}/requeue").status_code == 409
    assert client.delete(path).status_code == 409
    assert post(client, f"{path}/cancel").json()["state"] == "cancelled"
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_what_was_left_out_of_the_output_is_marked(client: APIClient) -> None:
    cut = {"text": "headtail", "total": 1008, "left_out": 1000, "left_out_at": 4}
    job = run_to_the_end(client, stdout=cut)
    output = client.get(f"/api/jobs/{job.pk}/output").json()
    assert output["text"] == "head\n[… 1,000 bytes left out …]\ntail"
    assert (output["left_out"], output["total"], output["next_offset"]) == (1000, 1008, 1008)


def test_output_and_artifacts_before_anything_ran(client: APIClient) -> None:
    job = make_job()
    assert client.get(f"/api/jobs/{job.pk}/output").status_code == 404
    assert client.get(f"/api/jobs/{job.pk}/artifacts").json() == []
    assert client.get("/api/jobs/99999/output").status_code == 404


def test_others_may_look_but_not_touch(client: APIClient) -> None:
    job = make_job(owner=make_user("bob"))
    assert client.get(f"/api/jobs/{job.pk}").status_code == 200
    for action in ("cancel", "requeue"):
        assert post(client, f"/api/jobs/{job.pk}/{action}").status_code == 403
    assert client.delete(f"/api/jobs/{job.pk}").status_code == 403
    assert post(client, "/api/dispy/cleanup").status_code == 403


def test_a_file_is_kept_once_and_given_back_as_an_attachment(client: APIClient) -> None:
    data = b"\x00\xff" * 1000
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    raw = client.post("/api/files", data, content_type="application/octet-stream")
    assert (raw.status_code, raw.json()["digest"], raw.json()["size"]) == (201, digest, 2000)
    form = client.post("/api/files", {"file": SimpleUploadedFile("a.bin", data)})
    assert form.json()["digest"] == digest
    back: Any = client.get(f"/api/files/{digest}?name=a.bin")
    assert b"".join(back.streaming_content) == data
    assert back["Content-Disposition"] == 'attachment; filename="a.bin"'
    body = {"kind": "command", "command": "cat in", "files": {"in": digest}}
    assert post(client, "/api/jobs", body).status_code == 201


def test_a_file_over_the_limit_leaves_nothing_behind(client: APIClient, settings: Any) -> None:
    settings.UPLOAD_LIMIT = 1000
    before = set(settings.FILES.rglob("*"))
    answer = client.post("/api/files", b"x" * 1001, content_type="application/octet-stream")
    assert answer.status_code == 400
    assert "file" in answer.json()
    assert set(settings.FILES.rglob("*")) == before


def test_artifacts_are_listed_with_their_errors(client: APIClient, alice: User) -> None:
    job = run_to_the_end(client)
    file = files.store([b"png"], alice, timezone.now())
    attempt = job.attempts.get()
    Artifact.objects.create(attempt=attempt, name="out/a b.png", size=3, file=file)
    Artifact.objects.create(attempt=attempt, name="x", size=9, error="it did not arrive")
    good, bad = client.get(f"/api/jobs/{job.pk}/artifacts").json()
    back: Any = client.get(good["url"])
    assert b"".join(back.streaming_content) == b"png"
    assert (bad["url"], bad["error"]) == (None, "it did not arrive")


def test_the_engines_status_has_the_words_of_the_brief(client: APIClient) -> None:
    make_node()
    make_job()
    answer = client.get("/api/dispy/status").json()
    known = {key: answer[key] for key in ("status", "nodes", "active_jobs", "total_jobs")}
    assert known == {"status": "stopped", "nodes": 1, "active_jobs": 0, "total_jobs": 1}
    assert answer["versions"]["dispy"] == "4.15.2"


def test_cleanup_says_how_many_went(client: APIClient, alice: User, settings: Any) -> None:
    alice.is_staff = True
    job = make_job()
    old = timezone.now() - timedelta(days=settings.RETENTION_DAYS + 1)
    Job.objects.filter(pk=job.pk).update(state="succeeded", finished_at=old)
    make_job()
    assert post(client, "/api/dispy/cleanup").json()["cleaned"] == 1
    assert Job.objects.count() == 1


def test_nodes_and_overview(client: APIClient, alice: User) -> None:
    make_node("pi-1", slots=4)
    make_node("pi-2", online=False)
    [first, second] = client.get("/api/cluster/nodes").json()
    assert (first["name"], first["state"], second["state"]) == ("pi-1", "online", "offline")
    overview = client.get("/api/cluster/overview").json()
    assert overview["slots"] == {"total": 4, "busy": 0}
    assert post(client, "/api/cluster/nodes/pi-1/drain", {"reason": "dust"}).status_code == 403
    alice.is_staff = True
    answer = post(client, "/api/cluster/nodes/pi-1/drain", {"reason": "dust"}).json()
    assert (answer["state"], answer["drain_reason"]) == ("drained", "dust")
    assert post(client, "/api/cluster/nodes/pi-1/resume").json()["state"] == "online"


def test_a_token_opens_the_api_until_it_is_revoked(alice: User) -> None:
    token, key = AuthToken.objects.create(alice)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.get("/api/jobs").status_code == 200
    token.delete()
    assert client.get("/api/jobs").status_code == 401


OPEN_PATHS = {"healthz", "readyz", "login", "logout", "set_language", "javascript-catalog"}


def all_paths(patterns: Any, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            found += all_paths(pattern.url_patterns, path)
        else:
            found.append((path, pattern.name or ""))
    return found


def test_nothing_but_the_health_pages_opens_without_sign_in() -> None:
    client = APIClient(raise_request_exception=False)
    checked = 0
    for path, name in all_paths(get_resolver().url_patterns):
        if name in OPEN_PATHS or path.startswith("admin/") or "(?P" in path:
            continue
        for kind in ("int:", "str:", "path:", "slug:"):
            path = path.replace(f"<{kind}", "<")
        while "<" in path:
            path = path[: path.index("<")] + "1" + path[path.index(">") + 1 :]
        # An invitation's paths are for machines that have its token; others find nothing there.
        closed = (404, 405) if path.startswith("join/") else (302, 401, 403, 405)
        for method in (client.get, client.post):
            status = method("/" + path).status_code
            assert status in closed, f"{path} answered {status}"
        checked += 1
    assert checked > 15


def test_health_pages_tell_process_and_cluster_apart() -> None:
    client = APIClient()
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["dispatcher", "node"])
    make_node()
    hold_lease(timezone.now())
    assert client.get("/readyz").status_code == 200


def test_the_schema_describes_every_path(client: APIClient) -> None:
    schema = client.get("/api/schema?format=json").json()
    for path in ("/api/jobs", "/api/jobs/status", "/api/sweeps", "/api/dispy/status"):
        assert path in schema["paths"]
    client.force_login(make_user())
    assert client.get("/docs").status_code == 200


def test_one_key_makes_one_job_and_another_body_is_refused(client: APIClient) -> None:
    body = {"kind": "command", "command": ["true"]}
    path = "/api/jobs"
    key: Any = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    first = client.post(path, body, format="json", **key)
    again = client.post(path, body, format="json", **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = client.post(path, {**body, "priority": 1}, format="json", **key)
    assert other.status_code == 409
    sweep = {"spec": body, "over": {"a": [1, 2]}}
    made = [
        client.post("/api/sweeps", sweep, format="json", HTTP_IDEMPOTENCY_KEY="k2").json()["id"]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert Job.objects.count() == 3
    client.force_authenticate(make_user("bob"))
    assert client.post(path, body, format="json", **key).status_code == 201


def test_a_key_that_came_with_a_refused_body_is_free(client: APIClient) -> None:
    key: Any = {"HTTP_IDEMPOTENCY_KEY": "k"}
    assert client.post("/api/jobs", {"kind": "x"}, format="json", **key).status_code == 400
    good = {"kind": "command", "command": ["true"]}
    assert client.post("/api/jobs", good, format="json", **key).status_code == 201


def test_a_submit_tells_what_befell_a_job_that_waits_in_vain(client: APIClient) -> None:
    first = make_job()
    client.post(f"/api/jobs/{first.pk}/cancel")
    body = {"kind": "command", "command": ["true"], "after": [first.pk]}
    told = client.post("/api/jobs", body, format="json").json()
    assert told["state"] == "cancelled"
    assert told["events"][-1]["state"] == "cancelled"
    assert told == client.get(f"/api/jobs/{told['id']}").json()


def test_a_queued_job_can_be_changed_and_tells_so(client: APIClient) -> None:
    first = make_job()
    job = make_job(after=[first.pk])
    path = f"/api/jobs/{job.pk}"
    answer = client.patch(path, {"priority": 7, "held": True}, format="json").json()
    assert (answer["priority"], answer["held"], answer["reason"]) == (7, True, "held")
    assert answer["events"][-1]["who"] == "alice"
    answer = client.patch(path, {"held": False}, format="json").json()
    assert answer["waits_for"] == {str(first.pk): "ok"}
    assert "waits for" in answer["reason"]
    assert list(client.patch(path, {"state": "x"}, format="json").json()) == ["state"]
    client.post(f"{path}/cancel")
    assert client.patch(path, {"priority": 1}, format="json").status_code == 409


def test_waiting_for_a_job_that_is_not_there_is_refused(client: APIClient) -> None:
    body = {"kind": "command", "command": "ls", "after": [12345]}
    answer = post(client, "/api/jobs", body)
    assert (answer.status_code, list(answer.json())) == (400, ["after"])


def test_a_sweep_is_cancelled_at_once(client: APIClient) -> None:
    sweep = make_sweep(3)
    answer = post(client, f"/api/sweeps/{sweep.pk}/cancel").json()
    assert (answer["state"], answer["counts"]["cancelled"]) == ("cancelled", 3)


@pytest.mark.parametrize("position", ["²", "x", "-1", str(10**20), "9" * 5000, ""])
@pytest.mark.parametrize("reverse", [0, 1])
def test_a_cursor_that_is_none_is_not_found(client: APIClient, position: str, reverse: int) -> None:
    make_job()
    cursor = base64.b64encode(urlencode({"p": position, "r": reverse}).encode()).decode()
    for path in ("/api/jobs?", "/api/jobs?q=x&", "/api/sweeps?", "/api/schedules?"):
        answer = client.get(f"{path}{urlencode({'cursor': cursor})}")
        assert answer.status_code == 404, path


@pytest.mark.parametrize(
    "query", ["sweep=²", "spec=²", f"sweep={'9' * 19}", "q=%00", "node=%00", "owner=%00"]
)
def test_a_filter_that_is_no_number_or_no_text_is_refused_by_name(
    client: APIClient, query: str
) -> None:
    answer = client.get(f"/api/jobs?{query}")
    assert answer.status_code == 400
    assert [*answer.json()] == [query.partition("=")[0]]


@pytest.mark.parametrize("number", ["²", "-1", "9" * 30, "9" * 5000, "x"])
def test_numbers_in_a_query_are_whole_and_not_beyond_all(client: APIClient, number: str) -> None:
    job = make_ended(timezone.now(), make_node())
    assert client.get("/api/jobs", {"q": number}).status_code == 200
    for name in ("attempt", "offset", "limit"):
        answer = client.get(f"/api/jobs/{job.pk}/output", {name: number})
        assert answer.status_code == 400
        assert [*answer.json()] == [name]

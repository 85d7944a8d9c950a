"""What holds for each page: whole, escaped, behind the door, in a fixed number of statements."""

import re
from datetime import datetime

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from cluster.models import Node
from jobs.models import Job
from tests.factories import make_node, make_sweep
from tests.pages.conftest import Counted
from tests.pages.rows import HOSTILE, make_world

PAGES = [
    "/", "/jobs", "/jobs?state=failed&state=queued&q=alert&age=24h", "/jobs?reason=scheduled",
    "/submit", "/submit?kind=script", "/submit?kind=function&function=montecarlo.pi",
    "/submit?kind=sweep&function=montecarlo.pi_block", "/submit?kind=sweep&of=command",
    "/sweeps", "/schedules", "/schedules/new", "/nodes", "/nodes/pi-1", "/password", "/alerts",
    "/alerts?state=open&severity=critical&rule=node_down&subject=pi-1", "/alerts/silences",
    "/alerts/silences?rule=node_down&subject=pi-1", "/alerts/rules",
    "/failures", "/failures?days=30",
    "/recommendations", "/recommendations?strategy=round_robin&nodes=0&days=7",
    "/monitoring", "/monitoring?range=7d",
]  # fmt: skip
REGIONS = ["/live/dashboard", "/live/beats", "/live/jobs?newest=1", "/live/sweeps", "/live/nodes",
           "/live/nodes/pi-1", "/live/schedules", "/live/alerts", "/live/failures?days=1",
           "/live/monitoring?range=24h", "/live/charts/pi-1"]  # fmt: skip
FIXED = ["/", "/settings/channels", "/settings/channels/deliveries", "/live/channels",
         "/admin/monitoring/channel/", "/admin/monitoring/delivery/",
         "/admin/monitoring/alert/", "/admin/monitoring/silence/",
         "/jobs", "/failures", "/live/dashboard", "/live/nodes", "/nodes", "/nodes/pi-1",
         "/sweeps", "/alerts",
         "/admin/jobs/job/", "/admin/jobs/attempt/", "/admin/cluster/node/", "/admin/jobs/sweep/",
         "/admin/jobs/output/", "/admin/jobs/artifact/", "/admin/jobs/spec/",
         "/monitoring", "/live/monitoring", "/recommendations"]  # fmt: skip


def job_paths() -> list[str]:
    """The pages of one job of each state."""
    found = []
    for state in ("queued", "running", "succeeded", "failed", "cancelled"):
        job = Job.objects.filter(state=state).latest("pk")
        found += [f"/jobs/{job.pk}", f"/live/jobs/{job.pk}"]
        found += [f"/submit?clone={job.pk}"]
        for attempt in job.attempts.all():
            found += [f"/jobs/{job.pk}/attempts/{attempt.number}", f"/attempts/{attempt.pk}/stdout"]
            found += [f"/live/attempts/{attempt.pk}/stderr"]
    return found


@pytest.mark.django_db
def test_every_page_is_whole_and_escapes_what_others_wrote(
    page: Client, node: Node, now: datetime
) -> None:
    make_world(now, node)
    sweep = make_sweep(3, now)
    for path in [*PAGES, *REGIONS, *job_paths(), f"/sweeps/{sweep.pk}", f"/live/sweeps/{sweep.pk}"]:
        response = page.get(path)
        text = response.content.decode()
        assert response.status_code == 200, path
        assert HOSTILE not in text, path
        assert "<script>" not in text, path
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path


@pytest.mark.django_db
def test_pages_are_whole_with_nothing_to_show(page: Client, node: Node) -> None:
    Node.objects.all().delete()
    for path in PAGES:
        if path != "/nodes/pi-1":
            assert page.get(path).status_code == 200, path


def routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern.url_patterns, route)
        else:
            found.append("/" + re.sub(r"<int:\w+>", "1", re.sub(r"<(str|path):\w+>", "x", route)))
    return found


@pytest.mark.django_db
def test_without_a_session_there_is_only_the_door(client: Client) -> None:
    open_to_all = {"/login", "/language", "/healthz", "/readyz"}
    paths = [path for path in routes(get_resolver().url_patterns) if "<" not in path]
    assert len(paths) > 50
    for path in paths:
        if path in open_to_all or "(" in path or "^" in path or path.startswith("/admin/"):
            continue
        response = client.get(path)
        if path.startswith("/api/") or path == "/metrics":
            assert response.status_code in (401, 403), path
        else:
            assert response.status_code == 302, path
            assert response["Location"].startswith("/login?next="), path


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_with_the_rows(
    staff: Client, node: Node, now: datetime, counted: Counted
) -> None:
    make_world(now, node, 1)
    make_sweep(2, now)
    few = {}
    for path in FIXED:
        staff.get(path)  # what is looked up once and kept
        with counted() as statements:
            assert staff.get(path).status_code == 200, path
        few[path] = len(statements)
    make_world(now, make_node("pi-2", slots=2), 4)
    make_sweep(2, now)
    for path in FIXED:
        with counted() as statements:
            staff.get(path)
        assert len(statements) <= few[path], (path, *statements)


@pytest.mark.django_db
def test_a_job_page_makes_a_fixed_number_of_statements(
    page: Client, node: Node, now: datetime, counted: Counted
) -> None:
    make_world(now, node, 1)
    for path in job_paths():
        with counted() as statements:
            page.get(path)
        assert len(statements) <= 22, (path, *statements)


@pytest.mark.django_db
def test_what_is_not_there_is_not_found(page: Client) -> None:
    for path in ("/jobs/99", "/sweeps/99", "/nodes/x", "/jobs/99/result.json", "/attempts/9/stdin"):
        response = page.get(path)
        assert response.status_code == 404, path
        assert "There is nothing here" in response.content.decode()
    api = page.get("/api/no-such-thing")
    assert (api.status_code, api["Content-Type"]) == (404, "application/json")


@pytest.mark.django_db
def test_the_heartbeats_say_when_nobody_was_ever_there(page: Client) -> None:
    assert page.get("/").content.decode().count("never seen") == 4  # title and words, of two


@pytest.mark.django_db
def test_pages_speak_french_to_those_who_ask(page: Client, node: Node, now: datetime) -> None:
    make_world(now, node, 1)
    response = page.post("/language", {"language": "fr", "next": "/jobs"})
    assert response["Location"] == "/jobs"
    text = page.get("/jobs").content.decode()
    assert '<html lang="fr"' in text
    assert "en attente" in text and "échoué" in text

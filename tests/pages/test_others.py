"""Sweeps, nodes, the dashboard, the admin."""

from datetime import datetime, timedelta

import pytest
from django.test import Client

from cluster.models import Node
from jobs.cells import cell
from jobs.models import Job
from tests.factories import hold_lease, make_job, make_node, make_sweep, make_user
from tests.pages.rows import make_ended, make_running


@pytest.mark.django_db
def test_a_sweep_retries_what_failed_and_cancels_the_rest(page: Client, now: datetime) -> None:
    sweep = make_sweep(4, now)
    first, second, *rest = sweep.jobs.order_by("pk")
    Job.objects.filter(pk=first.pk).update(state="failed", finished_at=now)
    Job.objects.filter(pk=second.pk).update(state="succeeded", finished_at=now, result="1")
    page.post(f"/sweeps/{sweep.pk}/retry")
    first.refresh_from_db()
    assert first.state == "queued"
    page.post(f"/sweeps/{sweep.pk}/cancel")
    assert sweep.jobs.filter(state="cancelled").count() == 1 + len(rest)
    assert sweep.jobs.filter(state="succeeded").count() == 1


@pytest.mark.django_db
def test_a_sweep_of_somebody_else_is_left_alone(client: Client, now: datetime) -> None:
    sweep = make_sweep(2, now)  # alice's
    client.force_login(make_user("bob"))
    assert client.post(f"/sweeps/{sweep.pk}/cancel").status_code == 403
    assert client.post(f"/sweeps/{sweep.pk}/retry").status_code == 403


@pytest.mark.django_db
def test_results_as_csv_cannot_be_taken_for_formulas(page: Client, now: datetime) -> None:
    sweep = make_sweep(2, now)
    first, second = sweep.jobs.order_by("pk")
    result = '{"name": "=HYPERLINK(1)", "x": -1.5, "deep": [1]}'
    Job.objects.filter(pk=first.pk).update(state="succeeded", finished_at=now, result=result)
    Job.objects.filter(pk=second.pk).update(state="failed", finished_at=now, error="@evil")
    response = page.get(f"/sweeps/{sweep.pk}/results.csv")
    assert response["Content-Disposition"] == f'attachment; filename="sweep-{sweep.pk}.csv"'
    assert response.getvalue().decode().splitlines() == [
        "job,state,node,run_seconds,args.seed,result.name,result.x,result.deep,error",
        f"{first.pk},succeeded,,,0,'=HYPERLINK(1),-1.5,[1],",
        f"{second.pk},failed,,,1,,,,'@evil",
    ]


@pytest.mark.parametrize("text", ["=1", "+1", "-x", "@a", "\tx", "\rx"])
def test_a_cell_never_begins_like_a_formula(text: str) -> None:
    assert cell(text) == "'" + text
    assert cell({"a": text}).startswith("{")


@pytest.mark.django_db
def test_only_staff_drains_and_resumes(page: Client, staff: Client, node: Node) -> None:
    assert page.post("/nodes/pi-1/drain", {"reason": "x"}).status_code == 403
    staff.post("/nodes/pi-1/drain", {"reason": "new disk"})
    node.refresh_from_db()
    assert (node.draining, node.drain_reason) == (True, "new disk")
    shown = page.get("/nodes").content.decode()
    assert "new disk" in shown
    assert "drained" in shown
    staff.post("/nodes/pi-1/resume")
    node.refresh_from_db()
    assert not node.draining


@pytest.mark.django_db
def test_a_node_may_have_a_strange_name(page: Client, staff: Client) -> None:
    make_node("rack/<b> 7")
    assert "rack/&lt;b&gt; 7" in page.get("/nodes").content.decode()
    assert page.get("/nodes/rack/%3Cb%3E%207").status_code == 200
    staff.post("/nodes/rack/%3Cb%3E%207/drain")
    assert Node.objects.get().draining


@pytest.mark.django_db
def test_the_dashboard_says_first_what_is_wrong(page: Client, node: Node, now: datetime) -> None:
    def verdict() -> str:
        found = page.get("/").context["verdict"]
        return f"{found.look}: {found.text}"

    assert verdict() == "bad: The dispatcher is not running: nothing starts until it is back."
    hold_lease(now + timedelta(minutes=1))
    assert verdict() == "good: The node is up. Nothing to do."
    make_job(now, run_at=(now + timedelta(hours=1)).isoformat())
    make_running(now, node)
    make_job(now - timedelta(minutes=2))
    assert verdict() == "good: The node is up. 1 job running, 1 waiting, 1 to start later."
    other = make_node("pi-2", canary_error="no answer")
    assert verdict().startswith("warning: All nodes are up, not all of them well.")
    Node.objects.filter(pk=other.pk).update(breaker_opened_at=now)
    assert verdict().startswith("warning: 1 of 2 nodes take jobs.")
    assert page.get("/").context["verdict"].advice == "Quarantined: pi-2"
    Node.objects.filter(pk=other.pk).update(online=False)
    assert verdict().startswith("warning: 1 of 2 nodes are up.")
    assert page.get("/").context["verdict"].advice == "Offline: pi-2"
    Node.objects.update(online=False)
    assert verdict().startswith("bad: No node is online.")


@pytest.mark.django_db
def test_the_dashboards_figures_come_from_the_rows(page: Client, node: Node, now: datetime) -> None:
    for state in ("succeeded", "succeeded", "succeeded", "failed", "cancelled"):
        make_ended(now, node, state)
    assert not page.get("/").context["chart"]["hourly"]  # all within two hours: look closer
    earlier = make_ended(now, node, "cancelled")
    Job.objects.filter(pk=earlier.pk).update(finished_at=now - timedelta(hours=20))
    old = make_ended(now, node, "failed")
    Job.objects.filter(pk=old.pk).update(finished_at=now - timedelta(hours=30))
    context = page.get("/").context
    assert context["by"]["failed"] == 2
    assert (context["share"], context["judged"]) == (75.0, 4)
    assert (context["chart"]["most"], context["chart"]["hourly"]) == (4, True)
    assert context["chart"]["bars"][-1]["good"] == "39.00"


@pytest.mark.django_db
def test_the_empty_dashboard_tells_how_to_begin(page: Client) -> None:
    text = page.get("/").content.decode()
    assert "python3 run.py demo" in text and "/api/jobs" in text and 'href="/submit"' in text


@pytest.mark.django_db
def test_the_admins_actions_are_the_same_functions(
    staff: Client, node: Node, now: datetime
) -> None:
    waiting, failed = make_job(now), make_ended(now, node, "failed")
    ids = [waiting.pk, failed.pk]
    staff.post("/admin/jobs/job/", {"action": "cancel", "_selected_action": ids})
    staff.post("/admin/jobs/job/", {"action": "requeue", "_selected_action": [failed.pk]})
    assert [Job.objects.get(pk=pk).state for pk in ids] == ["cancelled", "queued"]
    staff.post("/admin/jobs/job/", {"action": "delete_final", "_selected_action": ids})
    assert Job.objects.get().pk == failed.pk
    staff.post("/admin/cluster/node/", {"action": "drain", "_selected_action": [node.pk]})
    node.refresh_from_db()
    assert node.draining


@pytest.mark.django_db
def test_the_admin_does_not_edit_history(staff: Client, node: Node, now: datetime) -> None:
    job = make_ended(now, node)
    attempt = job.attempts.get()
    for path in (f"jobs/job/{job.pk}", f"jobs/attempt/{attempt.pk}", f"jobs/spec/{job.spec_id}"):
        assert staff.get(f"/admin/{path}/change/").status_code == 200
        assert staff.post(f"/admin/{path}/change/", {"name": "x"}).status_code == 403
        assert staff.post(f"/admin/{path}/delete/", {"post": "yes"}).status_code == 403

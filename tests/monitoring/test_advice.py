"""Advice from the rows: read, computed, kept, shown, applied, taken back."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from cluster import setting
from cluster.models import Node
from jobs.models import Attempt, Job, RunTime
from monitoring import advice, advice_words, history, serializers_advice
from monitoring.models import Change, Study
from monitoring.recommendations import LEAST_JOBS
from tests.factories import make_job, make_node, make_sweep, make_user

pytestmark = pytest.mark.django_db
SECONDS = {"fast": 1.0, "middle": 3.0, "slow": 6.0}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def chief(db: None) -> User:
    return make_user("chief", is_staff=True)


@pytest.fixture
def staff(client: Client, chief: User) -> Client:
    client.force_login(chief)
    return client


def past(now: datetime, count: int = 60) -> None:
    """A sweep that ran an hour ago, each slot taking the next job as it became free."""
    start = now - timedelta(hours=1)
    nodes = {
        name: make_node(name, slots=2, speed=3 / seconds, speed_samples=9)
        for name, seconds in SECONDS.items()
    }
    sweep = make_sweep(count, start)
    free = [(0.0, name) for name in SECONDS for _ in range(2)]
    for job in sweep.jobs.order_by("pk"):
        free.sort()
        at, name = free.pop(0)
        end = at + SECONDS[name] + 0.02
        free.append((end, name))
        ran(job, nodes[name], start + timedelta(seconds=at), SECONDS[name], 0.02)
    for name, node in nodes.items():
        RunTime.objects.create(
            spec=sweep.spec, node=node, count=20, log_mean=math.log(SECONDS[name]),
            log_variance=0.0, updated_at=now,
        )  # fmt: skip


def ran(job: Job, node: Node, claimed: datetime, seconds: float, gap: float, **more: Any) -> None:
    finished = claimed + timedelta(seconds=seconds + gap)
    Attempt.objects.create(
        job=job, number=1, node=node, bundle=job.pk, claimed_at=claimed, started_at=claimed,
        finished_at=finished, outcome="succeeded", run_seconds=seconds, cpu_seconds=seconds,
        **more,
    )  # fmt: skip
    Job.objects.filter(pk=job.pk).update(
        state="succeeded", tried=1, finished_at=finished, run_seconds=seconds, node=node
    )


@contextmanager
def counted() -> Iterator[list[str]]:
    statements: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield statements
    statements += [query["sql"] for query in captured.captured_queries]


def test_the_history_is_read_as_it_was(now: datetime) -> None:
    past(now)
    found = history.read(now, 1.0)
    assert len(found.ran) == 60 and not found.cut
    assert {machine.name for machine in found.machines} == set(SECONDS)
    assert found.overheads.bundle == pytest.approx(0.02, abs=1e-3)
    assert found.ran[0].arrived == pytest.approx(23 * 3600, abs=1)
    shares = {round(job.share, 6) for job in history.work_of(found)}
    assert shares == {1.0}


def test_the_replay_of_the_history_gives_its_makespan(now: datetime) -> None:
    past(now)
    found = history.read(now, 1.0)
    told = history.replay_of(found)
    assert told.makespan == pytest.approx(found.makespan(), rel=0.03)


def test_too_long_a_history_is_cut_to_its_newest_part_and_says_so(now: datetime) -> None:
    past(now)
    found = history.read(now, 1.0, most=20)
    assert found.cut and 1 <= len(found.ran) <= 20
    assert all(row.finished >= 0 for row in found.ran)
    assert min(row.arrived for row in found.ran) == min(row.claimed for row in found.ran)


def test_the_statements_do_not_grow_with_the_history(now: datetime) -> None:
    past(now, 6)
    with counted() as few:
        history.work_of(history.read(now, 1.0))
    make_node("another", slots=2)
    for number in range(20):
        job = make_job(now, command=["echo", str(number)], needs={"tags": [f"t{number}"]})
        ran(job, Node.objects.get(name="fast"), now - timedelta(seconds=60), 1.0, 0.1)
    with counted() as many:
        history.work_of(history.read(now, 1.0))
    assert len(many) == len(few)


def test_drained_nodes_are_left_out_and_named(now: datetime) -> None:
    past(now, 6)
    Node.objects.filter(name="slow").update(draining=True)
    found = history.read(now, 1.0)
    assert found.away == ["slow"]
    assert {machine.name for machine in found.machines} == {"fast", "middle"}


def test_advice_is_computed_kept_applied_and_taken_back(now: datetime, chief: User) -> None:
    past(now)
    made = advice.study(now, 1.0)
    ids = [one["id"] for one in made.body["recommendations"]]
    assert "strategy:earliest_finish" in ids
    change = advice.apply("strategy:earliest_finish", chief, now)
    assert setting.read("strategy") == "earliest_finish"
    assert change.before == {"strategy": "least_connections"}
    with pytest.raises(advice.Refused, match="applied already"):
        advice.apply("strategy:earliest_finish", chief, now)
    advice.undo(change.pk, chief, now)
    assert setting.read("strategy") == "least_connections"
    with pytest.raises(advice.Refused, match="taken back already"):
        advice.undo(change.pk, chief, now)


def test_what_somebody_changed_since_is_not_undone(now: datetime, chief: User) -> None:
    past(now)
    advice.study(now, 1.0)
    change = advice.apply("strategy:earliest_finish", chief, now)
    setting.choose("strategy", "round_robin", "bob", now)
    with pytest.raises(advice.Refused, match="changed it since"):
        advice.undo(change.pk, chief, now)
    assert setting.read("strategy") == "round_robin"


def test_nothing_is_said_of_an_empty_cluster_but_why(now: datetime) -> None:
    made = advice.study(now)
    assert made.body["recommendations"] == []
    reasons = {one["kind"]: one["reason"] for one in made.body["refusals"]}
    assert reasons["strategy"] == "few_jobs"
    assert all(advice_words.refusal(one) for one in made.body["refusals"])


def test_a_drained_node_is_called_back_and_drained_again(now: datetime, chief: User) -> None:
    make_node("pi-1", slots=1)
    make_node("pi-2", slots=4, draining=True, drain_reason="new fan")
    make_sweep(30, now - timedelta(seconds=30))
    advice.study(now)
    change = advice.apply("resume:pi-2", chief, now)
    assert not Node.objects.get(name="pi-2").draining
    advice.undo(change.pk, chief, now)
    node = Node.objects.get(name="pi-2")
    assert (node.draining, node.drain_reason) == (True, "new fan")


def test_jobs_that_wait_for_a_rare_tag_are_told(now: datetime) -> None:
    make_node("pi-1", slots=1, tags=["gpu"])
    make_node("pi-2", slots=4)
    make_sweep(30, now - timedelta(seconds=30), needs={"tags": ["gpu"]})
    [found] = advice.study(now).body["recommendations"]
    what, why, _effect = advice_words.sentences(found)
    assert "gpu" in what and "pi-1" in why
    assert advice_words.rows(found["evidence"]) == [["pi-2", "4", "lacks the tag gpu"]]
    told = serializers_advice.recommendation(found, set())
    assert told["evidence"]["rows"] == [["pi-2", 4, "lacks the tag gpu"]]
    with translation.override("fr"):
        [[_name, _free, why]] = advice_words.rows(found["evidence"])
        assert "gpu" in why and "lacks" not in why


def test_old_jobs_are_deleted_and_that_stays(now: datetime, chief: User, settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    node = make_node("pi-1")
    sweep = make_sweep(510, now - timedelta(days=50))
    for job in sweep.jobs.all()[:505]:
        ran(job, node, now - timedelta(days=49), 0.1, 0.0, stdout_bytes=100)
    made = advice.study(now)
    [found] = [one for one in made.body["recommendations"] if one["kind"] == "clean_up"]
    assert found["facts"]["bytes"] == 505 * 100
    change = advice.apply(found["id"], chief, now)
    assert change.after == {"jobs": 505} and Job.objects.count() == 5
    with pytest.raises(advice.Refused, match="cannot be brought back"):
        advice.undo(change.pk, chief, now)


def test_a_spec_that_asks_for_too_much_is_told(now: datetime) -> None:
    node = make_node("pi-1")
    for number in range(25):
        job = make_job(now - timedelta(hours=1), command=["echo"], needs={"memory_mb": 2048})
        at = now - timedelta(minutes=50 - number)
        ran(job, node, at, 1.0, 0.1, max_rss_kb=80_000 + 100 * number)
    made = advice.study(now)
    [found] = [one for one in made.body["recommendations"] if one["kind"] == "right_size"]
    assert found["facts"]["what"] == "memory_mb" and found["facts"]["wanted"] == 112
    assert "112" in advice_words.sentences(found)[0]


def test_the_api_lists_applies_and_undoes(now: datetime, staff: Client) -> None:
    empty = staff.get("/api/cluster/optimize").json()
    assert empty["computed_at"] is None and empty["recommendations"] == []
    past(now)
    listed = staff.post("/api/cluster/optimize/refresh").json()
    [found] = [one for one in listed["recommendations"] if one["kind"] == "strategy"]
    assert found["applicable"] and found["gain"]["low"] > 0 and found["sample_size"] == 60
    assert "earliest_finish" in found["summary"] and found["why"] and found["effect"]
    body = {"id": found["id"]}
    made = staff.post("/api/cluster/optimize", body, content_type="application/json")
    assert made.status_code == 201 and made.json()["undoable"]
    again = staff.post("/api/cluster/optimize", body, content_type="application/json")
    assert again.status_code == 409
    undo = {"change": made.json()["change"]}
    back = staff.post("/api/cluster/optimize/undo", undo, content_type="application/json")
    assert back.status_code == 200 and back.json()["undone_by"] == "chief"
    gone = staff.post(
        "/api/cluster/optimize/undo", {"change": 999}, content_type="application/json"
    )
    assert gone.status_code == 404
    bad = staff.post("/api/cluster/optimize", {}, content_type="application/json")
    assert bad.status_code == 400


def test_who_is_not_staff_may_look_alone(client: Client, now: datetime) -> None:
    client.force_login(make_user("alice"))
    assert client.get("/api/cluster/optimize").status_code == 200
    for path in ("", "/refresh", "/undo"):
        answer = client.post(f"/api/cluster/optimize{path}", {}, content_type="application/json")
        assert answer.status_code == 403, path
    for path in ("refresh", "apply", "undo/1"):
        assert client.post(f"/recommendations/{path}").status_code == 403, path
    assert client.get("/recommendations").status_code == 200


def test_the_page_shows_advice_applies_it_and_takes_it_back(now: datetime, staff: Client) -> None:
    assert "Not computed yet" in staff.get("/recommendations").content.decode()
    past(now)
    assert staff.post("/recommendations/refresh").status_code == 302
    text = staff.get("/recommendations").content.decode()
    assert "Choose nodes by earliest_finish." in text and "<svg" in text
    assert "resampled histories" in text
    staff.post("/recommendations/apply", {"id": "strategy:earliest_finish"})
    change = Change.objects.get()
    assert setting.read("strategy") == "earliest_finish"
    assert f"/recommendations/undo/{change.pk}" in staff.get("/recommendations").content.decode()
    staff.post(f"/recommendations/undo/{change.pk}")
    assert setting.read("strategy") == "least_connections"
    assert "taken back by chief" in staff.get("/recommendations").content.decode()
    assert staff.post("/recommendations/undo/999").status_code == 404
    assert staff.post("/recommendations/apply", {"id": "x"}, follow=True).status_code == 200


@pytest.mark.parametrize("nodes", ["0", "1", "-1"])
def test_a_replay_is_tried_on_the_page(nodes: str, now: datetime, staff: Client) -> None:
    past(now)
    path = f"/recommendations?strategy=earliest_finish&nodes={nodes}&days=1"
    text = staff.get(path).content.decode()
    assert "tried: earliest_finish" in text and "60 jobs since" in text
    wrong = staff.get("/recommendations?strategy=none&nodes=0&days=x")
    assert wrong.status_code == 200


def test_the_page_makes_a_fixed_number_of_statements(now: datetime, staff: Client) -> None:
    past(now)
    advice.study(now, 1.0)
    staff.get("/recommendations")
    with counted() as few:
        staff.get("/recommendations")
    for _ in range(10):
        Change.objects.create(
            kind="strategy", facts=Study.objects.get().body["recommendations"][0], at=now,
            by=make_user("chief"), before={"strategy": "a"}, after={"strategy": "b"},
        )  # fmt: skip
    with counted() as many:
        staff.get("/recommendations")
    assert len(many) <= len(few)


def test_the_command_replays_and_keeps(now: datetime) -> None:
    past(now)
    out = StringIO()
    call_command("replay", "--days", "1", "--nodes", "-1", stdout=out)
    assert "earliest_finish" in out.getvalue() and "2 nodes" in out.getvalue()
    out = StringIO()
    call_command("replay", "--made-up", "--fleet-nodes", "5", "--jobs", "300", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["replays"][0]["jobs"] + told["replays"][0]["never"] == 300
    call_command("replay", "--keep", "--days", "1", stdout=StringIO())
    assert Study.objects.get().body["window"]["jobs"] == 60


def test_the_monitor_computes_it_once_an_hour_where_something_is_new(now: datetime) -> None:
    assert advice.duty(now)
    assert not advice.duty(now + timedelta(minutes=61))  # nothing is new
    make_job(now)
    assert not advice.duty(now + timedelta(minutes=59))
    assert advice.duty(now + timedelta(minutes=61))


TIMES = {"before": 9.0, "after": 3.0, "jobs": 400, "strategy": "s", "present": "p", "model": "m"}
SIZED = {"title": "t", "asked": 60, "wanted": 20, "used": 9.5, "runs": 40, "timed_out": 3}
WAITS = {"need": "gpu", "queued": 9, "fits": ["pi-1"], "idle": 4, "oldest": 60.0}
ADVICE: list[tuple[str, dict[str, Any]]] = [
    *((kind, TIMES | {"measure": measure})
      for kind in ("strategy", "add_workers") for measure in ("open_seconds", "mean_turnaround")),
    ("remove_worker", {"node": "pi-1", "jobs": 400, "utilisation": 0.2}),
    ("clean_up", {"old": 600, "days": 30.0, "bytes": 10**9}),
    ("rebalance", WAITS),
    ("rebalance", WAITS | {"fits": []}),
    ("resume", {"node": "pi-1", "queued": 9, "reason": "new fan"}),
    *(("right_size", SIZED | {"what": what}) for what in ("memory_mb", "slots", "timeout_seconds")),
    ("right_size", SIZED | {"what": "timeout_seconds", "wanted": 90}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "facts"), ADVICE)
def test_every_advice_has_words_in_each_language(kind: str, facts: dict[str, Any]) -> None:
    one = {"kind": kind, "facts": facts, "gain": {"value": 0.2, "low": 0.1, "high": 0.3}}
    told = {}
    for language in ("en", "fr"):
        with translation.override(language):
            told[language] = advice_words.sentences(one)
    for english, french in zip(told["en"], told["fr"], strict=True):
        assert english and french and english != french
        assert "%(" not in english + french


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("reason", advice_words.REASONS)
def test_every_refusal_has_words_in_each_language(reason: str, count: int) -> None:
    facts: dict[str, int] = defaultdict(lambda: count)
    told = set()
    for language in ("en", "fr"):
        with translation.override(language):
            told.add(advice_words.refusal({"reason": reason, "facts": facts}))
    assert len(told) == 2 and all(told)


@pytest.mark.parametrize(
    ("reason", "facts", "words"),
    [
        ("few_resamples", {"resamples": 1, "needed": 40}, "time for 1 resampled history;"),
        ("few_resamples", {"resamples": 0, "needed": 40}, "time for 0 resampled histories;"),
        ("few_runs", {"runs": 1, "needed": 40}, ": 1 time at most;"),
        ("few_runs", {"runs": 2, "needed": 40}, ": 2 times at most;"),
    ],
)
def test_a_refusal_tells_one_as_one(reason: str, facts: dict[str, int], words: str) -> None:
    assert words in advice_words.refusal({"reason": reason, "facts": facts})


def test_an_advice_tells_one_as_one() -> None:
    def why(**facts: Any) -> str:
        return advice_words.sentences({"kind": "rebalance", "facts": WAITS | facts})[1]

    assert why(idle=1).endswith("for pi-1 alone. Elsewhere 1 slot is free.")
    assert why(idle=2).endswith("Elsewhere 2 slots are free.")
    assert why(queued=1, fits=[], idle=1).startswith("1 job waits, ")
    assert advice_words.cell("older_than_days", 1.0) == "1 day"


def test_every_kind_of_advice_has_words() -> None:
    assert LEAST_JOBS > 20
    assert set(advice_words.WORDS) == set(advice_words.KINDS) == {kind for kind, _ in ADVICE}
    one = {"reason": "fits", "facts": {"specs": 1}}
    assert advice_words.refusal(one).endswith("as far as 1 spec tells.")
    few = {"reason": "little_old", "facts": {"old": 0, "days": 30.0, "needed": 500}}
    assert advice_words.refusal(few).startswith("0 jobs ended more than 30 days ago")

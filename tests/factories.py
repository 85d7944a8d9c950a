"""Rows in any state, by the same doors as in life where there is one."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from cluster.models import Node
from jobs import lease
from jobs.models import Job, Sweep
from jobs.serializers import JobIn, SweepIn
from jobs.submit import submit, submit_sweep

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def make_user(username: str = "alice", **more: Any) -> User:
    found = User.objects.filter(username=username).first()
    return found or User.objects.create_user(username, password="a long password", **more)


def make_node(name: str = "pi-1", slots: int = 1, **more: Any) -> Node:
    number = Node.objects.count() + 2
    values: dict[str, Any] = {"address": f"127.0.0.{number}", "online": True, "added_at": NOW}
    return Node.objects.create(name=name, slots=slots, **{**values, "patched": True, **more})


def make_job(now: datetime = NOW, **body: Any) -> Job:
    owner = body.pop("owner", None) or make_user()
    if not body.keys() & {"command", "source", "function"}:
        body["command"] = ["true"]
    kinds = {"command": "command", "source": "script", "function": "function"}
    body["kind"] = next(kinds[name] for name in kinds if name in body)
    checked = JobIn(data=body)
    checked.is_valid(raise_exception=True)
    return submit(checked.validated_data, owner, now)


def make_sweep(count: int, now: datetime = NOW, **body: Any) -> Sweep:
    spec = {"kind": "function", "function": "montecarlo.pi_block", **body}
    checked = SweepIn(data={"spec": spec, "over": {"seed": {"range": [0, count]}}})
    checked.is_valid(raise_exception=True)
    return submit_sweep(checked.validated_data, make_user(), now)


def hold_lease(now: datetime = NOW) -> int:
    epoch = lease.take("dispatcher", "tests", now)
    assert epoch
    return epoch

"""`manage.py nodes`: a person at a terminal."""

import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cluster.models import Node
from tests.factories import make_node
from tests.pages.rows import make_running

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def run(*words: Any) -> str:
    out = io.StringIO()
    call_command("nodes", *words, stdout=out)
    return out.getvalue()


def refused(*words: Any) -> str:
    with pytest.raises(CommandError) as caught:
        run(*words)
    return str(caught.value)


def test_the_list_shows_each_node_on_a_line(now: datetime) -> None:
    assert "manage.py nodes add" in run()
    node = make_node(
        "pi-4", slots=4, last_seen_at=now, tags=["ssd"], auto_tags=["arch:aarch64"], draining=True,
        drain_reason="new\x1b[31m disk\n",
    )  # fmt: skip
    make_running(now, node)
    make_node("pi-5", online=False, trouble="does not answer")
    make_node("gone", removed_at=now)
    head, first, second = run("list").splitlines()
    assert head.split() == ["NAME", "STATE", "SLOTS", "HEARD", "ADDRESS", "TAGS", "REMARK"]
    assert first.split()[:3] == ["pi-4", "draining", "1/4"]
    assert "ssd,arch:aarch64" in first and first.endswith("new disk")
    assert second.split()[:4] == ["pi-5", "offline", "0/1", "-"]
    assert second.endswith("does not answer")
    assert [row["name"] for row in json.loads(run("list", "--json"))] == ["pi-4", "pi-5"]


def test_a_node_is_added_changed_and_removed(now: datetime) -> None:
    assert "as soon as its agent answers at pi.local" in run("add", "pi.local", "--tag", "ssd")
    node = Node.objects.get()
    assert (node.tags, node.slots_set, "command line" in node.added_by) == (["ssd"], False, True)
    assert "known already" in refused("add", "PI.local")
    run("set", "pi.local", "--slots", 3, "--tag", "camera", "--untag", "ssd", "--name", "attic")
    node.refresh_from_db()
    assert (node.name, node.slots, node.slots_set, node.tags) == ("attic", 3, True, ["camera"])
    assert "(auto)" in run("set", "attic", "--slots", "auto")
    assert "does not have the tag red" in refused("set", "attic", "--untag", "red")
    assert "Say what to change" in refused("set", "attic")
    assert "lower case" in refused("set", "attic", "--tag", "A")
    assert "from 1 to" in refused("set", "attic", "--slots", 0)
    assert "number, or auto" in refused("set", "attic", "--slots", "many")
    make_running(now, node)
    assert "drain the node first" in refused("remove", "attic")
    assert "history stays" in run("remove", "attic", "--force")
    assert refused("set", "attic", "--slots", 1) == "There is no node attic. There is: none yet."


def test_several_are_drained_and_resumed_or_none(now: datetime) -> None:
    node = make_node("pi-4")
    make_node("pi-5")
    make_running(now, node)
    assert "no node pi-9. There is: pi-4, pi-5." in refused("drain", "pi-4", "pi-9")
    assert not Node.objects.filter(draining=True).exists()
    out = run("drain", "pi-4", "pi-5", "--reason", "dust")
    assert "pi-4 finishes 1 open attempt" in out and "pi-5 is drained" in out
    assert Node.objects.filter(draining=True, drain_reason="dust").count() == 2
    run("resume", "pi-4", "pi-5")
    assert not Node.objects.filter(draining=True).exists()


def test_a_breaker_is_reset(now: datetime) -> None:
    node = make_node("pi-4", breaker_opened_at=now - timedelta(hours=1), breaker_reason="lost")
    assert "lost" in run()
    run("reset", "pi-4")
    node.refresh_from_db()
    assert node.breaker_opened_at is None

"""Sentences in rows: kept as a text with its values, said in the reader's language."""

import copy
import json
import pickle
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import translation
from rest_framework.test import APIClient

from cluster import breaker, checkup, nodes, wording, words
from cluster.breaker import Breaker, Loss
from cluster.canary import Song
from cluster.engine import reasons
from cluster.models import Node
from cluster.placement import Need, NodeView, Placer
from cluster.words import Words
from jobs import lease
from jobs.models import Attempt, Job
from monitoring import alert_words, alerts, looks
from monitoring.models import Alert
from tests.factories import NOW, hold_lease, make_job, make_node, make_user
from tests.monitoring.watched import well, with_node

# A text that French has, so that its translation can be looked for.
TAKEN, PRIS = Words("every slot is taken"), "tous les emplacements sont pris"
TAGS = Words("lacks the tag %(tags)s", tags="gpu")


@pytest.mark.parametrize(
    "found",
    [
        "plain", "", '{"text": 1}', TAKEN, TAGS, reasons.silent(15.4),
        Words("quarantined: %(reason)s", reason=Words("lost: %(why)s", why=TAKEN)),
    ],
)  # fmt: skip
def test_what_is_stored_is_recalled(found: str) -> None:
    again = words.recalled(json.loads(json.dumps(words.stored(found))))
    assert again == found and type(again) is type(found)
    assert wording.said(again) == found
    assert copy.deepcopy(again) == pickle.loads(pickle.dumps(again)) == found


@pytest.mark.parametrize(
    "found",
    [{"text": "%(gone)s"}, {"text": "100 %"}, {"text": 3}, {"text": "x", "values": [1]}, 7, None],
)
def test_what_nobody_stored_so_is_shown_somehow(found: Any) -> None:
    assert isinstance(words.recalled(found), str)


def test_words_within_words_are_said_in_the_same_language() -> None:
    nested = Words("quarantined: %(reason)s", reason=TAKEN)
    with translation.override("fr"):
        assert PRIS in wording.said(nested)
        assert wording.said("every slot is taken") == "every slot is taken"  # a person's own
        facts = {"note": words.stored(TAKEN), "nodes": ["every slot is taken"], "n": 3}
        assert wording.told(facts) == {"note": PRIS, "nodes": ["every slot is taken"], "n": 3}
    assert wording.said(nested) == "quarantined: every slot is taken"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "given", ["", "silent", '{"text": "%(x)999s"}', '{"text"', "x\u2028y", "plain %s 100 %"]
)
def test_a_row_gives_back_a_plain_text_as_it_was(given: str) -> None:
    node = make_node(trouble=given)
    node.refresh_from_db()
    assert node.trouble == given
    assert wording.said(node.trouble) == given
    assert Node.objects.filter(trouble=given).exists()


@pytest.mark.django_db
def test_a_row_keeps_words_and_one_of_an_older_release_shows_still() -> None:
    node = make_node("pi-1", trouble=Words("lost: %(why)s", why=TAKEN))
    node.refresh_from_db()
    assert isinstance(node.trouble, Words) and node.trouble == "lost: every slot is taken"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE cluster_node SET trouble = 'refuses connections'")
    node.refresh_from_db()
    assert node.trouble == wording.said(node.trouble) == "refuses connections"


@pytest.mark.django_db
def test_what_a_machine_says_is_cut() -> None:
    make_node("pi-1", address="pi-1")
    nodes.troubled("pi-1", reasons.other_dispy("9" * 10_000, "4.15.2"), NOW)
    found = Node.objects.get().trouble
    assert found.startswith("runs dispy 999") and len(found) < 300
    assert found.endswith("but 4.15.2 is needed on every machine")
    nodes.troubled("pi-1", "y" * 10_000, NOW)
    assert Node.objects.get().trouble == "y" * wording.LONGEST


@pytest.mark.django_db
@pytest.mark.parametrize(
    "trouble",
    [reasons.other_dispy("\ud800\0", "4.15.2"), Words("is %(what)s", what="x\udfff\0y")],
)
def test_what_no_page_and_no_database_takes_is_not_kept(client: Client, trouble: str) -> None:
    node = make_node("pi-1", address="pi-1", last_seen_at=NOW)
    nodes.troubled("pi-1", trouble, NOW)
    client.force_login(make_user())
    for path in ("/nodes", "/nodes/pi-1", "/api/cluster/nodes", "/api/cluster/health"):
        assert client.get(path).status_code == 200
    snapshot = with_node(well(), "pi-1", online=False, trouble=Node.objects.get().trouble)
    alerts.judge(snapshot, snapshot.at)
    assert node.pk and Alert.objects.get(rule="node_down").facts


def test_a_breaker_says_why_in_words() -> None:
    losses = [Loss(1, job, NOW) for job in range(3)]
    opened = breaker.after_losses(Breaker(), losses, 1, NOW)
    assert isinstance(opened.reason, Words)
    assert opened.reason == "3 different jobs were lost on it within 10 min"
    opened = breaker.after_canary(Breaker(), TAKEN, True, NOW)
    with translation.override("fr"):
        assert PRIS in wording.said(opened.reason)


@pytest.mark.django_db
def test_a_canary_that_fails_is_told_in_the_readers_language(client: Client) -> None:
    node = make_node("pi-1", last_seen_at=NOW)
    for seconds in (0, 10):
        checkup.heard(node.pk, Song(TAKEN), None, NOW + timedelta(seconds=seconds))
    client.force_login(make_user())
    page = client.get("/nodes/pi-1", headers={"accept-language": "fr"}).content.decode()
    assert page.count(PRIS) >= 2  # the test job's line, the breaker's reason
    assert "every slot is taken" not in page
    page = client.get("/nodes/pi-1").content.decode()
    assert "its test job failed: every slot is taken" in page


@pytest.mark.django_db
def test_the_api_says_it_in_english_unless_asked(client: Client) -> None:
    make_node("pi-1", online=False, trouble=TAKEN, canary_error=TAKEN, breaker_reason=TAKEN,
              draining=True, drain_reason=TAKEN)  # fmt: skip
    api = APIClient()
    api.force_authenticate(make_user())
    for language, wanted in (("en", str(TAKEN)), ("fr", PRIS)):
        node = api.get("/api/cluster/nodes/pi-1", headers={"accept-language": language}).json()
        found = [node["trouble"], node["canary"]["error"], node["breaker"]["reason"],
                 node["drain_reason"]]  # fmt: skip
        assert found == [wanted] * 4
        health = api.get("/api/cluster/health", headers={"accept-language": language}).json()
        assert any(wanted in reason for reason in health["reasons"])
    assert api.get("/api/cluster/nodes/pi-1").json()["trouble"] == TAKEN


def test_a_receipt_keeps_words() -> None:
    views = [NodeView(1, "a", "a", 1), NodeView(2, "b", "b", 1, breaker=TAKEN)]
    choice = Placer(views).place(Need(), "round_robin", lambda _: None)
    assert choice
    receipt = json.loads(json.dumps(choice.receipt))
    with translation.override("fr"):
        assert PRIS in wording.told(receipt)["ruled_out"]["b"]
    assert words.told(receipt, str)["ruled_out"] == {"b": "quarantined: every slot is taken"}


@pytest.mark.django_db
@pytest.mark.parametrize("why", ["offline", words.stored(TAKEN)])
def test_a_node_called_as_words_begin_is_told_as_a_node(why: Any) -> None:
    assert words.told({"text": 0.5}, str) == {"text": 0.5}
    job, node = make_job(), make_node("text")
    placement = {"strategy": "x", "candidates": {"text": 0.5}, "ruled_out": {"text": why}}
    Attempt.objects.create(job=job, number=1, node=node, bundle=1, claimed_at=NOW,
                           placement=placement)  # fmt: skip
    Job.objects.filter(pk=job.pk).update(state="running", tried=1, node=node, started_at=NOW)
    api = APIClient()
    api.force_authenticate(job.owner)
    for language, said in (("en", "every slot is taken"), ("fr", PRIS)):
        spoken = {"accept-language": language}
        [tried] = api.get(f"/api/jobs/{job.pk}", headers=spoken).json()["tries"]
        receipt = api.get(f"/api/jobs/{job.pk}/why", headers=spoken).json()["receipt"]
        for found in (tried["placement"], receipt):
            assert found["candidates"] == {"text": 0.5}
            assert found["ruled_out"] == {"text": why if why == "offline" else said}


@pytest.mark.django_db
def test_what_halts_the_dispatcher_is_told_in_the_readers_language(now: datetime) -> None:
    lease.explain("dispatcher", hold_lease(now), TAKEN)
    held = lease.holder("dispatcher", now)
    assert held and isinstance(held.note, Words)


def test_alerts_say_it_in_the_readers_language() -> None:
    snapshot = with_node(well(), "pi-1", online=False, trouble=TAKEN, breaker_reason=TAKEN)
    snapshot = type(snapshot)(**{**vars(snapshot), "dispatcher_note": TAKEN})
    [down] = [one for one in looks.node_down(snapshot) if one.holds]
    [halted] = looks.dispatcher_halted(snapshot)
    _holds, quarantine = looks.breaker(snapshot.nodes[0])
    for rule, facts in (
        ("node_down", down.facts), ("dispatcher_halted", halted.facts),
        ("breaker_open", quarantine),
    ):  # fmt: skip
        kept = json.loads(json.dumps(facts))
        alert = Alert(rule=rule, subject="pi-1", facts=kept)
        assert str(TAKEN) in alert_words.summary(alert)
        with translation.override("fr"):
            assert PRIS in alert_words.summary(alert)
        kept = {name: str(TAKEN) for name in kept}  # as an older release wrote it
        assert str(TAKEN) in alert_words.summary(Alert(rule=rule, subject="pi-1", facts=kept))


@pytest.mark.django_db
def test_the_admin_says_it_in_the_readers_language(client: Client) -> None:
    node = make_node("pi-1", trouble=TAKEN, breaker_reason=TAKEN)
    client.force_login(make_user("chief", is_staff=True, is_superuser=True))
    path = f"/admin/cluster/node/{node.pk}/change/"
    page = client.get(path, headers={"accept-language": "fr"}).content.decode()
    assert page.count(PRIS) == 2 and str(TAKEN) not in page

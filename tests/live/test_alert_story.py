"""The alerts' story on real nodes: a real dispatcher, real agents, the real monitor, and a mail
server and a web server that keep what arrives.

docs/alerts.md tells it; with `pytest -s` it prints how long each part took.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from jobs.models import Lease
from monitoring.models import Alert, Channel, Delivery
from tests.factories import make_user
from tests.live.fleet import Fleet, fleet, wait_for
from tests.sinks import Letter, Request, Sink, http_sink, smtp_sink

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(180)]

SETTLED = 26  # seconds: a dispatcher that has just started may not have heard every node yet


@pytest.fixture
def mail() -> Iterator[Sink[Letter]]:
    with smtp_sink() as sink:
        yield sink


@pytest.fixture
def web() -> Iterator[Sink[Request]]:
    with http_sink() as sink:
        yield sink


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(make_user("operator", is_staff=True))
    return client


def watched(made: Fleet, mail: Sink[Letter], web: Sink[Request]) -> Fleet:
    """Everything up for long enough, the monitor watching, both channels asking for warnings."""
    for name, url in (
        ("mail", "mailto:ops@example.org"),
        ("hook", f"json://{web.host}:{web.port}/hook"),
    ):
        Channel.objects.create(
            name=name, url=url, allow_private=True, created_at=timezone.now(), created_by="tests"
        )
    made.up()
    made.start(
        "monitor", "manage.py", "monitor",
        EMAIL_URL=f"smtp://{mail.host}:{mail.port}",
    )  # fmt: skip
    held = Lease.objects.filter(name="monitor", expires_at__gt=timezone.now())
    wait_for(held.exists, 20, f"the monitor watches\n{made.logs()}")
    since = Lease.objects.get(name="dispatcher").taken_at
    time.sleep(max(0.0, SETTLED - (timezone.now() - since).total_seconds()))
    assert not Alert.objects.exclude(state="pending").exists(), made.logs()
    return made


def fired(made: Fleet, seconds: float) -> tuple[Alert, float]:
    """The one alert, and how long it took."""
    took = wait_for(
        Alert.objects.filter(state="firing").exists, seconds, f"an alert\n{made.logs()}"
    )
    [alert] = Alert.objects.exclude(state="pending")
    return alert, took


def test_a_killed_node_is_one_alert_acknowledged_and_over_when_it_is_back(
    tmp_path: Path, mail: Sink[Letter], web: Sink[Request], staff: Client
) -> None:
    with fleet(tmp_path, nodes=3) as made:
        watched(made, mail, web)
        victim = made.addresses[1]
        made.kill(victim)
        alert, took = fired(made, 20)
        assert took < 20
        assert (alert.rule, alert.subject) == ("node_down", "node-2")
        [letter], [posted] = mail.wait(1, 20), web.wait(1, 20)
        assert "node-2" in letter.subject + letter.text
        assert b"node-2" in posted.body

        answer = staff.post(f"/api/alerts/{alert.pk}/acknowledge")
        assert answer.status_code == 200, answer.content
        assert answer.json()["state"] == "acknowledged"
        told = staff.get("/api/alerts?state=open").json()["results"]
        assert [one["acknowledged_by"] for one in told] == ["operator"]

        made.start_node(victim)
        over = Alert.objects.filter(pk=alert.pk, state="resolved")
        back = wait_for(over.exists, 70, f"its end\n{made.logs()}")
        letters, posts = mail.wait(2, 20), web.wait(2, 20)
        assert "node-2" in letters[1].subject + letters[1].text
        assert b"node-2" in posts[1].body
        assert mail.quiet(15) and web.quiet(1)
        assert Alert.objects.exclude(state="pending").count() == 1, made.logs()
        kinds = Delivery.objects.order_by("pk").values_list("channel__name", "kind", "state")
        assert sorted(kinds) == [
            ("hook", "firing", "sent"), ("hook", "resolved", "sent"),
            ("mail", "firing", "sent"), ("mail", "resolved", "sent"),
        ]  # fmt: skip
        print(f"\nfired {took:.1f} s after the kill; over {back:.1f} s after its start")
        for letter in letters:
            print(letter.subject, letter.text, sep="\n")


def test_eight_nodes_killed_at_once_are_one_alert(
    tmp_path: Path, mail: Sink[Letter], web: Sink[Request]
) -> None:
    with fleet(tmp_path, nodes=8) as made:
        watched(made, mail, web)
        for address in made.addresses:
            made.signal(address, 9)
        alert, took = fired(made, 25)
        assert (alert.rule, alert.subject) == ("nodes_down", "")
        assert len(alert.facts["nodes"]) >= 3

        def all_named() -> bool:
            alert.refresh_from_db()
            return len(alert.facts["nodes"]) == 8

        wait_for(all_named, 20, f"all are named\n{made.logs()}")
        mail.wait(1, 20)
        web.wait(1, 20)
        assert mail.quiet(25) and web.quiet(1)
        assert len(mail.arrived) == len(web.arrived) == 1
        assert Alert.objects.exclude(state="pending").count() == 1
        print(f"\nfired {took:.1f} s after the kill of eight")
        print(mail.arrived[0].subject, mail.arrived[0].text, sep="\n")

"""A channel in a real browser: added, tested, and its answer seen without a reload."""

import os
from pathlib import Path

from django.utils import timezone

from monitoring.models import Channel, Delivery
from monitoring.postman import Postman
from tests.browser.walker import Walker
from tests.monitoring.test_postman import settle
from tests.sinks import http_sink


def look(walk: Walker, name: str) -> None:
    """A picture, where somebody asks for them."""
    if folder := os.environ.get("PICTURES"):
        walk.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_a_channel_is_added_and_tested(walk: Walker) -> None:
    walk.sign_in()
    walk.go("/settings/cluster")
    walk.click('a[href="/settings/channels"]')
    walk.wait("No channel yet")
    with http_sink() as sink:
        walk.fill("#id_name", "on call")
        walk.fill("#id_url", f"json://{sink.host}:{sink.port}/s3cr3t-t0ken")
        walk.click("#add-channel button")
        walk.wait("refused: 127.0.0.1 is a loopback address")
        assert "s3cr3t" not in walk.driver.page_source
        walk.fill("#id_url", f"json://{sink.host}:{sink.port}/s3cr3t-t0ken")
        walk.click("#id_allow_private")
        walk.click("#add-channel button")
        walk.wait("Nothing was sent yet.")
        walk.click("#test")
        walk.wait("The test is on its way")
        man = Postman()
        settle(man, timezone.now())
        man.close(timezone.now())
        [request] = sink.wait(1)
        assert "arrive here" in request.json()["message"]
    walk.wait("The test was sent, and the other side took it.")
    assert "s3cr3t" not in walk.driver.page_source
    channel = Channel.objects.get()
    Delivery.objects.create(
        channel=channel, kind="firing", state="failed", tries=5, created_at=timezone.now(),
        due_at=timezone.now(), title="Critical: the dispatcher is silent (and 2 more)",
        body="What is.\nWhat to do.", error="Failed to send JSON notification: error=503.",
    )  # fmt: skip
    one = f"/settings/channels/{channel.pk}"
    paths = ["/settings/channels", one, "/settings/channels/deliveries", f"{one}/delete"]
    for width in (1280, 375):
        walk.narrow(width)
        for number, path in enumerate(paths):
            walk.go(path)
            assert not walk.too_wide(), (width, path)
            look(walk, f"channels-{number}-{width}")

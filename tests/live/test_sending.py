"""Bundles to nodes, and what comes back."""

import hashlib
import json
import time
from functools import partial
from pathlib import Path

from tests.live.rig import Driver, Event, Rig, bundle_text, new_bundle, wait_for


def test_a_bundle_is_run_and_its_answer_comes_back(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    bundle = new_bundle()
    assert driver.send(bundle, rig.address(2), bundle_text(bundle, ["echo", "hello"]))
    [report] = driver.answer(bundle)["ended"]
    assert report["outcome"] == "succeeded"
    assert report["stdout"]["text"] == "hello\n"


def test_every_slot_of_every_node_is_used_and_none_twice(rig: Rig) -> None:
    driver = rig.driver(rig.agent(2, slots=2), rig.agent(3, slots=2))
    bundles = [new_bundle() for _ in range(5)]
    places = [rig.address(number) for number in (2, 2, 2, 3, 3)]
    sent = [
        driver.send(bundle, place, bundle_text(bundle, "sleep 0.7"))
        for bundle, place in zip(bundles, places, strict=True)
    ]
    assert sent == [True, True, False, True, True]
    ended = [
        driver.until("BundleEnded", bundle=b) for b, ok in zip(bundles, sent, strict=True) if ok
    ]
    assert {event["address"] for event in ended} == {rig.address(2), rig.address(3)}
    assert driver.send(bundles[2], places[2], bundle_text(bundles[2], "true"))
    driver.answer(bundles[2])


def test_a_bundle_sent_ahead_runs_when_the_one_before_has_ended(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    first, second, third = new_bundle(), new_bundle(), new_bundle()
    ledger, place = rig.folder / "ledger", rig.address(2)
    for bundle, after in ((first, None), (second, first)):
        text = bundle_text(bundle, f"echo start >> {ledger}; sleep 0.5; echo end >> {ledger}")
        assert driver.send(bundle, place, text, after=after)
    assert not driver.send(third, place, bundle_text(third, "true"))
    assert not driver.send(third, place, bundle_text(third, "true"), after=first)
    driver.answer(first)
    [report] = driver.answer(second)["ended"]
    assert report["outcome"] == "succeeded"
    assert ledger.read_text().split() == ["start", "end", "start", "end"]


def test_a_bundle_sent_ahead_does_not_wait_for_long_nor_when_told_to_stop(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    first, second, third = new_bundle(), new_bundle(), new_bundle()
    driver.send(first, rig.address(2), bundle_text(first, "sleep 50"))
    for bundle in (second, third):
        driver.send(bundle, rig.address(2), bundle_text(bundle, "true"), after=first)
        if bundle == third:
            driver.tell("cancel", bundle=bundle)
        answer = driver.answer(bundle)
        assert (answer["ended"], answer["not_started"]) == ([], [bundle % 10_000])
    driver.tell("cancel", bundle=first)
    driver.answer(first)


def test_the_node_says_what_it_is_and_how_it_is(rig: Rig) -> None:
    agent = rig.agent(slots=3)
    driver = rig.driver(nodes=[agent.address])
    seen = driver.until("NodeSeen", address=agent.address)
    assert (seen["name"], seen["cpus"], seen["patched"]) == ("node-2", 3, True)
    assert {"arch", "python", "cores", "memory_total", "kernel"} <= seen["passport"].keys()
    reading = driver.until("NodeReading", address=agent.address)
    assert 0 <= reading["cpu_percent_used"] <= 100
    assert 0 < reading["memory_free"] <= reading["memory_total"]


def test_progress_arrives_while_it_runs(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    bundle = new_bundle()
    driver.send(bundle, rig.address(2), bundle_text(bundle, "echo early; sleep 2.5; echo late"))
    text = ""
    while "early" not in text:
        progress = driver.until("Progress", bundle=bundle)
        text = progress["text"]
    ended = driver.until("BundleEnded", bundle=bundle)
    assert ended["at"] - progress["at"] > 0.5


def test_a_file_goes_to_the_node_and_an_artifact_comes_back(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    content = bytes(range(256)) * 20_000  # more than one of dispy's pieces
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    stored = rig.folder / "any name"
    stored.write_bytes(content)
    bundle = new_bundle()
    text = bundle_text(
        bundle, "cat in.bin in.bin > out.bin", files={"in.bin": digest}, outputs=["out.bin"]
    )
    assert driver.send(bundle, rig.address(2), text, files=[[digest, str(stored)]])
    [report] = driver.answer(bundle)["ended"]
    [artifact] = report["artifacts"]
    assert (artifact["size"], artifact["error"]) == (2 * len(content), "")
    flat = f"{report['attempt']}-0-{artifact['digest'].removeprefix('sha256:')}"
    driver.tell("incoming", name=flat)
    path = driver.until("incoming")["path"]
    assert Path(path).read_bytes() == 2 * content
    driver.tell("incoming", name=f"../incoming/{flat}")
    assert driver.until("incoming")["path"] is None


def test_a_file_that_is_not_what_its_digest_says_is_not_used(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    stored = rig.folder / "changed"
    stored.write_text("something else")
    digest = f"sha256:{hashlib.sha256(b'promised').hexdigest()}"
    bundle = new_bundle()
    text = bundle_text(bundle, "true", files={"in": digest})
    assert driver.send(bundle, rig.address(2), text, files=[[digest, str(stored)]])
    assert "could not be copied" in driver.until("BundleGone", bundle=bundle)["reason"]


def test_a_cancelled_bundle_ends_soon_and_says_so(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    bundle = new_bundle()
    driver.send(bundle, rig.address(2), bundle_text(bundle, "sleep 50"))
    driver.until("Progress", bundle=bundle)
    driver.tell("cancel", bundle=bundle)
    [report] = driver.answer(bundle, 5)["ended"]
    assert report["outcome"] == "cancelled"


def test_a_bundle_cancelled_at_once_ends_too(rig: Rig) -> None:
    """dispy would lose such a cancel, or the job."""
    driver = rig.driver(rig.agent())
    for _ in range(3):
        bundle = new_bundle()
        assert driver.send(bundle, rig.address(2), bundle_text(bundle, "sleep 50"))
        driver.tell("cancel", bundle=bundle)
        end = wait_for(partial(end_of, driver, bundle), 9)
        if end["kind"] == "BundleGone":
            assert end["reason"] == "cancelled before it was sent"
    again = new_bundle()
    assert driver.send(again, rig.address(2), bundle_text(again, "true"))
    driver.answer(again)


def end_of(driver: Driver, bundle: int) -> Event | None:
    driver.none_of("nothing", 0.1)  # listens
    ends = [e for e in driver.seen if e["kind"] in ("BundleEnded", "BundleGone")]
    return next((e for e in ends if e["bundle"] == bundle), None)


def test_a_runner_that_dies_is_noticed_within_seconds(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    bundle = new_bundle()
    driver.send(bundle, rig.address(2), bundle_text(bundle, "kill -9 $PPID; sleep 50"))
    started = time.monotonic()
    ended = driver.until("BundleEnded", 6, bundle=bundle)
    assert ended["text"] is None
    assert "died without an answer" in ended["error"]
    assert time.monotonic() - started < 4
    again = new_bundle()
    assert driver.send(again, rig.address(2), bundle_text(again, ["echo", "still here"]))
    assert "still here" in json.dumps(driver.answer(again))

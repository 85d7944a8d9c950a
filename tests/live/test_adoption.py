"""The dispatcher's process dies; the next one takes over what runs."""

import time
from pathlib import Path

import pytest

from tests.live.rig import Agent, Driver, Rig, bundle_text, new_bundle, wait_for


def ledger_text(bundle: int, ledger: Path, seconds: float) -> str:
    return bundle_text(bundle, f"echo {bundle} >> {ledger}; sleep {seconds}; echo done {bundle}")


def send_all(driver: Driver, plan: dict[int, tuple[Agent, float]], ledger: Path) -> None:
    for bundle, (agent, seconds) in plan.items():
        assert driver.send(bundle, agent.address, ledger_text(bundle, ledger, seconds))
    for bundle in plan:
        driver.until("Progress", bundle=bundle)


def runs(ledger: Path) -> list[int]:
    return sorted(int(line) for line in ledger.read_text().split())


def test_running_work_survives_two_crashes_in_a_row(rig: Rig) -> None:
    """Several jobs per node; one of them ends while nobody is there to hear it."""
    first, second = rig.agent(2, slots=3), rig.agent(3, slots=3)
    driver, ledger = rig.driver(first, second), rig.folder / "ledger"
    plan = {
        new_bundle(): (first, 7.0), new_bundle(): (first, 2.0), new_bundle(): (first, 7.5),
        new_bundle(): (second, 7.0), new_bundle(): (second, 2.0), new_bundle(): (second, 4.0),
    }  # fmt: skip
    send_all(driver, plan, ledger)
    open_bundles = {str(bundle): agent.address for bundle, (agent, _) in plan.items()}
    driver.kill()
    time.sleep(2.2)  # two of them end meanwhile
    middle = rig.driver(first, second, open=open_bundles)
    early = [bundle for bundle, (_, seconds) in plan.items() if seconds == 2.0]
    for bundle in early:
        assert f"done {bundle}" in middle.answer(bundle)["ended"][0]["stdout"]["text"]
    middle.none_of("BundleGone", 0.2)
    middle.kill()
    last = rig.driver(first, second, open=open_bundles)
    late = [bundle for bundle in plan if bundle not in early]
    for bundle in late:
        assert f"done {bundle}" in last.answer(bundle, 20)["ended"][0]["stdout"]["text"]
    last.none_of("NodeGone", 0.1)
    assert not any(event["kind"] == "BundleGone" and event["bundle"] in late for event in last.seen)
    assert runs(ledger) == sorted(plan)
    fresh = new_bundle()
    assert last.send(fresh, first.address, bundle_text(fresh, "true"))
    last.answer(fresh)


def test_a_bundle_that_was_never_sent_is_told_apart_and_not_taken_when_it_comes_late(
    rig: Rig,
) -> None:
    agent, unsent = rig.agent(), new_bundle()
    rig.driver(agent).kill()
    driver = rig.driver(agent, open={str(unsent): agent.address})
    gone = driver.until("BundleGone", 10, bundle=unsent)
    assert gone["never_started"], gone
    assert driver.send(unsent, agent.address, ledger_text(unsent, rig.folder / "ledger", 0))
    refused = driver.until("BundleGone", 10, bundle=unsent)
    assert "Nobody waits for it" in refused["reason"]
    assert not (rig.folder / "ledger").exists()


def test_an_answer_not_yet_recorded_is_given_to_the_next_process(rig: Rig) -> None:
    agent = rig.agent()
    driver, ledger, bundle = rig.driver(agent), rig.folder / "ledger", new_bundle()
    driver.tell("hold")
    send_all(driver, {bundle: (agent, 0.5)}, ledger)
    driver.answer(bundle)  # it has it, but dies before it could write it down
    driver.kill()
    heir = rig.driver(agent, open={str(bundle): agent.address})
    assert f"done {bundle}" in heir.answer(bundle)["ended"][0]["stdout"]["text"]
    assert runs(ledger) == [bundle]


def test_a_bundle_that_was_never_sent_is_gone_and_new_work_flows_at_once(rig: Rig) -> None:
    agent = rig.agent(slots=2)
    driver, running, unsent = rig.driver(agent), new_bundle(), new_bundle()
    driver.send(running, agent.address, bundle_text(running, "sleep 3"))
    driver.until("Progress", bundle=running)
    driver.kill()
    started = time.monotonic()
    heir = rig.driver(agent, open={str(b): agent.address for b in (running, unsent)})
    gone = heir.until("BundleGone", bundle=unsent)
    fresh = new_bundle()
    assert heir.send(fresh, agent.address, bundle_text(fresh, "true"))
    heir.answer(fresh)
    assert gone["reason"] == "it never reached the node"
    heir.answer(running)
    assert time.monotonic() - started < 25


def test_work_that_nobody_waits_for_is_stopped(rig: Rig) -> None:
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 50"))
    driver.until("Progress", bundle=bundle)
    driver.kill()
    heir = rig.driver(agent)  # the row was closed meanwhile
    heir.until("BundleEnded", 8, bundle=bundle)
    fresh = new_bundle()
    assert heir.send(fresh, agent.address, bundle_text(fresh, "true"))


def test_a_closed_engine_leaves_its_work_to_the_next(rig: Rig) -> None:
    agent = rig.agent()
    driver, ledger, bundle = rig.driver(agent), rig.folder / "ledger", new_bundle()
    send_all(driver, {bundle: (agent, 2.0)}, ledger)
    driver.tell("close", keep_running=True)
    driver.process.wait(5)  # dispy's exit handlers would wait for the job
    heir = rig.driver(agent, open={str(bundle): agent.address})
    heir.answer(bundle)
    assert runs(ledger) == [bundle]


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_without_its_identity_it_frees_the_nodes_and_starts_anew(rig: Rig, damage: str) -> None:
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 50"))
    driver.until("Progress", bundle=bundle)
    driver.kill()
    identity = rig.folder / "engine" / "identity.json"
    assert identity.stat().st_mode & 0o777 == 0o600
    identity.unlink()
    if damage == "corrupt":
        identity.write_text('{"nodes": {"127')
    heir = rig.driver(agent, open={str(bundle): agent.address})
    heir.until("BundleGone", bundle=bundle)
    fresh = new_bundle()
    wait_for(lambda: heir.send(fresh, agent.address, bundle_text(fresh, "true")))
    heir.answer(fresh)


def test_a_node_that_is_gone_after_the_restart_takes_its_bundles_along(rig: Rig) -> None:
    agent, other = rig.agent(2), rig.agent(3)
    driver, bundle = rig.driver(agent, other), new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 50"))
    driver.until("Progress", bundle=bundle)
    driver.kill()
    agent.kill()
    heir = rig.driver(nodes=[agent.address, other.address], open={str(bundle): agent.address})
    heir.until("BundleGone", bundle=bundle)
    heir.until("NodeSeen", address=other.address)

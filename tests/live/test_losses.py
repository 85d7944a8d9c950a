"""Nodes that die, freeze and come back."""

import signal
import time

from tests.live.rig import Rig, bundle_text, new_bundle


def test_a_killed_node_is_noticed_and_used_again_after_its_restart(rig: Rig) -> None:
    agent, other = rig.agent(2), rig.agent(3)
    driver = rig.driver(agent, other)
    bundle = new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 30"))
    driver.until("Progress", bundle=bundle)
    agent.kill()
    killed_at = time.monotonic()
    gone = driver.until("NodeGone", 10, address=agent.address)
    driver.until("BundleGone", 10, bundle=bundle)
    assert time.monotonic() - killed_at < 10
    assert gone["reason"]
    again = new_bundle()
    assert not driver.send(again, agent.address, bundle_text(again, "true"))
    agent.start()
    driver.until("NodeSeen", 10, address=agent.address)
    assert driver.send(again, agent.address, bundle_text(again, "true"))
    driver.answer(again)
    driver.none_of("NodeGone", 0.5)
    driver.none_of("BundleGone", 0.1)


def test_an_idle_node_that_dies_is_noticed_too(rig: Rig) -> None:
    agent = rig.agent()
    driver = rig.driver(agent)
    agent.kill()
    driver.until("NodeGone", 10, address=agent.address)
    driver.until("NodeTrouble", 10, address=agent.address)


def test_a_restarted_node_loses_its_old_bundles(rig: Rig) -> None:
    agent = rig.agent()
    driver = rig.driver(agent)
    bundle = new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 30"))
    driver.until("Progress", bundle=bundle)
    agent.kill()
    agent.start()
    driver.until("BundleGone", 10, bundle=bundle)
    driver.until("NodeSeen", 10, address=agent.address)


def test_a_frozen_node_comes_back_by_itself(rig: Rig) -> None:
    agent = rig.agent()
    driver = rig.driver(agent)
    bundle = new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 30"))
    driver.until("Progress", bundle=bundle)
    agent.signal(signal.SIGSTOP)
    driver.until("NodeGone", 10, address=agent.address)
    driver.until("BundleGone", 1, bundle=bundle)
    time.sleep(5)  # still frozen, while we knock
    agent.signal(signal.SIGCONT)
    driver.until("NodeSeen", 30, address=agent.address)
    again = new_bundle()
    assert driver.send(again, agent.address, bundle_text(again, "true"))
    driver.answer(again)
    driver.none_of("BundleGone", 0.1)


def test_an_engine_that_nobody_can_reach_says_so_and_ends(rig: Rig) -> None:
    driver = rig.driver(rig.agent(), deaf_seconds=3.0)
    driver.none_of("NodeGone", 4)
    assert driver.process.poll() is None
    driver.tell("stop_listening")
    assert driver.process.wait(10) != 0
    assert "does not answer" in driver.log.read_text()


def test_an_engine_that_slept_does_not_blame_its_nodes(rig: Rig) -> None:
    driver = rig.driver(rig.agent())
    bundle = new_bundle()
    driver.send(bundle, rig.address(2), bundle_text(bundle, "sleep 4; echo through"))
    driver.until("Progress", bundle=bundle)
    driver.process.send_signal(signal.SIGSTOP)
    time.sleep(7)
    driver.process.send_signal(signal.SIGCONT)
    driver.none_of("NodeGone", 1)
    assert driver.answer(bundle)["ended"][0]["stdout"]["text"] == "through\n"
    driver.none_of("NodeGone", 1)


def test_a_node_is_removed_and_listed_again(rig: Rig) -> None:
    agent = rig.agent()
    driver = rig.driver(agent)
    bundle = new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "sleep 30"))
    driver.until("Progress", bundle=bundle)
    driver.tell("remove_node", address=agent.address)
    driver.until("NodeGone", address=agent.address)
    driver.until("BundleGone", bundle=bundle)
    driver.none_of("NodeSeen", 1.5)
    driver.tell("add_node", address=agent.address)
    driver.until("NodeSeen", address=agent.address)


def test_a_name_that_does_not_resolve_is_said_in_words(rig: Rig) -> None:
    driver = rig.driver(nodes=["no-such-machine.invalid", rig.address(3)])
    trouble = driver.until("NodeTrouble", address="no-such-machine.invalid")
    assert "resolves" in trouble["reason"]
    assert "no agent" in driver.until("NodeTrouble", address=rig.address(3))["reason"]

"""The agent as a process: how it starts, ends, and what it leaves."""

import os
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.live.rig import SECRET, Event, Rig, bundle_text, living_in, new_bundle, wait_for


def nobody_in(folder: Path) -> bool:
    return not living_in(folder)


def test_nothing_survives_a_killed_agent(rig: Rig) -> None:
    """Not even what a job started behind its own back."""
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    command = "(sleep 3000; true) & setsid sleep 3001 & nohup sleep 3002 & wait; sleep 3003"
    driver.send(bundle, agent.address, bundle_text(bundle, command))
    wait_for(lambda: len(living_in(agent.scratch)) > 6)
    agent.kill()
    wait_for(partial(nobody_in, agent.scratch), 5)
    wait_for(lambda: not list(agent.scratch.glob("run-*")), 5)


def test_nothing_survives_a_killed_runner(rig: Rig) -> None:
    """Gone before its loss is reported, whatever it did to hide."""
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    command = "cd /; export HOME=/; setsid sleep 3001 & kill -9 $PPID; sleep 3002"
    driver.send(bundle, agent.address, bundle_text(bundle, command))
    event = driver.until("BundleEnded", 10, bundle=bundle)
    assert event["text"] is None
    assert not [pid for pid in living_in(agent.scratch) if is_sleep(pid)]


def is_sleep(pid: int) -> bool:
    try:
        return b"sleep\x00300" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_a_terminated_agent_says_goodbye_and_leaves_nothing(rig: Rig) -> None:
    agents = rig.agent(2), rig.agent(3)
    driver = rig.driver(*agents)
    for agent, number in zip(agents, (signal.SIGTERM, signal.SIGINT), strict=True):
        bundle = new_bundle()
        driver.send(bundle, agent.address, bundle_text(bundle, "sleep 3000"))
        driver.until("Progress", bundle=bundle)
        started = time.monotonic()
        os.killpg(agent.process.pid, number)  # as a terminal or a supervisor does
        assert agent.process.wait(5) == 0
        driver.until("NodeGone", 3, address=agent.address)
        driver.until("BundleGone", 1, bundle=bundle)  # lost; not cancelled
        assert time.monotonic() - started < 4
        wait_for(partial(nobody_in, agent.scratch))
        assert [path.name for path in agent.scratch.iterdir()] == ["agent.lock"]


def test_the_secret_is_neither_on_a_command_line_nor_in_a_job(rig: Rig) -> None:
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    driver.send(bundle, agent.address, bundle_text(bundle, "env; sleep 1"))
    driver.until("Progress", bundle=bundle)
    for pid in agent.family():
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert SECRET not in driver.answer(bundle)["ended"][0]["stdout"]["text"]
    for path in agent.scratch.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_node_with_another_secret_is_named(rig: Rig) -> None:
    agent = rig.agent(secret="another one")
    driver = rig.driver(nodes=[agent.address])
    for _ in range(3):
        trouble = driver.until("NodeTrouble", address=agent.address)
        if "secret" in trouble["reason"]:
            break
    assert trouble["reason"] == "has another secret than ours"
    driver.none_of("NodeSeen", 0.5)


def test_a_node_that_works_for_somebody_else_is_named(rig: Rig) -> None:
    agent = rig.agent()
    rig.driver(agent)
    other = rig.driver(nodes=[agent.address], host=rig.address(5), home=str(rig.folder / "other"))
    trouble = other.until("NodeTrouble", address=agent.address)
    assert trouble["reason"] == f"works for another dispatcher, at {rig.address(1)}:{rig.port}"


def test_a_second_agent_in_the_same_folder_refuses(rig: Rig) -> None:
    agent = rig.agent()
    rig.driver(agent)
    second = subprocess.run(agent.command, capture_output=True, text=True, timeout=20)
    assert second.returncode == 2
    assert "another agent uses the scratch folder" in second.stdout
    assert agent.process.poll() is None


def test_an_agent_whose_port_is_taken_does_not_pretend(rig: Rig) -> None:
    with socket.create_server((rig.address(2), rig.port + 1)):
        agent = rig.agent()
        assert agent.process.wait(20) == 2
    assert "cannot hear ourselves" in agent.log.read_text()


def test_jobs_that_kill_the_warm_process_do_not_break_the_node(rig: Rig) -> None:
    agent = rig.agent()
    driver, bundle = rig.driver(agent), new_bundle()
    command = "kill -9 $(awk '/^PPid/ {print $2}' /proc/$PPID/status); sleep 30"
    driver.send(bundle, agent.address, bundle_text(bundle, command))
    driver.until("NodeGone", 10, address=agent.address)
    driver.until("NodeSeen", 10, address=agent.address)
    ends = ("BundleGone", "BundleEnded")
    [end] = [e for e in driver.seen if e["kind"] in ends and e["bundle"] == bundle]
    assert end["kind"] == "BundleGone" or end["text"] is None
    again = new_bundle()
    assert driver.send(again, agent.address, bundle_text(again, "true"))
    driver.answer(again)


def test_an_idle_node_tells_how_it_is_and_how_long_it_takes_to_answer(rig: Rig) -> None:
    agent = rig.agent()
    driver = rig.driver(nodes=[agent.address])
    passport = driver.until("NodeSeen", address=agent.address)["passport"]
    assert passport["packages"]["dispy"] == "4.15.2"
    deadline = time.monotonic() + 20
    reading: Event = {"extras": {}}
    while "round_trip_ms" not in reading["extras"]:
        reading = driver.until("NodeReading", deadline - time.monotonic())
    extras = reading["extras"]
    assert 0 < extras["round_trip_ms"] < 2000
    assert abs(extras["clock_skew_seconds"]) < 5
    assert "clock" not in extras
    assert extras["load_1"] >= 0
    assert extras["scratch_read_only"] is False
    disk = os.statvfs(agent.scratch)
    assert passport["disk_total"] == extras["disk_total"] == disk.f_blocks * disk.f_frsize
    assert extras["disk_total"] > reading["disk_free"]

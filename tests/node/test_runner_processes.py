"""Time that is up, cancelling, and that nobody survives the member that started him."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.node.bench import Bench, until

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setpgid(0, 0)
        for fd in (0, 1, 2) if "close" in sys.argv else ():
            os.close(fd)
        os.execvp("sleep", ["sleep", "1000", "{mark}"])
    os._exit(0)
time.sleep({seconds})
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sleeper(bench: Bench) -> str:
    """A shell word that sleeps under a name that survivors() finds."""
    return f"sh -c 'sleep 1000; : {bench.mark}'"


def test_time_that_is_up_ends_the_member(bench: Bench) -> None:
    report = bench.shell(f"echo before; {sleeper(bench)}", timeout_seconds=0.3)
    assert (report["outcome"], report["error_type"]) == ("timed_out", "timeout")
    assert report["error"] == "ran longer than its limit of 0.3 seconds"
    assert (report["signal"], report["exit_code"]) == ("SIGTERM", None)
    assert report["stdout"]["text"] == "before\n"
    assert 0.3 <= report["run_seconds"] < 1.5


def test_a_member_may_tidy_up_when_its_time_is_up(bench: Bench) -> None:
    line = f"trap 'echo bye; exit 0' TERM; {sleeper(bench)} & wait"
    report = bench.shell(line, timeout_seconds=0.3)
    assert (report["outcome"], report["exit_code"]) == ("timed_out", 0)
    assert report["stdout"]["text"] == "bye\n"


def test_a_member_that_ignores_sigterm_is_killed_with_its_children(bench: Bench) -> None:
    line = f"trap '' TERM; {sleeper(bench)} & {sleeper(bench)} & while :; do sleep 0.1; done"
    report = bench.shell(line, timeout_seconds=0.3)
    assert (report["outcome"], report["signal"]) == ("timed_out", "SIGKILL")
    assert 2.2 < report["run_seconds"] < 4


def test_a_stopped_member_is_killed(bench: Bench) -> None:
    report = bench.shell("kill -STOP $$", timeout_seconds=0.2)
    assert (report["outcome"], report["signal"]) == ("timed_out", "SIGKILL")


def test_a_daemon_does_not_survive_its_member(bench: Bench) -> None:
    source = DAEMON.format(mark=bench.mark, seconds=0.2)
    report = bench.run(kind="script", source="import sys; sys.argv.append('close')\n" + source)
    assert report["outcome"] == "succeeded"
    assert report["run_seconds"] < 2


def test_a_daemon_does_not_survive_the_end_of_time(bench: Bench) -> None:
    source = DAEMON.format(mark=bench.mark, seconds=100)
    report = bench.run(kind="script", source=source, timeout_seconds=0.5)
    assert report["outcome"] == "timed_out"


def test_a_grandchild_that_holds_the_pipe_does_not_hold_up_the_end(bench: Bench) -> None:
    report = bench.shell(f"{sleeper(bench)} & echo done")
    assert (report["outcome"], report["stdout"]["text"]) == ("succeeded", "done\n")
    assert report["run_seconds"] < 1


def test_what_a_daemon_used_counts_for_its_member(bench: Bench) -> None:
    source = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while time.process_time() < 0.3: pass
    os._exit(0)
time.sleep(1)
"""
    report = bench.run(kind="script", source=source)
    assert report["cpu_seconds"] > 0.3


def test_a_swarm_is_gone_before_the_next_member_starts(bench: Bench) -> None:
    line = f"for i in $(seq 40); do setsid {sleeper(bench)} & done; sleep 0.1"
    bundle = bench.bundle({"kind": "command", "command": line}, [{}])
    bundle["specs"]["13"] = {"kind": "script", "source": COUNT.format(mark=bench.mark)}
    bundle["members"].append({"attempt": 5, "spec": "13", "args": {}, "job": 1, "number": 1})
    [final] = bench.run_bundles(bundle)
    assert final["ended"][1]["stdout"]["text"] == "0\n"


COUNT = """
import pathlib
found = 0
for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        found += b"{mark}" in each.read_bytes()
    except OSError:
        pass
print(found)
"""


def running(bench: Bench, line: str, members: int = 1) -> subprocess.Popen[str]:
    spec = {"kind": "command", "command": line}
    process = bench.start(bench.bundle(spec, [{}] * members))
    until(bench.survivors)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_bundle_ends_its_member_and_starts_no_other(
    bench: Bench, number: signal.Signals, tmp_path: Path
) -> None:
    mark = tmp_path / "begun"
    process = running(bench, f"echo begun; touch {mark}; {sleeper(bench)}", members=3)
    until(mark.exists)  # the shell is seen before it has said anything
    started = time.monotonic()
    process.send_signal(number)
    [final] = bench.finish(process)["finals"]
    assert time.monotonic() - started < 2
    [report] = final["ended"]
    assert (report["outcome"], report["error_type"]) == ("cancelled", "cancelled")
    assert report["stdout"]["text"] == "begun\n"
    assert final["not_started"] == [101, 102]
    assert bench.answer["told"][-1]["ended"] == [report]  # the answer may never be delivered


def test_a_member_that_does_not_want_to_be_cancelled_is_killed(bench: Bench) -> None:
    process = running(
        bench, f"trap '' TERM INT; setsid {sleeper(bench)} & while :; do sleep 1; done"
    )
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    [final] = bench.finish(process)["finals"]
    assert 1.9 < time.monotonic() - started < 5  # before dispy's own SIGTERM and SIGKILL
    assert final["ended"][0]["outcome"] == "cancelled"


def test_a_member_with_limits_does_not_survive_a_killed_runner(bench: Bench) -> None:
    """Of one without, the agent takes care: tests/live/test_agent.py."""
    command = ["sh", "-c", f"echo; sleep 1000; : {bench.mark}"]
    spec = {"kind": "command", "command": command, "memory_mb": 500}
    process = bench.start(bench.bundle(spec, [{}]))
    until(bench.survivors)
    process.kill()
    process.communicate()
    until(lambda: bench.survivors() == [])


def test_the_members_files_are_removed_whatever_rights_they_have(bench: Bench) -> None:
    line = "mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b/c a/b a; mkdir deep; cd deep;"
    deep = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"
    assert bench.shell(line)["outcome"] == "succeeded"
    assert bench.run(kind="script", source=deep)["outcome"] == "succeeded"
    assert os.listdir(bench.scratch) == []

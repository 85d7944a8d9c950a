"""Members of one function, forked by a small interpreter that has imported it."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from node import runner
from node.served import Server
from tests.node.bench import Bench, until

TASKS = """
import os, signal, subprocess, tempfile, time

log = tempfile.TemporaryFile()
log.write(b"opened at import")
log.flush()
calls = 0

def who(word="", size=0):
    global calls
    calls += 1
    print("this is", word)
    return {
        "calls": calls, "pid": os.getpid(), "parent": os.getppid(), "word": word,
        "args": os.environ.get("DISPYCLUSTER_ARGS"), "attempt": os.environ["DISPYCLUSTER_ATTEMPT"],
        "home": os.environ["HOME"], "here": os.getcwd(), "group": os.getpgid(0),
        "open": [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd < 64],
        "log": os.pread(log.fileno(), 100, 0).decode(),
        "ignored": signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL,
    }

def act(what="", mark=""):
    if what == "nap":
        time.sleep(60)
    if what == "linger":
        subprocess.run(["sh", "-c", f"sleep 60; : {mark}"])
    if what == "daemon":
        subprocess.Popen(["sh", "-c", f"sleep 60; : {mark}"], start_new_session=True)
    if what == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        exit(3)
    if what == "vanish":
        os._exit(5)
    if what == "parent":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if what == "hog":
        bytearray(500_000_000)
    return what
"""
SERVER_ENDED = "the node could not run it: the server that forks its members ended"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.keep_tasks(things=TASKS)
    return bench


def acts(bench: Bench, *deeds: str, **spec: Any) -> list[dict[str, Any]]:
    """One that does nothing, which shows that the module can be imported; then these."""
    spec |= {"kind": "function", "function": "things.act"}
    argses = [{"what": deed, "mark": bench.mark} for deed in ("", *deeds)]
    return bench.run_many(spec, argses, served=True)[1:]


def test_each_member_has_a_process_of_its_own_and_the_module_as_it_was_imported(
    bench: Bench,
) -> None:
    spec = {"kind": "function", "function": "things.who"}
    count = runner.WORTH_A_SERVER + 20
    reports = bench.run_many(spec, [{"word": f"w{index}"} for index in range(count)])
    assert bench.answer["served"] == count - 1
    told = [json.loads(each["result"]) for each in reports]
    assert [each["word"] for each in told] == [f"w{index}" for index in range(count)]
    assert [each["stdout"]["text"] for each in reports] == [
        f"this is {each['word']}\n" for each in told
    ]
    assert {each["calls"] for each in told} == {1}
    assert len({each["pid"] for each in told}) == count
    assert len({each["parent"] for each in told[1:]}) == 1
    assert all(each["group"] == each["pid"] for each in told)
    assert all(each["home"] == each["here"] for each in told)
    assert [json.loads(each["args"])["word"] for each in told] == [e["word"] for e in told]
    # Its three, the note, the log, the listing; and the log is what it was.
    assert all(len(each["open"]) <= 6 for each in told)
    assert {each["log"] for each in told} == {"opened at import"}
    assert not any(each["ignored"] for each in told)
    assert all(each["cpu_seconds"] > 0 and each["max_rss_kb"] > 1000 for each in reports)


def test_arguments_too_large_for_the_environment_leave_none_of_the_member_before(
    bench: Bench,
) -> None:
    spec = {"kind": "function", "function": "things.who"}
    argses = [{"word": "a"}, {"word": "b"}, {"word": "c" * 200_000}, {"word": "d"}]
    told = [json.loads(e["result"]) for e in bench.run_many(spec, argses, served=True)]
    assert bench.answer["served"] == 3
    assert [each["args"] and json.loads(each["args"]) for each in told] == [
        {"word": "a"}, {"word": "b"}, None, {"word": "d"},
    ]  # fmt: skip
    assert len(told[2]["word"]) == 200_000


def test_time_that_is_up_ends_a_member_and_the_next_is_forked_from_the_same(bench: Bench) -> None:
    slow, quick = acts(bench, "nap", "", timeout_seconds=0.3)
    assert (slow["outcome"], slow["error"]) == (
        "timed_out", "ran longer than its limit of 0.3 seconds",
    )  # fmt: skip
    assert 0.3 <= slow["run_seconds"] < 2
    assert quick["outcome"] == "succeeded"
    assert bench.answer["served"] == 2


@pytest.mark.parametrize("pause", [0, 0.05])
@pytest.mark.parametrize("orders", ["T", "TK"])
def test_orders_that_come_after_the_end_do_not_touch_the_next_member(
    bench: Bench, orders: str, pause: float
) -> None:
    spec = {"kind": "function", "function": "things.act", "timeout_seconds": 5}
    reports = bench.run_many(spec, [{"what": "a"}] * 4, served=True, late=(orders, pause))
    assert [each["outcome"] for each in reports] == ["succeeded"] * 4
    assert bench.answer["served"] == 3


def test_each_end_is_told_as_it_was(bench: Bench) -> None:
    segv, left, vanished, fine = acts(bench, "segv", "exit", "vanish", "")
    assert (segv["signal"], segv["error"]) == ("SIGSEGV", "killed by SIGSEGV")
    assert (left["exit_code"], left["error"]) == (3, "exited with status 3")
    assert vanished["error"] == "its process exited with status 5 without returning a value"
    assert fine["outcome"] == "succeeded"
    assert bench.answer["served"] == 4


def test_the_memory_limit_holds(bench: Bench) -> None:
    hog, fine = acts(bench, "hog", "", memory_mb=100)
    assert hog["error"] == "MemoryError (its memory limit is 100 MB)"
    assert fine["outcome"] == "succeeded"
    assert bench.answer["served"] == 2


def test_a_daemon_is_gone_before_the_next_member_starts(bench: Bench) -> None:
    daemon, fine = acts(bench, "daemon", "")
    assert (daemon["outcome"], fine["outcome"]) == ("succeeded", "succeeded")
    assert bench.answer["served"] == 2  # the bench looks for survivors itself


def test_a_member_that_kills_the_server_fails_alone(bench: Bench) -> None:
    killer, *others = acts(bench, "parent", "", "segv", "")
    assert (killer["outcome"], killer["error"]) == ("failed", SERVER_ENDED)
    assert (killer["error_type"], killer["signal"], killer["exit_code"]) == ("runner", None, None)
    assert [each["outcome"] for each in others] == ["succeeded", "failed", "succeeded"]


def test_a_server_that_cannot_fork_ends_and_the_member_says_so(bench: Bench) -> None:
    forks = "def no(): raise BlockingIOError(11, 'Resource temporarily unavailable')"
    source = f"import os, sys\n{forks}\nif sys.argv[0] == '-c': os.fork = no\ndef f(): return 1"
    bench.keep_tasks(full=source)
    spec = {"kind": "function", "function": "full.f"}
    reports = bench.run_many(spec, [{}] * 4, served=True)
    assert [each["error"] for each in reports] == ["", SERVER_ENDED, "", ""]


def test_a_server_that_ends_between_two_members_fails_none(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.who"}
    reports = bench.run_many(spec, [{}] * 5, served=True, fell=2)
    assert bench.answer["served"] == 2
    assert [each["outcome"] for each in reports] == ["succeeded"] * 5
    parents = [json.loads(each["result"])["parent"] for each in reports]
    assert len({parents[0], *parents[2:]}) == 1  # the runner
    assert parents[1] != parents[0]


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "function", "function": "things.act"},
        {"kind": "function", "function": "things.act", "isolation": "shared"},
        {"kind": "command", "command": "true"},
    ],
)
def test_the_server_ends_before_anything_else_runs(bench: Bench, other: dict[str, Any]) -> None:
    """What is left below the runner at the end of the other member is killed."""
    bundle = bench.bundle({"kind": "function", "function": "things.who"}, [{}] * 5)
    bundle["specs"]["13"] = other
    bundle["members"][2]["spec"] = "13"
    [final] = bench.run_bundles(bundle, served=True)
    assert [each["outcome"] for each in final["ended"]] == ["succeeded"] * 5
    assert bench.answer["served"] == 1


def test_a_request_that_was_read_before_the_server_died_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server.__new__(Server)
    server.sock, theirs = socket.socketpair()
    send_fds = socket.send_fds

    def sent_and_read(*args: Any) -> int:
        sent = send_fds(*args)
        theirs.recv(sent)
        theirs.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", sent_and_read)
    assert server.send({"function": "things.act"}, [])
    assert not server.send({"function": "things.act"}, [])
    server.sock.close()


def test_a_module_that_the_server_cannot_import_is_run_without_it(bench: Bench) -> None:
    source = "import sys\nif sys.argv[0] == '-c': sys.exit(1)\nprint('imported')\ndef f(): return 1"
    bench.keep_tasks(shy=source)
    reports = bench.run_many({"kind": "function", "function": "shy.f"}, [{}] * 4, served=True)
    assert [each["result"] for each in reports] == ["1"] * 4
    assert [each["stdout"]["text"] for each in reports] == ["imported\n"] + [""] * 3
    assert bench.answer["served"] == 0


@pytest.mark.parametrize("refusal", ["missing", "forbidden"])
def test_without_pidfd_open_members_are_run_without_a_server(bench: Bench, refusal: str) -> None:
    """Linux before 5.3, and some containers."""
    takes_it = {
        "missing": "del os.pidfd_open",
        "forbidden": "def no(pid): raise PermissionError(1, 'Operation not permitted')\n"
        "    os.pidfd_open = no",
    }
    source = f"import os, sys\nif sys.argv[0] == '-c':\n    {takes_it[refusal]}\ndef f(): return 1"
    bench.keep_tasks(old=source)
    reports = bench.run_many({"kind": "function", "function": "old.f"}, [{}] * 4, served=True)
    assert [each["result"] for each in reports] == ["1"] * 4
    assert bench.answer["served"] == 0


def test_ends_are_told_while_a_server_starts(bench: Bench) -> None:
    source = (
        "import sys, time\nif sys.argv[0] == '-c': time.sleep(1.5)\n"
        "began = time.time()\ndef f(): return began"
    )
    bench.keep_tasks(slow=source)
    reports = bench.run_many({"kind": "function", "function": "slow.f"}, [{}] * 2, served=True)
    assert bench.answer["served"] == 1
    ready_at = json.loads(reports[1]["result"])
    told = zip(bench.answer["told"], bench.answer["told_at"], strict=True)
    first_at = min(at for each, at in told if each["ended"])
    assert first_at < ready_at - 0.5


def test_a_server_that_cannot_even_begin_is_done_without(bench: Bench) -> None:
    """It ends with our setup unread, which resets the connection."""
    spec = {"kind": "function", "function": "things.act"}
    program = "import time; time.sleep(0.2)"
    reports = bench.run_many(spec, [{}] * 3, served=True, program=program)
    assert [each["outcome"] for each in reports] == ["succeeded"] * 3
    assert bench.answer["served"] == 0


def test_a_cancelled_bundle_ends_the_member_and_the_server(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.act"}
    deeds = [{}, {"what": "linger", "mark": bench.mark}, {}]
    process = bench.start(bench.bundle(spec, deeds), served=True)
    until(bench.survivors)
    process.terminate()
    started = time.monotonic()
    [final] = bench.finish(process)["finals"]
    assert time.monotonic() - started < 2
    assert [each["outcome"] for each in final["ended"]] == ["succeeded", "cancelled"]
    assert final["not_started"] == [102]


def test_nothing_survives_a_killed_runner(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.act"}
    deeds = [{}, {"what": "linger", "mark": bench.mark}]
    process = bench.start(bench.bundle(spec, deeds), served=True)
    until(bench.survivors)
    process.kill()
    process.communicate()
    until(lambda: not bench.survivors())

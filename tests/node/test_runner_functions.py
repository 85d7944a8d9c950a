"""Functions from the tasks zip, forked and in the runner's own process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.node.bench import Bench, until

TASKS = """
from __future__ import annotations
import os, signal, subprocess, sys, time
from dataclasses import dataclass
from pathlib import Path

print("imported")
count = 0

def nothing():
    pass

def add(a, b=1):
    print("adding", a, b)
    print("to the side", file=sys.stderr)
    return {"sum": a + b}

def counted():
    global count
    count += 1
    return [count, os.getpid()]

def fail(message="no such pixel"):
    inner(message)

def inner(message):
    raise ValueError(message)

class Rude(Exception):
    def __str__(self):
        raise RuntimeError

def rude():
    raise Rude

def give(what):
    return {"set": {1}, "nan": float("nan"), "object": Rude, "bytes": [b"x"],
            "inf": [float("inf")]}[what]

def names():
    whole = os.fsdecode("caf\\u00e9 \\U0001F600".encode())
    return {os.fsdecode(b"caf\\xe9"): [os.fsdecode(b"caf\\xe9"), whole, r"\\ud83d"]}

def nest(depth):
    found = []
    for _ in range(depth - 1):
        found = [found]
    return found

def loop():
    a = []
    a.append(a)
    return a

def big(size):
    return "x" * size

def leave(how):
    {"int": lambda: sys.exit(3), "text": lambda: sys.exit("enough"), "zero": lambda: sys.exit(0),
     "none": sys.exit, "now": lambda: os._exit(0), "now5": lambda: os._exit(5),
     "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV)}[how]()

def size(image: Path, label="x"):
    return [type(image).__name__, len(image.read_bytes()), image.is_absolute(), label]

def nap(seconds):
    try:
        time.sleep(seconds)
    except Exception:
        pass

def stubborn():
    while True:
        try:
            time.sleep(100)
        except BaseException:
            if time.monotonic() > until[0]:
                raise
until = [time.monotonic() + 1]

def hog():
    return len(bytearray(300 << 20))

def hold(mb):
    return len(bytearray(mb << 20))

def spawn(mark):
    subprocess.Popen(["setsid", "sh", "-c", f"sleep 1000; : {mark}"])

def linger(mark):
    spawn(mark)
    time.sleep(50)

def env(name):
    return [os.environ.get(name), os.environ.get("DISPYCLUSTER_ATTEMPT"), os.getcwd()]

def write(name):
    Path(name).write_text("hello")

def interrupt():
    raise KeyboardInterrupt

not_callable = 3
"""
BOTH = pytest.mark.parametrize("isolation", ["fork", "shared"])
ALL = pytest.mark.parametrize("isolation", ["fork", "served", "shared"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.keep_tasks(things=TASKS, broken="import no_such_thing", wrong="def f(:\n")
    return bench


@BOTH
def test_a_function_is_called_and_its_value_is_the_result(bench: Bench, isolation: str) -> None:
    report = bench.call("things.add", {"a": 4}, isolation=isolation)
    assert (report["outcome"], report["error"]) == ("succeeded", "")
    assert json.loads(report["result"]) == {"sum": 5}
    assert report["stdout"]["text"] == "imported\nadding 4 1\n"
    assert report["stderr"]["text"] == "to the side\n"
    assert report["exit_code"] is None
    assert bench.call("things.nothing", isolation=isolation)["result"] == "null"


@ALL
def test_an_exception_is_told_from_the_users_frames_on(bench: Bench, isolation: str) -> None:
    report = bench.call("things.fail", isolation=isolation)
    assert (report["outcome"], report["exit_code"]) == ("failed", None)
    assert report["error"] == "ValueError: no such pixel"
    assert report["error_type"] == "ValueError"
    assert 'File "tasks/things.py", line ' in report["traceback"]
    assert "raise ValueError(message)" in report["traceback"]
    assert "functions.py" not in report["traceback"]
    assert str(bench.files) not in report["traceback"]


@ALL
@pytest.mark.parametrize(
    ("function", "args", "error_type", "error"),
    [
        ("things.add", {}, "TypeError", "add() missing 1 required positional argument: 'a'"),
        ("things.rude", {}, "Rude", "Rude"),
        ("things.fail", {"message": "x" * 50_000}, "ValueError", "xxx…"),
        ("things.interrupt", {}, "KeyboardInterrupt", "KeyboardInterrupt"),
        ("things.give", {"what": "set"}, "result_not_json", "set"),
        ("things.give", {"what": "nan"}, "result_not_json", "float"),
        ("things.give", {"what": "inf"}, "result_not_json", "list"),
        ("things.nest", {"depth": 201}, "result_not_json", "more than 200 deep"),
        ("things.nest", {"depth": 990}, "result_not_json", "more than 200 deep"),
        ("things.give", {"what": "object"}, "result_not_json", "type"),
        ("things.give", {"what": "bytes"}, "result_not_json", "Object of type bytes"),
        ("things.loop", {}, "result_not_json", "Circular"),
        ("things.big", {"size": 1_000_000}, "result_too_large", "1,000,002 bytes"),
        ("nothing.add", {}, "unknown_function", "no module 'nothing' in tasks"),
        ("things.subtract", {}, "unknown_function", "no function 'subtract' in tasks/things.py"),
        ("things.not_callable", {}, "unknown_function", "no function 'not_callable'"),
        ("os.system", {}, "unknown_function", "rename it"),
        ("node.runner.run_bundle", {}, "unknown_function", "another module"),
        ("add", {}, "unknown_function", "module.function"),
        ("broken.f", {}, "ModuleNotFoundError", "No module named 'no_such_thing'"),
        ("wrong.f", {}, "SyntaxError", "invalid syntax"),
    ],
)
def test_what_can_go_wrong_is_said_in_words(
    bench: Bench, isolation: str, function: str, args: Any, error_type: str, error: str
) -> None:
    report = bench.call(function, args, isolation=isolation)
    assert (report["outcome"], report["error_type"]) == ("failed", error_type)
    assert error in report["error"]
    assert report["result"] is None
    assert len(report["error"]) < 1_100
    assert len(report["traceback"]) <= 16_000


@ALL
def test_a_file_name_that_is_no_text_does_not_cost_the_result(bench: Bench, isolation: str) -> None:
    report = bench.call("things.names", {}, isolation=isolation)
    assert (report["outcome"], report["error"]) == ("succeeded", "")
    assert json.loads(report["result"]) == {"caf�": ["caf�", "café 😀", r"\ud83d"]}
    report = bench.call("things.nest", {"depth": 200}, isolation=isolation)
    assert report["result"] == "[" * 200 + "]" * 200


@ALL
@pytest.mark.parametrize(
    ("how", "outcome", "exit_code", "error"),
    [
        ("int", "failed", 3, "exited with status 3"),
        ("text", "failed", 1, "exited with status 1: enough"),
        ("zero", "succeeded", 0, ""),
        ("none", "succeeded", 0, ""),
    ],
)
def test_sys_exit_means_what_it_means(
    bench: Bench, isolation: str, how: str, outcome: str, exit_code: int, error: str
) -> None:
    report = bench.call("things.leave", {"how": how}, isolation=isolation)
    assert (report["outcome"], report["exit_code"]) == (outcome, exit_code)
    assert report["error"] == error


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("now", "its process exited with status 0 without returning a value"),
        ("now5", "its process exited with status 5 without returning a value"),
        ("segv", "killed by SIGSEGV"),
    ],
)
def test_a_process_that_vanishes_is_a_failure(bench: Bench, how: str, error: str) -> None:
    report = bench.call("things.leave", {"how": how})
    assert (report["outcome"], report["error"]) == ("failed", error)


@ALL
def test_a_path_parameter_gets_the_file_in_scratch(bench: Bench, isolation: str) -> None:
    files = {"in/a.png": bench.keep(b"12345")}
    args = {"image": "in/a.png", "label": "in/a.png"}
    report = bench.call("things.size", args, files=files, isolation=isolation)
    assert json.loads(report["result"]) == ["PosixPath", 5, True, "in/a.png"]


@BOTH
def test_a_function_whose_time_is_up_has_timed_out(bench: Bench, isolation: str) -> None:
    spec: dict[str, Any] = {"kind": "function", "function": "things.nap", "isolation": isolation}
    spec["timeout_seconds"] = 0.2
    slow, quick = bench.run_many(spec, [{"seconds": 50}, {"seconds": 0.01}])
    assert (slow["outcome"], slow["error_type"]) == ("timed_out", "timeout")
    assert slow["error"] == "ran longer than its limit of 0.2 seconds"
    assert 0.2 <= slow["run_seconds"] < 1
    assert quick["outcome"] == "succeeded"


def test_a_shared_function_that_swallows_the_interruption_gets_another(bench: Bench) -> None:
    report = bench.call("things.stubborn", isolation="shared", timeout_seconds=0.1)
    assert report["outcome"] == "timed_out"


def test_memory_beyond_the_limit_fails_with_a_hint(bench: Bench) -> None:
    report = bench.call("things.hog", memory_mb=100)
    assert report["error"] == "MemoryError (its memory limit is 100 MB)"
    assert bench.call("things.hold", {"mb": 60}, memory_mb=100)["outcome"] == "succeeded"


@ALL
def test_what_a_function_starts_does_not_survive_it(bench: Bench, isolation: str) -> None:
    report = bench.call("things.spawn", {"mark": bench.mark}, isolation=isolation)
    assert (report["outcome"], report["error"]) == ("succeeded", "")


@BOTH
def test_a_function_sees_its_own_environment(bench: Bench, isolation: str) -> None:
    spec = {"kind": "function", "function": "things.env", "isolation": isolation}
    bundle = bench.bundle({**spec, "env": {"MY": "one"}}, [{"name": "MY"}, {"name": "SECRET"}])
    bundle["specs"]["13"] = {**spec, "env": {"MY": "two"}}
    last = {"attempt": 5, "spec": "13", "args": {"name": "MY"}, "job": 1, "number": 4}
    bundle["members"].append(last)
    [final] = bench.run_bundles(bundle, SECRET="do not tell")
    seen = [json.loads(report["result"])[:2] for report in final["ended"]]
    assert seen == [["one", "2"], [None, "2"], ["two", "4"]]


def test_a_shared_function_with_outputs_works_in_scratch(bench: Bench) -> None:
    report = bench.call("things.write", {"name": "a.txt"}, isolation="shared", outputs=["*.txt"])
    assert [(each["name"], each["size"]) for each in report["artifacts"]] == [("a.txt", 5)]


def test_forked_members_do_not_share_state_but_shared_ones_do(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.counted"}
    forked = [json.loads(each["result"]) for each in bench.run_many(spec, [{}] * 3)]
    assert [count for count, _ in forked] == [1, 1, 1]
    assert len({pid for _, pid in forked}) == 3
    shared = bench.run_many({**spec, "isolation": "shared"}, [{}] * 3)
    assert [json.loads(each["result"])[0] for each in shared] == [1, 2, 3]


def test_a_module_is_imported_once_for_all_forked_members_after_the_first(bench: Bench) -> None:
    slow = "import time\ntime.sleep(0.2)\nprint('imported')\ndef f(): pass\n"
    bench.keep_tasks(slow=slow)
    reports = bench.run_many({"kind": "function", "function": "slow.f"}, [{}] * 10)
    assert [each["stdout"]["text"] for each in reports] == ["imported\n"] + [""] * 9
    assert bench.answer["seconds"][0] < 1.9


@pytest.mark.parametrize("first", ["fork", "shared"])
def test_forked_members_have_what_their_module_opened_at_import(bench: Bench, first: str) -> None:
    source = """
import os, tempfile
log = tempfile.TemporaryFile()
log.write(b"opened at import")
log.flush()
def f():
    held = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd < 64]
    return [os.pread(log.fileno(), 100, 0).decode(), len(held)]
"""
    bench.keep_tasks(keeper=source)
    spec = {"kind": "function", "function": "keeper.f"}
    bundle = bench.bundle({**spec, "isolation": first}, [{}] * 4)
    bundle["specs"]["13"] = spec
    for member in bundle["members"][1:]:
        member["spec"] = "13"
    [final] = bench.run_bundles(bundle)
    told = [json.loads(each["result"]) for each in final["ended"]]
    assert [text for text, _ in told] == ["opened at import"] * 4
    # The standard three, the note, the log, the listing: nothing of the runner's.
    assert all(held <= 6 for _, held in told[1:])


def test_a_module_never_sees_the_runners_environment(bench: Bench) -> None:
    bench.keep_tasks(spy="import os\nseen = dict(os.environ)\ndef f(): return seen")
    for isolation in ("fork", "shared"):
        spec = {"kind": "function", "function": "spy.f", "isolation": isolation}
        reports = bench.run_many(spec, [{}] * 3, SECRET="do not tell")
        assert [each["outcome"] for each in reports] == ["succeeded"] * 3
        assert "do not tell" not in json.dumps(reports)


def test_a_module_that_crashes_when_imported_fails_its_members_only(bench: Bench) -> None:
    bench.keep_tasks(crash="import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    reports = bench.run_many({"kind": "function", "function": "crash.f"}, [{}] * 2)
    assert [each["signal"] for each in reports] == ["SIGSEGV", "SIGSEGV"]


@BOTH
def test_a_changed_zip_gives_the_new_code(bench: Bench, isolation: str) -> None:
    spec = {"kind": "function", "function": "one.f", "isolation": isolation}
    bundles = []
    for value in (1, 2, 1):
        bench.keep_tasks(one="import two\ndef f(): return two.value", two=f"value = {value}")
        bundles.append(bench.bundle(spec, [{}, {}]))
    finals = bench.run_bundles(*bundles)
    assert [[each["result"] for each in f["ended"]] for f in finals] == [
        ["1"] * 2,
        ["2"] * 2,
        ["1"] * 2,
    ]


def test_a_missing_or_damaged_zip_is_a_missing_file(bench: Bench) -> None:
    assert bench.tasks
    (bench.files / bench.tasks.replace(":", "-")).write_bytes(b"PK")
    report = bench.call("things.nothing")
    assert (report["outcome"], report["error_type"]) == ("failed", "missing_file")
    assert report["error"] == "the file of functions is damaged on this node"


def test_random_numbers_differ_between_forked_members(bench: Bench) -> None:
    bench.keep_tasks(dice="import random\ndef f(): return random.random()")
    reports = bench.run_many({"kind": "function", "function": "dice.f"}, [{}] * 5)
    assert len({each["result"] for each in reports}) == 5


def test_numpys_random_numbers_differ_too(bench: Bench) -> None:
    random = "import os\nstate = 0\ndef seed():\n    global state\n    state = os.urandom(8).hex()"
    modules = {"numpy/__init__": "", "numpy/random": random}  # stands in for the real one
    bench.keep_tasks(dice="import numpy.random as r\ndef f(): return r.state", **modules)
    reports = bench.run_many({"kind": "function", "function": "dice.f"}, [{}] * 4)
    assert len({each["result"] for each in reports} | {"0"}) == 5


def test_many_tiny_shared_members_cost_next_to_nothing(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.nothing", "isolation": "shared"}
    reports = bench.run_many(spec, [{}] * 1000)
    assert {each["outcome"] for each in reports} == {"succeeded"}
    assert bench.answer["seconds"][0] < 2  # 0.03 when idle; a fork each takes 3 or more


def test_a_cancelled_shared_function_is_interrupted(bench: Bench) -> None:
    spec = {"kind": "function", "function": "things.nap", "isolation": "shared"}
    bundle = bench.bundle(spec, [{"seconds": 0}, {"mark": bench.mark}, {"seconds": 0}])
    bundle["specs"]["13"] = {**spec, "function": "things.linger"}
    bundle["members"][1]["spec"] = "13"
    process = bench.start(bundle)
    until(bench.survivors)
    process.terminate()
    started = time.monotonic()
    [final] = bench.finish(process)["finals"]
    assert time.monotonic() - started < 1
    assert [each["outcome"] for each in final["ended"]] == ["succeeded", "cancelled"]
    assert final["not_started"] == [102]

"""The memory that a job asked for is all that it gets, whatever kind it is."""

import sys
from pathlib import Path

import pytest

from tests.node.bench import Bench

MODULE = """
import resource

def limit():
    return resource.getrlimit(resource.RLIMIT_AS)[0]

def hog(mb):
    return len(bytearray(mb << 20))
"""
HOG = "x = bytearray(300 << 20)"
LIMIT = 200
BYTES = LIMIT << 20


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.keep_tasks(greedy=MODULE)
    return made


@pytest.mark.parametrize("command", ["ulimit -v", ["sh", "-c", "ulimit -v"]])
def test_a_command_has_the_limit(bench: Bench, command: str | list[str]) -> None:
    report = bench.run(kind="command", command=command, memory_mb=LIMIT)
    assert report["stdout"]["text"] == f"{BYTES // 1024}\n"
    report = bench.run(kind="command", command=command)
    assert report["stdout"]["text"] == "unlimited\n"


def test_a_script_has_the_limit(bench: Bench) -> None:
    source = "import resource; print(resource.getrlimit(resource.RLIMIT_AS))"
    report = bench.run(kind="script", source=source, memory_mb=LIMIT)
    assert report["stdout"]["text"] == f"({BYTES}, {BYTES})\n"  # it cannot raise it again


def test_a_forked_function_has_the_limit_on_top_of_what_its_runner_has(bench: Bench) -> None:
    report = bench.call("greedy.limit", memory_mb=LIMIT)
    assert BYTES < int(report["result"]) < BYTES + (1 << 30)


def test_a_command_beyond_the_limit_fails(bench: Bench) -> None:
    command = [sys.executable, "-c", HOG]
    report = bench.run(kind="command", command=command, memory_mb=LIMIT)
    assert (report["outcome"], report["exit_code"]) == ("failed", 1)
    assert "MemoryError" in report["error"]
    assert bench.run(kind="command", command=command)["outcome"] == "succeeded"


def test_a_command_that_does_not_bear_it_is_told_of_the_limit(bench: Bench) -> None:
    text = f"import os\ntry:\n    {HOG}\nexcept MemoryError:\n    os.abort()"
    report = bench.run(kind="command", command=[sys.executable, "-c", text], memory_mb=LIMIT)
    assert report["error"] == "killed by SIGABRT; it may have reached its memory limit of 200 MB"


def test_a_forked_function_beyond_the_limit_is_told_of_it(bench: Bench) -> None:
    report = bench.call("greedy.hog", {"mb": 300}, memory_mb=LIMIT)
    assert report["error"] == "MemoryError (its memory limit is 200 MB)"
    assert bench.call("greedy.hog", {"mb": 100}, memory_mb=LIMIT)["outcome"] == "succeeded"

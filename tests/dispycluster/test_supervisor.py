"""The supervisor with small programs of its own kind: shell lines."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTER = """
import os, sys
from dispycluster.supervisor import Program, Supervisor
pairs = [word.split("=", 1) for word in sys.argv[1:]]
Supervisor([Program(name, ["sh", "-c", line], os.environ, 1.0) for name, line in pairs]).run()
"""


class Run:
    """A supervisor in a process of its own, and what it has printed."""

    def __init__(self, folder: Path, **lines: str) -> None:
        self.log = folder / "log"
        words = [f"{name}={line}" for name, line in lines.items()]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STARTER, *words],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The tests themselves may run under nohup.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )

    def text(self) -> str:
        return self.log.read_text()

    def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def start(**lines: str) -> Run:
        started.append(Run(tmp_path, **lines))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def alive(mark: str) -> list[int]:
    """The processes whose command line has the mark, the supervisor itself aside."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and mark in " ".join(process.info["cmdline"] or [])
        and STARTER not in process.info["cmdline"]
    ]


def test_lines_carry_the_name_and_a_partial_last_line_is_not_lost(
    runs: Callable[..., Run],
) -> None:
    run = runs(web="echo one; printf two; exec sleep 600", node="echo three >&2; exec sleep 600")
    run.until(lambda: "web  | one" in run.text() and "node | three" in run.text())
    assert run.stop() == 0
    assert "web  | two" in run.text()


def test_a_program_that_ends_is_started_again_with_a_growing_pause(
    runs: Callable[..., Run],
) -> None:
    run = runs(web="exit 3", node="kill -9 $$")
    run.until(lambda: "web ended (status 3); starting it again in 2 s" in run.text())
    run.until(lambda: "node ended (SIGKILL); starting it again in 1 s" in run.text())
    assert run.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_goes_in_order_and_leaves_nothing(runs: Callable[..., Run], number: int) -> None:
    mark = f"9{os.getpid()}{int(number)}"
    run = runs(
        web=f"sleep {mark}1 & wait",
        monitor=f"setsid sleep {mark}2 & setsid sleep {mark}3",  # escapes from its group
        node=f"trap '' TERM; echo deaf; sleep {mark}4; sleep {mark}5",
    )
    run.until(lambda: len(alive(f"sleep {mark}")) >= 4 and "deaf" in run.text())
    assert run.stop(number) == 0
    assert alive(f"sleep {mark}") == []
    text = run.text()
    assert (
        text.index("stopping web")
        < text.index("stopping monitor")
        < text.index("stopping node")
        < text.index("node did not stop in time and is killed")
    )


def test_a_killed_supervisor_takes_its_programs_along(runs: Callable[..., Run]) -> None:
    mark = f"8{os.getpid()}"
    run = runs(web=f"exec sleep {mark}1", node=f"trap '' TERM INT HUP; exec sleep {mark}2")
    run.until(lambda: len(alive(f"sleep {mark}")) == 2)
    run.stop(signal.SIGKILL)
    run.until(lambda: alive(f"sleep {mark}") == [])


def test_a_second_signal_ends_the_waiting(runs: Callable[..., Run]) -> None:
    run = runs(web="trap '' TERM; echo deaf; while :; do sleep 0.1; done", node="sleep 600")
    run.until(lambda: "deaf" in run.text())
    run.process.terminate()
    run.until(lambda: "stopping web" in run.text())
    run.process.terminate()
    assert run.process.wait(10) == 0

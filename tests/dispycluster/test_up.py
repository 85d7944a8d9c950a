"""`manage.py up` as a user starts it: real processes, real ports."""

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.dispycluster.stack import Stack

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("stack")]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "home")
    yield stack
    stack.clear()


def pid(process: psutil.Process | None) -> int:
    assert process
    return process.pid


def test_first_start_restart_of_the_killed_stop_and_second_start(stack: Stack) -> None:
    stack.up()
    assert stack.answers()
    secrets = stack.home / "secrets"
    password = (secrets / "admin_password").read_text().strip()
    assert f"Sign in as admin; the password is {password} " in stack.text()
    assert f"http://127.0.0.1:{stack.port}" in stack.text()
    for file in [*secrets.iterdir(), stack.home / "dispycluster.sqlite3"]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(stack.home.stat().st_mode) == 0o700

    for mark in ("gunicorn", "node.agent", "monitor$", "dispatcher$"):
        stack.until(lambda mark=mark: stack.child(mark))  # type: ignore[misc]
        before = pid(stack.child(mark))
        os.kill(before, signal.SIGKILL)
        stack.until(lambda: (now := stack.child(mark)) and now.pid != before)  # noqa: B023
    stack.until(stack.answers)
    assert "web ended (SIGKILL); starting it again in 0.5 s" in stack.text()

    assert stack.stop() == 0
    assert stack.processes() == []

    started = time.monotonic()
    stack.up()
    assert time.monotonic() - started < 20
    assert password not in stack.text()
    assert f"the password is in {secrets / 'admin_password'}" in stack.text()
    assert (secrets / "admin_password").read_text().strip() == password
    assert stack.stop(signal.SIGINT) == 0
    assert stack.processes() == []


def test_kill_9_leaves_nothing_and_the_next_start_works(stack: Stack) -> None:
    stack.up()
    stack.stop(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while stack.processes():
        assert time.monotonic() < deadline, stack.processes()
        time.sleep(0.05)
    stack.up()
    assert stack.answers()
    assert stack.stop() == 0


def test_a_second_start_on_the_same_home_and_a_taken_port_are_refused(stack: Stack) -> None:
    stack.up()
    again = stack.manage("up")
    assert again.returncode == 1
    assert again.stderr.strip() == (
        f"DispyCluster is already running on {stack.home} (process {stack.starts[-1].pid}). "
        "For a second copy set DISPYCLUSTER_HOME, PORT and DISPY_PORT."
    )
    other = Stack(stack.home.with_name("other"))
    other.env["PORT"] = str(stack.port)
    refused = other.manage("up")
    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"Port {stack.port} on 127.0.0.1 is taken by another program; choose another one with "
        f"PORT, for example PORT={stack.port + 10}."
    )
    assert stack.stop() == 0


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("PORT", "eighty", "PORT must be a number, not 'eighty'\n"),
        ("DATABASE_URL", "x", "DATABASE_URL must begin with postgres:// or sqlite:///\n"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_sentence(
    stack: Stack, name: str, text: str, sentence: str
) -> None:
    stack.env[name] = text
    refused = stack.manage("up")
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", sentence)


def test_the_demonstration_starts_all_gets_pi_right_and_leaves_nothing(stack: Stack) -> None:
    done = stack.manage("demo", "--exit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "500 of 500 done" in done.stdout
    assert "π ≈ 3.14" in done.stdout and "500 jobs in" in done.stdout
    assert stack.processes() == []

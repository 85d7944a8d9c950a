"""What makes two failures one."""

import time

import pytest

from jobs.fingerprint import LENGTH, MOST_TITLE, cause, normal

TRACEBACK = """Traceback (most recent call last):
  File "tasks/montecarlo.py", line {line}, in pi
    return json.loads(text)
  File "/usr/lib/python3.11/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
ValueError: bad value {value}
"""


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("ValueError: bad value 12 in 'x y' at 0x7fff", "ValueError: bad value … in … at …"),
        ("exited with status 3: cat: /tmp/a/b: gone", "exited with status 3: cat: …: gone"),
        ("exited with status 2", "exited with status 2"),
        ("I/O error and/or no, [1, 2, 3] in data/in.png", "I/O error and/or no, […] in …"),
        ("can't open file 'x' isn't", "can't open file … isn't"),
        ("at 2026-03-01T10:00:00.5Z, 10:22 and 2026-03-01", "at … and …"),
        ("job 7c9e6679-7425-40de-944b-e07fc1f90ae7 of d41d8cd98f00b204", "job … of …"),
        ("get https://host:80/a?b=1#c failed", "get … failed"),
        (r"C:\data\x.txt is gone", "… is gone"),
        ("first line\nsecond 2", "first line"),
        ("killed by SIGSEGV", "killed by SIGSEGV"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_changes_each_time_is_left_out(message: str, kept: str) -> None:
    assert normal(message) == kept


def test_the_same_failure_has_one_fingerprint_whatever_its_numbers_and_lines() -> None:
    one, other = (
        cause("failed", "ValueError", f"ValueError: bad value {n}", text)
        for n in (3, 44)
        for text in [TRACEBACK.format(line=n, value=n)]
    )  # fmt: skip
    assert one == other
    assert one.title == "ValueError: bad value … (montecarlo.py, pi)"
    assert len(one.digest) == LENGTH


def test_another_function_type_status_or_outcome_is_another_failure() -> None:
    text = TRACEBACK.format(line=1, value=2)
    found = {
        cause(*told).digest
        for told in [
            ("failed", "ValueError", "ValueError: 1", text),
            ("failed", "ValueError", "ValueError: 1", text.replace("in pi", "in e")),
            ("failed", "KeyError", "ValueError: 1", text),
            ("failed", "exit", "exited with status 1", ""),
            ("failed", "exit", "exited with status 2", ""),
            ("failed", "signal", "killed by SIGSEGV", ""),
            ("failed", "signal", "killed by SIGKILL", ""),
            ("timed_out", "timeout", "ran longer than its limit of 60 seconds", ""),
            ("lost", "", "node lost: its pulses stopped", ""),
            ("lost", "", "the runner died without an answer", ""),
        ]
    }
    assert len(found) == 10


def test_time_outs_and_losses_go_by_their_kind() -> None:
    assert cause("timed_out", "timeout", "ran longer than its limit of 60 seconds", "") == cause(
        "timed_out", "timeout", "ran longer than its limit of 1 seconds", ""
    )
    assert cause("lost", "", "node lost: its pulses stopped", "").title == (
        "lost: its pulses stopped"
    )
    assert cause("failed", "", "", "").title == "failed"


@pytest.mark.parametrize(
    "evil",
    ["'a " * 7000, "/" * 20000, "a/" * 10000, "1:1" * 7000, "1." * 10000, "f" * 20000,
     'File "' * 3000, ' File "a", line 1, in x\n' * 900, "\n" * 20000, " " * 20000, "aa://" * 4000,
     "\ud800" * 20000, '  File "' + "a" * 19000],
)  # fmt: skip
def test_hostile_text_takes_no_time_and_makes_a_short_title(evil: str) -> None:
    started = time.process_time()
    found = cause("failed", "E" * 100, evil, evil)
    assert time.process_time() - started < 0.1
    assert len(found.title) <= MOST_TITLE

"""Descriptors: which are closed in a child, and which are still what they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.process import open_files, still_open

ROOT = Path(__file__).parents[2]
CLOSES = """
import json, os, sys
from node import process
if sys.argv[1] == "listing":
    process._close_range = None
for fd in (3, 4, 5, 6, 9, 20):
    os.dup2(0, fd)
process.close_all_but(json.loads(sys.argv[2]))
left = [fd for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps(left))
"""


@pytest.mark.parametrize("way", ["close_range", "listing"])
@pytest.mark.parametrize("keep", [[], [3], [20], [4, 5, 9], [9, 4, 4, 2], [3, 4, 5, 6, 9, 20]])
def test_all_descriptors_but_those_are_closed(way: str, keep: list[int]) -> None:
    argv: list[Any] = [sys.executable, "-c", CLOSES, way, json.dumps(keep)]
    left = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    assert json.loads(left) == sorted({0, 1, 2, *keep})


def test_a_number_that_another_file_took_is_not_still_open(tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    before = open_files()
    one = os.open(tmp_path / "one", os.O_RDONLY)
    opened = dict(open_files().items() - before.items())
    assert still_open(opened) == [one]
    two = os.open(tmp_path / "two", os.O_RDONLY)
    os.dup2(two, one)
    assert still_open(opened) == []
    os.close(one)
    assert still_open(opened) == []
    os.close(two)

"""The suite runs one test for each fault; `python -m tests.faults` runs them all."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ELSEWHERE = {"f21"}  # tests/live/test_hostile.py is its short version


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("DISPYCLUSTER_FAULTS") == "all":
        return
    seen, kept, left_out = set(ELSEWHERE), [], []
    for item in items:
        fault = item.name.removeprefix("test_")[:3]
        if item.path.is_relative_to(HERE) and fault in seen:
            left_out.append(item)
            continue
        if item.path.is_relative_to(HERE):
            seen.add(fault)
        kept.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from jobs import catalog, files


@pytest.fixture
def tasks(tmp_path: Path, settings: Any) -> Path:
    settings.TASKS = tmp_path
    return tmp_path


def test_functions_are_read_without_being_run(tasks: Path) -> None:
    (tasks / "demo.py").write_text(
        'raise SystemExit("imported!")\n'
        'def add(a: int, b: float = 1.5, *, c=None, **rest) -> int:\n    """Add."""\n'
        "def _private(): ...\n"
    )
    (tasks / "broken.py").write_text("def oops(:\n")
    [add] = catalog.functions()
    assert (add.name, add.doc, add.takes_any) == ("demo.add", "Add.", True)
    described = [(p.name, p.annotation, p.default, p.required) for p in add.parameters]
    assert described == [
        ("a", "int", "", True), ("b", "float", "1.5", False), ("c", "", "None", False),
    ]  # fmt: skip


def test_a_new_file_is_seen_at_once(tasks: Path) -> None:
    assert catalog.functions() == []
    (tasks / "new.py").write_text("def f(): ...")
    assert catalog.find("new.f")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"a": 1}, None),
        ({"a": 1, "b": 2}, None),
        ({}, "needs a"),
        ({"a": "1"}, "a must be int"),
        ({"a": True}, "a must be int"),
        ({"a": 1, "z": 2}, "takes no z"),
    ],
)
def test_arguments_are_checked(tasks: Path, args: dict[str, Any], complaint: str | None) -> None:
    (tasks / "demo.py").write_text("def f(a: int, b: float = 1.0): ...")
    function = catalog.find("demo.f")
    assert function
    said = catalog.complaint(function, args)
    assert said is None if complaint is None else complaint in (said or "")


def test_the_archive_changes_with_the_sources_and_only_then(tasks: Path) -> None:
    (tasks / "a.py").write_text("x = 1\n")
    first = catalog.archive()
    assert catalog.archive() == first
    (tasks / "a.py").write_text("x = 22\n")
    second = catalog.archive()
    assert second != first
    with ZipFile(files.path(second)) as bundle:
        assert bundle.read("a.py") == b"x = 22\n"

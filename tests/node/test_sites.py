"""What packages have installed into Python's start, the fork server's members have, too."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

from node import sites
from tests.node.bench import Bench

# As an editable install does: a .pth file that imports a module, and that installs a finder.
FINDER = """
import importlib.util, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "elsewhere":
            return importlib.util.spec_from_file_location(name, {place!r})
sys.meta_path.append(Finder())
"""


@pytest.mark.parametrize("how", ["pth", "sitecustomize"])
def test_served_members_import_what_an_editable_install_finds(tmp_path: Path, how: str) -> None:
    venv.create(tmp_path / "venv")
    [site_packages] = tmp_path.glob("venv/lib/python*/site-packages")
    (tmp_path / "source.py").write_text("value = 5")
    finder = "sitecustomize" if how == "sitecustomize" else "a_finder"
    place = str(tmp_path / "source.py")
    (site_packages / f"{finder}.py").write_text(FINDER.format(place=place))
    if how == "pth":
        (site_packages / "a.pth").write_text("import a_finder\n")
    bench = Bench(tmp_path)
    bench.python = str(tmp_path / "venv/bin/python")
    bench.keep_tasks(late="def f():\n    import elsewhere\n    return elsewhere.value")
    reports = bench.run_many({"kind": "function", "function": "late.f"}, [{}] * 4, served=True)
    assert [(each["result"], each["error"]) for each in reports] == [("5", "")] * 4
    assert bench.answer["served"] == 3


@pytest.mark.parametrize(
    ("name", "text", "runs"),
    [
        ("a.pth", b"/opt/lib\n# import this\n", False),
        ("a.pth", b"/opt/lib\nimport this\n", True),
        ("a.pth", b"\xef\xbb\xbfimport\tthis", True),
        ("a.txt", b"import this\n", False),
        ("distutils-precedence.pth", b"import os; ...\n", sys.version_info >= (3, 12)),
    ],
)
def test_a_pth_file_runs_code_if_a_line_is_an_import(
    tmp_path: Path, name: str, text: bytes, runs: bool
) -> None:
    (tmp_path / name).write_bytes(text)
    assert sites.runs_code(str(tmp_path)) is runs


def test_a_site_folder_that_does_not_exist_runs_nothing(tmp_path: Path) -> None:
    assert not sites.runs_code(str(tmp_path / "none"))

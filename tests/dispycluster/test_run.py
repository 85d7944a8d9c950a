"""run.py in a copy of its own, with small requirements: nothing is fetched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANAGE = "import os, sys; print('handed over', *sys.argv[1:], os.getcwd(), os.environ.get('PORT'))"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder that looks like the project to run.py, without any requirement."""
    folder = tmp_path / "a copy"
    folder.mkdir()
    shutil.copy(ROOT / "run.py", folder)
    (folder / "manage.py").write_text(MANAGE)
    (folder / "requirements.txt").write_text("# nothing\n")
    return folder


def run(copy: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(copy / "run.py"), *arguments],
        cwd=copy.parent,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def test_the_first_start_makes_a_venv_and_the_second_only_hands_over(copy: Path) -> None:
    first = run(copy, PORT="1234")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [
        "Making .venv",
        "Installing the packages of requirements.txt into .venv (a minute or so the first time)",
        f"handed over up {copy.parent} 1234",
    ]
    assert run(copy).stdout.splitlines() == [f"handed over up {copy.parent} None"]
    again = run(copy, "demo", "--exit").stdout.splitlines()
    assert again == [f"handed over demo --exit {copy.parent} None"]


def test_changed_requirements_are_installed_and_a_failure_leaves_no_stamp(copy: Path) -> None:
    assert run(copy).returncode == 0
    (copy / "requirements.txt").write_text("# something else\n")
    assert "Installing" in run(copy).stdout
    (copy / "requirements.txt").write_text("./not-there\n")
    for _ in range(2):
        failed = run(copy)
        assert failed.returncode == 1
        assert "could not be installed; pip says why above." in failed.stderr
        assert "handed over" not in failed.stdout


@pytest.mark.parametrize("python", ["missing", "of another version"])
def test_a_broken_venv_or_one_of_another_python_is_made_anew(copy: Path, python: str) -> None:
    bin_folder = copy / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    if python == "missing":
        (bin_folder / "python").symlink_to("/nowhere/python")
    else:
        (bin_folder / "python").write_text("#!/bin/sh\necho 3 8\n")
        (bin_folder / "python").chmod(0o755)
    (copy / ".venv" / "requirements.txt.installed").write_text("whatever")
    answer = run(copy)
    assert answer.stdout.startswith("Making .venv anew for this Python\nInstalling")
    assert "handed over" in answer.stdout


@pytest.mark.parametrize("word", ["serve", "--port"])
def test_an_unknown_word_gets_the_usage_and_changes_nothing(copy: Path, word: str) -> None:
    refused = run(copy, word)
    assert refused.returncode == 2
    assert repr(word) in refused.stderr and "usage: python3 run.py" in refused.stderr
    assert not (copy / ".venv").exists()


def test_help_is_help(copy: Path) -> None:
    answer = run(copy, "--help")
    assert answer.returncode == 0 and answer.stdout.startswith("usage:")
    assert not (copy / ".venv").exists()


def test_a_python_without_ensurepip_is_told_what_to_install(copy: Path) -> None:
    hide = copy.parent / "hide"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'ensurepip' else find(name, *more)\n"
    )
    refused = run(copy, PYTHONPATH=str(hide))
    assert refused.returncode == 1
    assert "apt install python3-venv" in refused.stderr

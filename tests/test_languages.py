"""French says all that English says, and the compiled file is of the text beside it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRENCH = Path("locale/fr/LC_MESSAGES")
SOURCES = ("dispycluster", "node", "cluster", "jobs", "schedules", "monitoring", "tasks",
           "templates", "static", "locale", "manage.py")  # fmt: skip
WAYS = ("makemessages", "-l", "fr", "--no-location", "--no-obsolete", "--no-wrap")


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_text_has_its_french(copy: Path) -> None:
    run(sys.executable, "-m", "django", *WAYS, folder=copy)
    said = run("msgfmt", "--check", "--statistics", "-o", "new.mo", FRENCH / "django.po",
               folder=copy)  # fmt: skip
    assert "fuzzy" not in said and "untranslated" not in said, said


def test_texts_are_marked_by_names_that_the_extraction_knows() -> None:
    """Marked by another name, a text is never extracted, and nobody misses its French."""
    for package in SOURCES[:6]:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            names = re.findall(r"\bn?p?gettext\w* as (\w+)", text)
            assert set(names) <= {"_"}, path
            hidden = re.findall(r"\{(?:_|n?p?gettext(?:_lazy)?)\('", text)  # within an f-string
            assert not hidden, path


def test_the_compiled_french_is_of_today(copy: Path) -> None:
    def texts(file: str | Path) -> str:
        listed = run("msgunfmt", "--no-wrap", "--sort-output", file, folder=copy)
        return listed.split("\n\n", 1)[1]  # without the header and its dates

    run("msgfmt", "-o", "new.mo", FRENCH / "django.po", folder=copy)
    assert texts("new.mo") == texts(FRENCH / "django.mo")

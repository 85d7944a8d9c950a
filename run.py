#!/usr/bin/env python3
"""Start DispyCluster: `python3 run.py [up | demo | test]`. Needs nothing but Python 3.11 or newer.

Makes .venv beside this file, installs the pinned packages into it (again only when they
changed) and hands over to manage.py. Settings are environment variables: see README.md.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (it is for those who have an older one)
    sys.exit("DispyCluster needs Python 3.11 or newer; this is Python " + sys.version.split()[0])

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
USAGE = """usage: python3 run.py [up]             start everything and stay in the foreground
       python3 run.py demo [--exit]    run a real sweep, starting everything if need be
       python3 run.py test [ARGUMENT…] run all checks and tests (arguments go to pytest)"""


def main(arguments: list[str]) -> int:
    word, rest = (arguments[0], arguments[1:]) if arguments else ("up", [])
    if word in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if word not in ("up", "demo", "test"):
        print(f"run.py does not know {word!r}.\n{USAGE}", file=sys.stderr)
        return 2
    lock = os.open(ROOT, os.O_RDONLY)  # let go when we hand over: only one of us installs
    fcntl.flock(lock, fcntl.LOCK_EX)
    make_venv()
    install("requirements.txt")
    if word == "test":
        install("requirements-dev.txt")
        os.chdir(ROOT)
        hand_over(["-m", "tests.check", *rest])
    hand_over([str(ROOT / "manage.py"), word, *rest])
    return 1  # not reached


def make_venv() -> None:
    """Make .venv, or make it anew where it is broken or of another Python."""
    if venv_works():
        return
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        sys.exit(
            "This Python cannot make a virtual environment. On Debian, Ubuntu or Raspberry Pi OS: "
            "sudo apt install python3-venv"
        )
    say("Making .venv" if not VENV.exists() else "Making .venv anew for this Python")
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode:
        sys.exit("Making .venv failed; what went wrong is said above.")


def venv_works() -> bool:
    question = "import sys, pip; print(*sys.version_info[:2])"
    try:
        answer = subprocess.run([str(PYTHON), "-c", question], capture_output=True, text=True)
    except OSError:
        return False
    return answer.stdout.split() == [str(part) for part in sys.version_info[:2]]


def install(name: str) -> None:
    """Install a requirements file, unless this very text is what was installed last."""
    wanted = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
    stamp = VENV / f"{name}.installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"Installing the packages of {name} into .venv (a minute or so the first time)")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / name)]).returncode:
        sys.exit(f"The packages of {name} could not be installed; pip says why above.")
    stamp.write_text(wanted)


def hand_over(arguments: list[str]) -> None:
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

"""Every benchmark on both databases, written to docs/performance.md: `python -m benchmarks.all`.

Takes about an hour on two cores. `--only throughput latency` measures those alone and leaves the
others' part of the page as it is.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
PROGRAMS = (
    "throughput", "latency", "efficiency", "depth", "pages", "failing", "placement", "fleet",
    "idle", "soak",
)  # fmt: skip
VARIANTS = {"failing": ["pages", "--failing"]}  # of programs
WITHOUT_DATABASE = ("placement",)


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GB of memory, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def table(program: str, database: str) -> str:
    """What the program prints; raises where it refuses."""
    options = [] if program in WITHOUT_DATABASE else ["--database", database]
    name, *more = VARIANTS.get(program, [program])
    command = [sys.executable, "-m", f"benchmarks.{name}", *more, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"benchmarks.{program} {database}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def part(program: str, database: str) -> str:
    return f"<!-- {program} {database} -->"


def put(page: str, program: str, database: str, text: str) -> str:
    """The page with that table between its marks."""
    mark = part(program, database)
    if page.count(mark) != 2:
        raise SystemExit(f"{PAGE.name} has no place for it: write {mark} twice")
    between = re.compile(f"{re.escape(mark)}.*?{re.escape(mark)}", re.DOTALL)
    return between.sub(lambda _: f"{mark}\n{text}\n{mark}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    options = parser.parse_args()
    both = options.database == "both"
    for program in options.only:
        kinds = ["sqlite", "postgres"] if both else [options.database]
        for database in kinds[:1] if program in WITHOUT_DATABASE else kinds:
            print(f"{program} {database}", flush=True)
            text = table(program, database)
            page = put(PAGE.read_text(), program, database, f"{text}\n\nOn {machine()}.")
            PAGE.write_text(page)


if __name__ == "__main__":
    main()

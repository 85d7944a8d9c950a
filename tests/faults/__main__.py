"""The table of faults: `python -m tests.faults --runs 20 --database both --only F1,F5`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests import postgres

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="sqlite")
    parser.add_argument("--only", default="", help="for example F1,F5")
    options = parser.parse_args()
    databases = ["sqlite", "postgres"] if options.database == "both" else [options.database]
    lines: list[dict[str, Any]] = []
    failed: Counter[tuple[str, str]] = Counter()
    broken = False
    for database in databases:
        for number in range(options.runs):
            status, noted, names = on_database(database, options.only)
            lines += noted
            failed.update((fault_of(name), database) for name in names)
            broken = broken or status != 0
            print(
                f"{database}, run {number + 1} of {options.runs}: {len(names)} failed", flush=True
            )
            for name in names:
                print(f"  {name}", flush=True)
    print(table(lines, failed))
    return 1 if broken or failed or any(bad(line) for line in lines) else 0


def on_database(database: str, only: str) -> tuple[int, list[dict[str, Any]], list[str]]:
    if database == "sqlite":
        return run(only, "")
    with postgres.server() as url:
        return run(only, url)


def run(only: str, url: str) -> tuple[int, list[dict[str, Any]], list[str]]:
    """One run of the tests: its status, what they noted, the names of those that failed."""
    with tempfile.TemporaryDirectory(prefix="dispycluster-faults-") as folder:
        record = Path(folder) / "record"
        environment = {**os.environ, "DISPYCLUSTER_FAULTS_RECORD": str(record)}
        environment["DISPYCLUSTER_FAULTS"] = "all"
        environment.pop("DATABASE_URL", None)
        if url:
            environment["DATABASE_URL"] = url
        command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-n", "0", "--tb=short"]
        if only:
            wanted = [f"test_f{int(fault.strip().lstrip('Ff')):02}_" for fault in only.split(",")]
            command += ["-k", " or ".join(wanted)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        rows = record.read_text().splitlines() if record.exists() else []
    names = [
        line.split()[1]
        for line in done.stdout.splitlines()
        if line.startswith(("FAILED ", "ERROR ")) and len(line.split()) > 1
    ]
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return done.returncode, [json.loads(row) for row in rows], names


def fault_of(name: str) -> str:
    _, found, rest = name.partition("::test_f")
    return f"F{int(rest[:2])}" if found and rest[:2].isdigit() else "?"


def bad(line: dict[str, Any]) -> bool:
    return bool(line["lost"] or line["twice"] or line["double_runs_fail"])


def table(lines: list[dict[str, Any]], failed: Counter[tuple[str, str]]) -> str:
    """Markdown, a line for each fault and database."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        database = "postgres" if line["database"] == "postgresql" else line["database"]
        groups[line["fault"], database].append(line)
    head = [
        "fault", "database", "runs", "lost", "recorded twice", "double runs under on_lost=fail",
        "seconds to recover (median)", "(max)", "failed tests",
    ]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for key in sorted(groups.keys() | failed.keys(), key=order):
        group = groups[key]
        took = [line["recover_seconds"] for line in group if line["recover_seconds"] is not None]
        sums = [sum(line[name] for line in group) for name in ("lost", "twice", "double_runs_fail")]
        times = [f"{statistics.median(took):.1f}", f"{max(took):.1f}"] if took else ["", ""]
        rows.append([*key, str(len(group)), *map(str, sums), *times, str(failed[key])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def order(key: tuple[str, str]) -> tuple[int, str]:
    digits = key[0].lstrip("F")
    return (int(digits) if digits.isdigit() else 99), key[1]


if __name__ == "__main__":
    sys.exit(main())

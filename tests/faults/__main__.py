"""The table of faults: `python -m tests.faults --runs 20 --database both --jobs 2 --only F1,F5`.

With `--soak MINUTES` hours of load under random faults instead.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests import postgres

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SAY_SECONDS = 60.0
OUTCOMES = "(?:PASSED|FAILED|ERROR|SKIPPED)"
TEST_ENDED = re.compile(rf"(?<=%\] ){OUTCOMES}|{OUTCOMES}(?= .*%\]$)")  # with workers, without

Key = tuple[str, str]  # fault, database


@dataclass
class Results:
    lines: dict[Key, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    failed: Counter[Key] = field(default_factory=Counter)
    skipped: dict[Key, str] = field(default_factory=dict)  # with the reason
    broken: bool = False  # pytest itself

    def note(self, database: str, status: int, record: Path, report: Path) -> None:
        """Take in what one run of the tests left behind."""
        for text in record.read_text().splitlines() if record.exists() else ():
            line = json.loads(text)
            self.lines[line["fault"], database].append(line)
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
        for case in cases:
            key = fault_of(case.get("name", "")), database
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed[key] += 1
            elif (skipped := case.find("skipped")) is not None:
                self.skipped[key] = skipped.get("message", "")
        self.broken = self.broken or not cases or status not in (0, 1)

    def good(self) -> bool:
        lines = [line for group in self.lines.values() for line in group]
        return not (self.broken or self.failed or any(bad(line) for line in lines))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="sqlite")
    parser.add_argument("--jobs", type=int, default=1, help="tests at a time")
    parser.add_argument("--only", default="", help="for example F1,F5")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="load under random faults")
    parser.add_argument("--every", type=float, default=30, help="soak: seconds between two faults")
    parser.add_argument("--seed", default="", help="soak: repeats a choice of faults")
    options = parser.parse_args()
    both = options.database == "both"
    results, good = Results(), True
    print(machine(), flush=True)
    for database in ["sqlite", "postgres"] if both else [options.database]:
        with server(database) as environment:
            if options.soak:
                good = soak(options, environment) and good
                continue
            for number in range(1, options.runs + 1):
                title = f"{database}, run {number} of {options.runs}"
                run(title, database, options, environment, results)
    if options.soak:
        return 0 if good else 1
    print(f"\n{machine()}\n\n{table(results)}")
    return 0 if results.good() else 1


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {memory:.0f} GB of memory, Python {platform.python_version()}"


@contextlib.contextmanager
def server(database: str) -> Iterator[dict[str, str]]:
    """The environment of tests on this database; one server for all of its runs."""
    environment = {**os.environ, "DISPYCLUSTER_FAULTS": "all"}
    environment.pop("DATABASE_URL", None)
    if database == "sqlite":
        yield environment
        return
    with postgres.server() as url:
        yield {**environment, "DATABASE_URL": url}


def soak(options: argparse.Namespace, environment: dict[str, str]) -> bool:
    command = [sys.executable, "-m", "pytest", str(HERE / "soak.py"), "-q", "-s", "-n", "0"]
    given = {"MINUTES": options.soak, "EVERY": options.every, "SEED": options.seed}
    environment = environment | {f"DISPYCLUSTER_SOAK_{name}": str(v) for name, v in given.items()}
    return subprocess.run([*command, "--tb=short"], cwd=ROOT, env=environment).returncode == 0


def run(
    title: str, database: str, options: argparse.Namespace, environment: dict[str, str],
    results: Results,
) -> None:  # fmt: skip
    """All tests once; says how it goes, and shows everything if one fails."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dispycluster-faults-") as folder:
        record, report = Path(folder, "record"), Path(folder, "report.xml")
        workers = "0" if options.jobs == 1 else str(options.jobs)
        command = [sys.executable, "-m", "pytest", str(HERE), "-v", "-n", workers, "--tb=short"]
        command.append(f"--junit-xml={report}")
        if options.only:
            faults = [int(fault.strip().lstrip("Ff")) for fault in options.only.split(",")]
            command += ["-k", " or ".join(f"test_f{fault:02}_" for fault in faults)]
        environment = {**environment, "DISPYCLUSTER_FAULTS_RECORD": str(record)}
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        output = follow(title, process)
        results.note(database, process.wait(), record, report)
    minutes = (time.monotonic() - started) / 60
    outcome = output[-1].strip("= \n")
    print(f"{title}: {outcome}, in {minutes:.1f} min", flush=True)
    if process.returncode:
        print("".join(output), file=sys.stderr)


def follow(title: str, process: subprocess.Popen[str]) -> list[str]:
    """pytest's output; a failure is told at once, and each minute how many tests are done."""
    assert process.stdout
    output, done, says = [""], 0, time.monotonic() + SAY_SECONDS
    for line in process.stdout:
        output.append(line)
        if ended := TEST_ENDED.search(line):
            done += 1
            if ended[0] in ("FAILED", "ERROR"):
                print(f"{title}: {line.strip()}", flush=True)
        if time.monotonic() > says:
            says += SAY_SECONDS
            print(f"{title}: {done} tests done", flush=True)
    return output


def fault_of(name: str) -> str:
    digits = name.removeprefix("test_f")[:2]
    return f"F{int(digits)}" if digits.isdigit() else "?"


def bad(line: dict[str, Any]) -> bool:
    return bool(line["lost"] or line["twice"] or line["double_runs_fail"])


def table(results: Results) -> str:
    """Markdown, a line for each fault and database; below it why some are missing."""
    head = [
        "fault", "database", "injections", "lost", "recorded twice",
        "double runs under on_lost=fail", "seconds to recover (median)", "(max)", "failed tests",
    ]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for key in sorted({*results.lines, *results.failed, *results.skipped}, key=order):
        group = results.lines[key]
        took = [line["recover_seconds"] for line in group if line["recover_seconds"] is not None]
        sums = [sum(line[name] for line in group) for name in ("lost", "twice", "double_runs_fail")]
        figures = [len(group), *sums] if group else ["–"] * 4
        times = [f"{statistics.median(took):.1f}", f"{max(took):.1f}"] if took else ["–", "–"]
        rows.append([*key, *map(str, figures), *times, str(results.failed[key])])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    reasons = [
        f"- {fault} on {database}, skipped: {reason}"
        for (fault, database), reason in sorted(results.skipped.items(), key=lambda i: order(i[0]))
    ]
    return "\n".join([*lines, "", *reasons])


def order(key: Key) -> tuple[int, str]:
    digits = key[0].lstrip("F")
    return (int(digits) if digits.isdigit() else 99), key[1]


if __name__ == "__main__":
    sys.exit(main())

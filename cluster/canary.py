"""A small job of our own that shows whether a node works, and how fast it is. Pure."""

import json
from dataclasses import dataclass
from functools import cache

from cluster.words import Words, gettext_noop
from node.report import full

TIMEOUT_SECONDS = 30.0
WRONG = Words(gettext_noop("it calculates wrongly"))
BAD_CLOCK = Words(gettext_noop("its clock makes no sense"))
NONSENSE = Words(gettext_noop("its answer made no sense"))

# The same work on every machine: interpreted arithmetic and memory, about a tenth of a second.
SOURCE = """\
import json, os, time
start = time.perf_counter()
total, table = 0, list(range(1000))
for number in range(400_000):
    total += table[number % 1000] ^ number
seconds = time.perf_counter() - start
with open("written", "w") as file:
    file.write(str(total))
with open(os.environ["DISPYCLUSTER_RESULT"], "w") as file:
    json.dump({"seconds": seconds, "total": total}, file)
"""


@cache
def total() -> int:
    return sum((number % 1000) ^ number for number in range(400_000))


@dataclass(frozen=True)
class Song:
    """What a canary told. error: in words, empty if all is well."""

    error: str
    seconds: float | None = None  # of the measured work alone
    run_seconds: float = 0.0  # with the start of its process


def parcel(bundle: int) -> str:
    """The bundle as the runner takes it."""
    spec = {"kind": "script", "source": SOURCE, "timeout_seconds": TIMEOUT_SECONDS}
    member = {"attempt": 0, "spec": "canary", "args": {}, "job": 0, "number": 1}
    return json.dumps(
        {"bundle": bundle, "tasks": None, "specs": {"canary": spec}, "members": [member]}
    )


def hear(text: str | None) -> Song:
    """The runner's final answer, from a node that may say anything."""
    try:
        [report] = map(full, json.loads(text or "")["ended"])
        if report["outcome"] != "succeeded":
            return Song(str(report["error"])[:200] or str(report["outcome"])[:20])
        result = json.loads(report["result"])
        seconds, run_seconds = float(result["seconds"]), float(report["run_seconds"])
        if result["total"] != total():
            return Song(WRONG)
        if not 0 < seconds <= run_seconds < 1e6:
            return Song(BAD_CLOCK)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Song(NONSENSE)
    return Song("", seconds, run_seconds)

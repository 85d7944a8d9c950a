"""What the nodes said, written into the rows. Every text here may come from a hostile node."""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from cluster.engine.events import BundleEnded, BundleGone, Progress
from jobs import events, files, lifecycle, output
from jobs.lifecycle import Closing, Standing
from jobs.models import Artifact, Attempt, OnLost, Outcome
from node.report import full

logger = logging.getLogger(__name__)

News = Progress | BundleEnded | BundleGone
CONCLUSIVE = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.CANCELLED)
MOST_TEXT = 20_000  # characters of an error or traceback kept
MOST_SECONDS = 1e9
MOST_WHOLE = 2**62
MOST_EXIT_CODE = 32_767


class Incoming(Protocol):
    def incoming(self, name: str) -> Path | None: ...


@dataclass
class Folded:
    """One drain's news, ready to be written."""

    closings: list[Closing] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    started: set[int] = field(default_factory=set)
    pieces: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Recorded:
    """What others may learn from one drain."""

    run_times: list[tuple[int, int, float]] = field(default_factory=list)  # spec, node, seconds
    lost_on: set[int] = field(default_factory=set)  # nodes


def record(news: list[News], engine: Incoming, now: datetime) -> Recorded:
    """Write one drain's news; within the caller's transaction."""
    known = lifecycle.standings(Attempt.objects.filter(bundle__in={e.bundle for e in news}))
    by_bundle: dict[int, dict[int, Standing]] = defaultdict(dict)
    for pk, attempt in known.items():  # in the order in which the runner takes them
        by_bundle[attempt.bundle][pk] = attempt
    folded, answered = Folded(), set[int]()
    for event in news:
        # Its own open attempts only, and those not answered for earlier in this drain.
        mine = {
            pk: attempt
            for pk, attempt in by_bundle.get(event.bundle, {}).items()
            if attempt.address == event.address and pk not in answered
        }
        before = len(folded.closings)
        fold(event, mine, folded, now)
        answered.update(closing.attempt for closing in folded.closings[before:])
    lifecycle.mark_started(folded.started - answered, now)
    late = [
        event for event in news if isinstance(event, BundleEnded) and event.bundle not in by_bundle
    ]
    note_late(late, now)
    output.add_live(folded.pieces, set(known))
    lifecycle.close(folded.closings, now, known)
    output.settle(folded.reports)
    for report in folded.reports:
        if report.get("artifacts"):
            keep_artifacts(report, known[report["attempt"]], engine, now)
    lost_on = {known[c.attempt].node for c in folded.closings if c.outcome == Outcome.LOST}
    return Recorded(run_times(folded.reports, known), lost_on)


def run_times(
    reports: list[dict[str, Any]], known: Mapping[int, Standing]
) -> list[tuple[int, int, float]]:
    return [
        (known[r["attempt"]].spec, known[r["attempt"]].node, seconds(r["run_seconds"]))
        for r in reports
    ]


def note_late(answers: list[BundleEnded], now: datetime) -> None:
    """An answer for attempts that were given up changes nothing; the history tells of it."""
    if not answers:
        return
    given_up = Attempt.objects.filter(bundle__in=[a.bundle for a in answers], outcome=Outcome.LOST)
    rows = given_up.values_list("job", "number", "node__name")
    events.note_rows(
        (job, now, "", number, events.DISPATCHER, f"a late answer from {node} was put aside")
        for job, number, node in rows
    )


def fold(event: News, mine: dict[int, Standing], folded: Folded, now: datetime) -> None:
    """Turn one event into closings, for the bundle's own open attempts alone."""
    if not mine:
        return  # late or repeated: the first answer stands
    if isinstance(event, BundleGone):
        folded.closings += lost(mine, event.reason, event.never_started)
        return
    if event.text is None:
        folded.closings += lost(mine, event.error)
        return
    try:
        message = loads(event.text)
        by_attempt = {
            r["attempt"]: full(r) for r in message.get("ended", ()) if r["attempt"] in mine
        }
        ended = list(by_attempt.values())
        newest = max((r["started_at"] + r["run_seconds"] for r in ended), default=0.0)
        closings = [closing_of(r, mine[r["attempt"]], newest, now) for r in ended]
        started = mine.keys() & set(message.get("started", ()))
        pieces = [piece for piece in message.get("output", ()) if piece["attempt"] in mine]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        logger.exception("node %s answered nonsense for bundle %d", event.address, event.bundle)
        folded.closings += lost(mine, "the node's answer made no sense")
        return
    folded.closings += closings
    folded.reports += ended
    folded.started |= started
    folded.pieces += pieces
    if isinstance(event, BundleEnded):
        reported = {closing.attempt for closing in closings}
        rest = [attempt for pk, attempt in mine.items() if pk not in reported]
        folded.closings += [release(attempt) for attempt in rest]


def loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # it has no word for bytes that were no text
        return json.loads(text)


def closing_of(report: dict[str, Any], attempt: Standing, newest: float, now: datetime) -> Closing:
    """A runner's report as a closing. Raises KeyError or the like where it is malformed."""
    outcome = report["outcome"]
    if outcome not in CONCLUSIVE:
        raise ValueError(f"no such outcome: {outcome!r}")
    if outcome == Outcome.CANCELLED and not attempt.cancel_requested:
        # Stopped with its node, or with another member of its bundle: not the job's doing.
        never = attempt.on_lost == OnLost.FAIL  # it had begun: sent again, it would run twice
        stopped = Outcome.LOST if never else Outcome.RELEASED
        return Closing(attempt.attempt, stopped, error="stopped before its end")
    times = lifecycle.on_our_clock(report["started_at"], report["run_seconds"], newest, now)
    result = report["result"]
    if result is not None:
        json.loads(result)
    return Closing(
        attempt=attempt.attempt,
        outcome=outcome,
        error=clean(report["error"]),
        error_type=clean(report["error_type"]),
        traceback=clean(report["traceback"]),
        exit_code=exit_code(report["exit_code"]),
        result=result,
        started_at=times[0],
        finished_at=times[1],
        run_seconds=seconds(report["run_seconds"]),
        cpu_seconds=seconds(report["cpu_seconds"]),
        max_rss_kb=None if report["max_rss_kb"] is None else whole(report["max_rss_kb"]),
        stdout_bytes=whole(report["stdout"]["total"]),
        stderr_bytes=whole(report["stderr"]["total"]),
    )


def seconds(value: Any) -> float:
    """A duration as a node says it, kept to what can be."""
    return min(max(0.0, float(value)), MOST_SECONDS)


def whole(value: Any) -> int:
    """A size as a node says it, kept to what any database takes."""
    return min(max(0, int(value)), MOST_WHOLE)


def exit_code(value: Any) -> int | None:
    if value is None or (type(value) is int and -MOST_EXIT_CODE <= value <= MOST_EXIT_CODE):
        return value
    raise ValueError(f"no exit code: {value!r}")


def clean(text: str) -> str:
    """Text that any database takes: no zero bytes, no lone surrogates, not too long."""
    if text == "":  # most are
        return text
    return text[:MOST_TEXT].replace("\0", "�").encode("utf-8", "replace").decode()


def lost(mine: dict[int, Standing], reason: str, never_started: bool = False) -> list[Closing]:
    """Close a bundle's attempts when nobody will answer for it.

    Members run in order, so the first open one was in flight and is lost; those behind it
    go back uncharged, unless a job must never run twice: what is not known counts as started.
    """
    closings = []
    for place, attempt in enumerate(mine.values()):
        careful = attempt.on_lost == OnLost.FAIL and not never_started
        in_flight = place == 0 or attempt.started_at or careful
        if attempt.cancel_requested:
            closings.append(Closing(attempt.attempt, Outcome.CANCELLED, error="cancelled"))
        elif in_flight:
            closings.append(Closing(attempt.attempt, Outcome.LOST, never_started, reason))
        else:
            closings.append(release(attempt))
    return closings


def release(attempt: Standing) -> Closing:
    return Closing(attempt.attempt, Outcome.RELEASED, error="its bundle ended before its turn")


def keep_artifacts(
    report: dict[str, Any], attempt: Standing, engine: Incoming, now: datetime
) -> None:
    rows = []
    for index, entry in enumerate(report.get("artifacts", ())[:100]):
        row = Artifact(attempt_id=attempt.attempt, name=clean(entry["name"])[:300])
        row.size = whole(entry["size"])
        row.error = clean(entry["error"])[:300]
        if not row.error:
            row.error = take_in(row, entry["digest"], index, attempt, engine, now)
        rows.append(row)
    if rows:
        Artifact.objects.bulk_create(rows)


def take_in(
    row: Artifact, digest: str, index: int, attempt: Standing, engine: Incoming, now: datetime
) -> str:
    """Move a file that arrived into the store; the error in words, or nothing."""
    flat = f"{attempt.attempt}-{index}-{digest.removeprefix('sha256:')}"
    source = engine.incoming(flat)
    if source is None:
        return "it did not arrive from the node"
    try:
        row.file = files.adopt(source, digest, row.size, attempt.owner, now)
    except (ValueError, OSError) as error:
        return str(error)[:300]
    return ""

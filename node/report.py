"""A member's report: how its end is put into words. Pure, but for the names of signals."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from node.errors import DEEPEST, RESULT_LIMIT, MemberError, too_deep, too_large

if TYPE_CHECKING:
    from node.watch import Ended

Report = dict[str, Any]

REPORT_LIMIT = 6_000_000  # bytes of JSON: bytes that are no UTF-8 take six each
OUT_OF_MEMORY = re.compile(
    r"MemoryError|memory exhausted|out of memory|cannot allocate memory|bad_alloc", re.IGNORECASE
)


def failure(error: MemberError) -> Report:
    return {"outcome": "failed", "error_type": error.error_type, "error": str(error)}


NOTHING: Report = {"text": "", "total": 0, "left_out": 0, "left_out_at": 0}
DEFAULTS: Report = {
    "exit_code": None,
    "signal": None,
    "error": "",
    "error_type": "",
    "traceback": "",
    "result": None,
    "run_seconds": 0.0,
    "cpu_seconds": 0.0,
    "max_rss_kb": None,
    "stdout": NOTHING,
    "stderr": NOTHING,
    "artifacts": [],
}


def blank(attempt: Any, started_at: float) -> Report:
    """A report on a member that has done nothing yet."""
    return {**DEFAULTS, "outcome": "failed", "attempt": attempt, "started_at": started_at}


def slim(report: Report) -> Report:
    """Without what is as in DEFAULTS: most of a small member's report is."""
    return {
        name: value
        for name, value in report.items()
        if name not in DEFAULTS or value != DEFAULTS[name]
    }


def full(report: Report) -> Report:
    """A slim report, made whole again."""
    return {**DEFAULTS, **report}


def encode(report: Report, ended: Ended | None) -> str:
    """As JSON, with less of the output where it would not fit a message."""
    text = json.dumps(slim(report))
    keep = ended.stdout.limit if ended else 0
    while ended and keep and len(text) > REPORT_LIMIT:
        keep //= 2
        report["stdout"] = ended.stdout.finish(keep)
        report["stderr"] = ended.stderr.finish(keep)
        text = json.dumps(slim(report))
    return text


def plural(number: float, word: str) -> str:
    return f"{number:g} {word}" if number == 1 else f"{number:g} {word}s"


def _memory_hint(ended: Ended, memory_mb: int | None) -> str:
    if memory_mb and ended.signal in ("SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS"):
        return f"; it may have reached its memory limit of {memory_mb} MB"
    return "; the node may have run out of memory" if ended.signal == "SIGKILL" else ""


def verdict(
    ended: Ended,
    *,
    is_function: bool,
    timeout_seconds: float | None,
    memory_mb: int | None,
    cpu_seconds: float | None,
) -> Report:
    """Outcome, error and result of a member that ran in a process of its own."""
    note = ended.note or {}
    if ended.stopped == "cancel":
        return _failed("cancelled", "cancelled while it ran", outcome="cancelled")
    if ended.stopped:
        limit = plural(timeout_seconds or 0, "second")
        return _failed("timeout", f"ran longer than its limit of {limit}", outcome="timed_out")
    if ended.signal == "SIGXCPU" or (ended.signal == "SIGKILL" and _cpu_is_up(ended, cpu_seconds)):
        limit = plural(cpu_seconds or 0, "CPU second")
        return _failed("cpu_limit", f"used more than its limit of {limit}")
    if ended.signal:
        return _failed("signal", f"killed by {ended.signal}{_memory_hint(ended, memory_mb)}")
    if "error" in note:
        return _failed_by_note(note, memory_mb)
    if is_function and "exit" not in note:
        return _function_result(note, ended)
    if ended.exit_code:
        hint = ended.stderr.last_line()
        if memory_mb and OUT_OF_MEMORY.search(hint):
            hint += f" (its memory limit is {memory_mb} MB)"
        status = f"exited with status {ended.exit_code}"
        return _failed("exit", f"{status}: {hint}" if hint else status)
    return {"outcome": "succeeded"}


def _failed(error_type: str, error: str, outcome: str = "failed") -> Report:
    return {"outcome": outcome, "error_type": error_type, "error": error}


def _cpu_is_up(ended: Ended, cpu_seconds: float | None) -> bool:
    return bool(cpu_seconds) and ended.usage.cpu_seconds >= (cpu_seconds or 0)


def _failed_by_note(note: Report, memory_mb: int | None) -> Report:
    """The child's side says why. It shares its process with the user's code: trust no types."""
    error, error_type = str(note["error"])[:2000], str(note.get("error_type", ""))[:200]
    if error_type == "MemoryError" and memory_mb:
        error += f" (its memory limit is {memory_mb} MB)"
    failed = _failed(error_type, error)
    failed["traceback"] = str(note.get("traceback", ""))[:16_000]
    return failed


def _function_result(note: Report, ended: Ended) -> Report:
    if not isinstance(note.get("result"), str):
        code = ended.exit_code
        return _failed("exit", f"its process exited with status {code} without returning a value")
    try:
        return {"outcome": "succeeded", "result": checked_result(note["result"])}
    except MemberError as error:
        return failure(error)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if abs(value) == float("inf"):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ESCAPE = re.compile(  # one for each kind: a pair is a character, its half alone is none
    r"\\u[Dd][89ABab]..\\u[Dd][C-Fc-f]..|(?P<half>\\u[Dd][89A-Fa-f]..)|\\."
)


def checked_result(text: str) -> str:
    """The text, if it is JSON of an acceptable size and depth.

    Halves of characters, as in a file name that is no UTF-8, become replacement characters: what
    reads JSON takes them nowhere.
    """
    if len(text) > RESULT_LIMIT:
        raise too_large(len(text))
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise too_deep() from None
    except ValueError as error:
        raise MemberError("result_not_json", f"the result is not JSON: {error}") from None
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise too_deep()
    if "\\ud" in text or "\\uD" in text:
        return _ESCAPE.sub(lambda found: r"\ufffd" if found["half"] else found[0], text)
    return text


def _is_deep(value: Any) -> bool:
    level = [value]
    for _depth in range(DEEPEST):
        lists = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for inner in lists for each in inner if isinstance(each, (dict, list))]
        if not level:
            return False
    return True

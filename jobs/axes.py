"""A sweep's axes as people type them: one a line, "seed: 0..500" or "size: 1, 2, 4". Pure."""

import json
import re
from typing import Any

RANGE = re.compile(r"(-?\d+)\s*\.\.\s*(-?\d+)(?:\s*\.\.\s*(-?\d+))?")
AXIS = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*[:=]\s*(.*)")


class BadAxis(ValueError):
    """A line that cannot be read; the message quotes it."""


def read(text: str, mode: str) -> Any:
    """What `over` is in a sweep's body."""
    lines = [line for line in text.splitlines() if line.strip()]
    return read_list(text, lines) if mode == "list" else dict(axis(line) for line in lines)


def read_list(text: str, lines: list[str]) -> list[Any]:
    """A JSON list of objects, or one object a line."""
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise BadAxis(str(error)) from None


def axis(line: str) -> tuple[str, Any]:
    match = AXIS.fullmatch(line)
    if not match or not match[2].strip():
        raise BadAxis(line.strip())
    return match[1], values(match[2].strip())


def values(text: str) -> Any:
    if bounds := RANGE.fullmatch(text):
        return {"range": [int(bound) for bound in bounds.groups() if bound is not None]}
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadAxis(f"{text} ({error})") from None
    return [value(part.strip()) for part in text.split(",") if part.strip()]


def value(text: str) -> Any:
    """A number, true, null or "quoted" as JSON reads it; else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def write(over: Any, mode: str) -> str:
    """The other way round, for a form that starts from an old sweep."""
    if mode == "list":
        return "\n".join(json.dumps(args, ensure_ascii=False) for args in over)
    return "\n".join(f"{name}: {axis_text(axis)}" for name, axis in over.items())


def axis_text(axis: Any) -> str:
    if isinstance(axis, dict):
        return "..".join(str(bound) for bound in axis["range"])
    return json.dumps(axis, ensure_ascii=False)

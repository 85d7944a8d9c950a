"""What a node says of itself, made safe: it may say anything. Pure.

Whatever comes out is JSON that SQLite and PostgreSQL take, and short.
"""

from __future__ import annotations

import json
from typing import Any

from cluster.engine.events import NodeReading

MOST_VALUES = 60  # of an answer, and of each list and table in it
MOST_TEXT = 300  # characters of a value
MOST_NAME = 60  # of its name
MOST_PLATFORM = 200
MOST_SLOTS = 1000
MOST_INNER_TEXT = 100  # of a value in a list or a table
MOST_ALL = 16_000  # characters of all of it as JSON
LARGEST = 2**62
FARTHEST_SKEW = 1e10  # seconds: a machine without a clock may well believe it is 1970

Scalar = str | int | float | bool


def plain(values: Any) -> dict[str, Any]:
    """Its short plain values, and its lists and tables of such. A dict, or one as JSON."""
    if isinstance(values, str):
        values = parsed(values)
    if not isinstance(values, dict):
        return {}
    found: dict[str, Any] = {}
    left = MOST_ALL
    for name, value in list(values.items())[:MOST_VALUES]:
        kept, key = safe(value), title(name)
        if kept is None or not key or key in found:
            continue
        left -= len(json.dumps(kept)) + len(json.dumps(key))
        if left < 0:
            break
        found[key] = kept
    return found


def parsed(text: str) -> Any:
    if len(text) > MOST_ALL:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def safe(value: Any) -> Any:
    if isinstance(value, dict):
        pairs = [(title(k), scalar(v, MOST_INNER_TEXT)) for k, v in first(value.items())]
        return {name: kept for name, kept in pairs if name and kept is not None}
    if isinstance(value, list | tuple):
        scalars = [scalar(item, MOST_INNER_TEXT) for item in first(value)]
        return [item for item in scalars if item is not None]
    return scalar(value, MOST_TEXT)


def first(items: Any) -> list[Any]:
    return list(items)[:MOST_VALUES]


def title(name: Any) -> str:
    return clean(name, MOST_NAME) if isinstance(name, str) else ""


def scalar(value: Any, longest: int = MOST_TEXT) -> Scalar | None:
    if isinstance(value, str):
        return clean(value, longest)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= LARGEST:
        return value
    return None


def clean(text: str, longest: int) -> str:
    """Without what no database takes (zero bytes, halves of a character) and what no page shows."""
    return "".join(letter for letter in text[:longest] if letter.isprintable())


def read(address: str, info: Any, now: float, round_trip_ms: float | None = None) -> NodeReading:
    """A pulse. now: seconds since 1970 as we have them."""
    extras = plain(getattr(info, "reading", None))
    total, clock = extras.pop("memory_total", None), extras.pop("clock", None)
    ours = {"clock_skew_seconds": clock_skew(clock, now), "round_trip_ms": round_trip_ms}
    for name, value in ours.items():
        extras.pop(name, None)  # not for the node to say
        if value is not None:
            extras[name] = value
    return NodeReading(
        address=address,
        cpu_percent_used=used(getattr(info, "cpu", None)),
        memory_free=size(getattr(info, "memory", None)),
        memory_total=size(total),
        disk_free=size(getattr(info, "disk", None)),
        swap_percent_used=used(getattr(info, "swap", None)),
        extras=extras,
    )


def clock_skew(clock: Any, now: float) -> float | None:
    """How far its clock is ahead of ours, less the time that the pulse was on its way."""
    if isinstance(clock, bool) or not isinstance(clock, int | float):
        return None
    return round(max(-FARTHEST_SKEW, min(FARTHEST_SKEW, clock - now)), 1)


def used(percent_free: Any) -> float | None:
    value = scalar(percent_free)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        return None
    return round(100.0 - value, 1)


def size(value: Any) -> int | None:
    """In bytes."""
    value = scalar(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return int(value)


def slots(cpus: Any) -> int:
    """One, where what it says makes no sense."""
    return cpus if type(cpus) is int and 1 <= cpus <= MOST_SLOTS else 1

"""What a node's last reading says, made safe: it may hold anything. Pure."""

from collections.abc import Mapping
from typing import Any

from node.throttling import WORDS as THROTTLING

LIMITS = {
    "load_1": (0, 100_000),
    "temperature": (-100, 300),  # degrees Celsius
    "cpu_frequency_mhz": (0, 1e6),
    "cpu_frequency_max_mhz": (0, 1e6),
    "round_trip_ms": (0, 3_600_000),
    "clock_skew_seconds": (-1e10, 1e10),
    "memory_total": (1, 2**60),  # bytes
    "disk_total": (1, 2**60),
    "cores": (1, 100_000),
}


def number(values: Any, name: str) -> float | None:
    """A figure within what can be; None where it is missing or nonsense."""
    value = said(values, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = LIMITS[name]
    return value if low <= value <= high else None


def throttled(values: Any, name: str = "throttled") -> list[str] | None:
    """What holds the machine back now, or did since it started; None where it cannot tell."""
    value = said(values, name)
    return [word for word in THROTTLING if word in value] if isinstance(value, list) else None


def flag(values: Any, name: str) -> bool | None:
    value = said(values, name)
    return value if isinstance(value, bool) else None


def said(values: Any, name: str) -> Any:
    return values.get(name) if isinstance(values, Mapping) else None

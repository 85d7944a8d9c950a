"""What a node's last reading says, made safe: it may hold anything. Pure."""

from collections.abc import Mapping
from typing import Any

# The bits of a Raspberry Pi's `vcgencmd get_throttled`: now, and since it was switched on.
BITS = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "too_hot",
    16: "under_voltage_before",
    17: "frequency_capped_before",
    18: "throttled_before",
    19: "too_hot_before",
}
LIMITS = {
    "load_1": (0, 100_000),
    "temperature": (-100, 300),
    "round_trip_ms": (0, 3_600_000),
    "clock_skew_seconds": (-1e10, 1e10),
    "memory_total": (0, 2**60),
    "disk_total": (0, 2**60),
}


def number(values: Any, name: str) -> float | None:
    """A figure within what can be; None where it is missing or nonsense."""
    value = values.get(name) if isinstance(values, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    low, high = LIMITS[name]
    return value if low <= value <= high else None


def throttled(values: Any) -> list[str] | None:
    """What holds the machine back, by the names of BITS; None where it cannot tell."""
    value = values.get("throttled") if isinstance(values, Mapping) else None
    if isinstance(value, str):
        value = _whole(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return [name for bit, name in BITS.items() if value >> bit & 1]
    if isinstance(value, list | tuple):
        return [name for name in BITS.values() if name in value]
    return None


def _whole(text: str) -> int | None:
    """0x50005, or throttled=0x50005."""
    try:
        return int(text.rpartition("=")[2][:12], 0)
    except ValueError:
        return None

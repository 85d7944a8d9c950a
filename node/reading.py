"""How this machine is now: goes with every pulse, so it has to be cheap."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil

# Bits of a Raspberry Pi's get_throttled; the same, 16 higher, tell what happened since the boot.
THROTTLE_BITS = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
}
SINCE_BOOT = 16


def reading(root: Path = Path("/")) -> dict[str, Any]:
    """What it cannot tell is left out. `clock`: seconds since 1970, as this machine has it."""
    facts = {
        "clock": time.time(),
        "memory_total": psutil.virtual_memory().total,
        "load_1": round(os.getloadavg()[0], 2),
        "temperature": temperature(root),
        "scratch_read_only": is_read_only("."),
        **throttling(root),
    }
    return {name: value for name, value in facts.items() if value is not None}


def temperature(root: Path) -> float | None:
    """The hottest thermal zone in degrees Celsius."""
    hottest: float | None = None
    for zone in (root / "sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            degrees = int(zone.read_text()) / 1000
        except (OSError, ValueError):
            continue
        if -50 < degrees < 200 and (hottest is None or degrees > hottest):
            hottest = degrees
    return hottest


def throttling(root: Path) -> dict[str, list[str]]:
    """On a Raspberry Pi: what is wrong now, and what was since the boot. Elsewhere: nothing."""
    file = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    try:
        bits = int(file.read_text(), 16)
    except (OSError, ValueError):
        return {}
    return {
        "throttled": [word for bit, word in THROTTLE_BITS.items() if bits >> bit & 1],
        "throttled_since_boot": [
            word for bit, word in THROTTLE_BITS.items() if bits >> (bit + SINCE_BOOT) & 1
        ],
    }


def is_read_only(folder: str) -> bool | None:
    """As an SD card becomes when it fails."""
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return None

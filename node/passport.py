"""What this machine is, as plain values. What it cannot tell is left out, never made up."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil

AGENT_VERSION = "1.0"


def describe() -> dict[str, Any]:
    facts = {
        "agent": AGENT_VERSION,
        "arch": platform.machine(),
        "os": os_name(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpu_model": cpu_model(),
        "board": board(),
        "cores": psutil.cpu_count(logical=True),
        "physical_cores": psutil.cpu_count(logical=False),
        "memory_total": psutil.virtual_memory().total,
        "swap_total": psutil.swap_memory().total,
        "booted_at": psutil.boot_time(),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    for key in ("model name", "Model", "Hardware"):
        for line in lines:
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return None


def board() -> str | None:
    """A Raspberry Pi and its kin say here what they are."""
    try:
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    except (OSError, UnicodeDecodeError):
        return None


def reading() -> dict[str, Any]:
    """What changes: goes with every pulse."""
    memory = psutil.virtual_memory()
    facts = {
        "memory_total": memory.total,
        "load_1": os.getloadavg()[0],
        "temperature": temperature(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def temperature() -> float | None:
    """The hottest thermal zone in degrees Celsius."""
    hottest: float | None = None
    for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            degrees = int(zone.read_text()) / 1000
        except (OSError, ValueError):
            continue
        if -50 < degrees < 200 and (hottest is None or degrees > hottest):
            hottest = degrees
    return hottest

"""How this machine is now, as plain values: goes with every pulse, so it may not take long.

What it cannot tell is left out, never made up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from node.throttling import Throttling

MOUNTS_SECONDS = 10.0  # between two looks at the table of mounts
COLDEST, HOTTEST = -50, 200  # degrees; a sensor that says more has nothing to say


class Reader:
    """Finds once where this machine says what. scratch: a folder on the disk that jobs use."""

    def __init__(self, scratch: Path = Path("."), root: Path = Path("/")) -> None:
        self.scratch, self.root = scratch, root
        self.memory_total = psutil.virtual_memory().total
        self.zones = find_zones(root)
        self.frequency, self.highest = find_frequency(root)
        self.throttling = Throttling(root)
        self.remounted = False
        self.mounts_at: float | None = None

    def read(self, now: float, clock: float) -> dict[str, Any]:
        """now: monotonic. clock: what this machine takes for the time."""
        facts = {
            "clock": clock,
            "memory_total": self.memory_total,
            "load_1": os.getloadavg()[0],
            "temperature": self.temperature(),
            "cpu_frequency_mhz": megahertz(self.frequency),
            "cpu_frequency_max_mhz": self.highest,
            **self.throttling.read(now),
            **self.disk(now),
        }
        return {name: value for name, value in facts.items() if value is not None}

    def temperature(self) -> float | None:
        """The hottest thermal zone in degrees Celsius."""
        self.zones = self.zones or find_zones(self.root)  # some come up late
        found = [number / 1000 for number in map(number_in, self.zones) if number is not None]
        return max((d for d in found if COLDEST < d < HOTTEST), default=None)

    def disk(self, now: float) -> dict[str, Any]:
        try:
            stat = os.statvfs(self.scratch)
            if self.mounts_at is None or now - self.mounts_at >= MOUNTS_SECONDS:
                self.mounts_at = now
                self.remounted = self.is_remounted()
        except OSError:
            return {}
        return {
            "disk_total": stat.f_frsize * stat.f_blocks,
            "scratch_read_only": bool(stat.f_flag & os.ST_RDONLY) or self.remounted,
        }

    def is_remounted(self) -> bool:
        """ext4 after an error; newer kernels no longer say so by statvfs."""
        device = self.scratch.stat().st_dev
        with open(self.root / "proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
            return went_read_only(lines, f"{os.major(device)}:{os.minor(device)}")


def went_read_only(mountinfo: Iterable[str], device: str) -> bool:
    """Whether the file system itself is, whatever each of its mounts may be."""
    for line in mountinfo:
        mount, _, system = line.partition(" - ")
        if mount.split()[2:3] == [device] and system:
            return not {"ro", "emergency_ro"}.isdisjoint(system.split()[-1].split(","))
    return False


def find_zones(root: Path) -> list[Path]:
    return sorted(root.glob("sys/class/thermal/thermal_zone*/temp"))


def find_frequency(root: Path) -> tuple[Path | None, float | None]:
    """Of the fastest kind of core: where its frequency now is said, and the highest in MHz."""
    fastest: tuple[Path | None, float | None] = None, None
    for policy in sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*")):
        highest = megahertz(policy / "cpuinfo_max_freq")
        if highest and (fastest[1] is None or highest > fastest[1]):
            fastest = policy / "scaling_cur_freq", highest
    return fastest


def megahertz(path: Path | None) -> float | None:
    kilohertz = number_in(path) if path else None
    return kilohertz / 1000 if kilohertz and kilohertz > 0 else None


def number_in(path: Path) -> int | None:
    try:
        return int(path.read_bytes()[:40])
    except (OSError, ValueError):
        return None

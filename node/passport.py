"""What this machine is, as plain values. What it cannot tell is left out, never made up."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

AGENT_VERSION = "1.0"
PACKAGES = [
    "numpy", "scipy", "pandas", "polars", "matplotlib", "scikit-learn", "scikit-image", "pillow",
    "opencv-python", "torch", "tensorflow", "jax", "numba", "sympy", "networkx", "biopython",
    "requests", "httpx", "lxml", "dispy", "pycos", "psutil",
]  # fmt: skip
PROGRAMS = [
    "ffmpeg", "convert", "magick", "gcc", "g++", "make", "cmake", "git", "R", "julia", "node",
    "java", "go", "rustc", "octave", "blender", "docker", "podman", "nvidia-smi",
]  # fmt: skip


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
        "max_mhz": max_mhz(),
        "booted_at": psutil.boot_time(),
        "packages": packages(),
        "programs": programs(),
        "gpu": gpus(),
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [], {})}


def max_mhz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError):
        return None
    return round(frequency.max) if frequency and frequency.max else None


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


def packages() -> dict[str, str]:
    """Versions of those on our list that jobs here can import."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name)]


def gpus(root: Path = Path("/")) -> list[str]:
    """NVIDIA's by name; any other that can compute or render by its kernel driver."""
    found = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model:")]
        found += models or ["NVIDIA"]
    for node in sorted((root / "sys/class/drm").glob("renderD*/device/driver")):
        driver = node.resolve().name
        if driver != "nvidia":
            found.append(driver)
    return found

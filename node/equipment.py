"""What this machine has for jobs: Python packages, programs, graphics processors."""

from __future__ import annotations

import shutil
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from node.asking import ask_once

SMI_SECONDS = 2.0
PACKAGES = (
    "numpy", "scipy", "pandas", "polars", "pyarrow", "matplotlib", "scikit-learn", "scikit-image",
    "pillow", "opencv-python", "opencv-python-headless", "opencv-contrib-python", "torch",
    "tensorflow", "tflite-runtime", "onnxruntime", "transformers", "jax", "numba", "cython",
    "sympy", "networkx", "astropy", "biopython", "requests", "httpx", "beautifulsoup4", "lxml",
    "gpiozero", "picamera2", "dispy", "pycos", "psutil",
)  # fmt: skip
PROGRAMS = (
    "ffmpeg", "convert", "magick", "gcc", "g++", "make", "cmake", "git", "R", "julia", "octave",
    "node", "java", "go", "rustc", "docker", "podman", "nvidia-smi", "vcgencmd", "blender",
    "povray", "gnuplot", "pandoc", "tesseract", "sox", "7z", "rsync", "curl",
)  # fmt: skip


def packages() -> dict[str, str]:
    """Of this Python, which is the one that runs functions and scripts."""
    found = {}
    for name in PACKAGES:
        with suppress(Exception):  # missing, or its records are damaged
            found[name] = str(metadata.version(name))
    return found


def programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name)]


def gpus(root: Path) -> list[str]:
    """NVIDIA's by name; any other that can compute or render by its kernel driver."""
    return nvidia(root) + [driver for driver in drivers(root) if driver != "nvidia"]


def drivers(root: Path) -> list[str]:
    links = sorted(root.glob("sys/class/drm/renderD*/device/driver"))
    return [link.resolve().name for link in links]


def nvidia(root: Path) -> list[str]:
    """From the driver's own files; where it has none (WSL, Jetson), by asking nvidia-smi."""
    found = []
    for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
        with suppress(OSError, UnicodeDecodeError):
            lines = file.read_text().splitlines()
            models = [line.partition(":")[2].strip() for line in lines if line[:6] == "Model:"]
            found += models or ["NVIDIA"]
    return found or smi(root)


def smi(root: Path) -> list[str]:
    if root != Path("/") or not shutil.which("nvidia-smi"):
        return []
    said = ask_once(("nvidia-smi", "--query-gpu=name", "--format=csv,noheader"), SMI_SECONDS)
    return [line.strip() for line in said.splitlines() if line.strip()]

"""What this machine is, as plain values. What it cannot tell is left out, never made up."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import Any

import psutil

from node import equipment, reading

AGENT_VERSION = "1.0"
ROOT = Path("/")

# The cores of the boards that people make clusters of, by maker and part as /proc/cpuinfo has it.
ARM_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xc0f": "Cortex-A15", "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35", "0xd05": "Cortex-A55", "0xd07": "Cortex-A57", "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1", "0xd42": "Cortex-A78AE", "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}  # fmt: skip
CONTAINER_FILES = {".dockerenv": "docker", "run/.containerenv": "podman"}
MACHINES = {
    "qemu": "qemu", "vmware": "vmware", "virtualbox": "virtualbox", "virtual machine": "hyper-v",
    "amazon": "amazon", "google": "google", "xen": "xen", "parallels": "parallels",
}  # fmt: skip


def describe(root: Path = ROOT) -> dict[str, Any]:
    """root: where /proc, /sys and /etc are."""
    cpuinfo = text_in(root / "proc/cpuinfo")
    release = os_release(root)
    facts = {
        "agent": AGENT_VERSION,
        "arch": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,  # of Python; a kernel of 64 runs one of 32 too
        "os": release.get("PRETTY_NAME") or platform.system(),
        "os_id": release.get("ID"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "board": text_in(root / "proc/device-tree/model"),
        "cpu_model": cpu_model(cpuinfo),
        "cores": psutil.cpu_count(logical=True),
        "physical_cores": psutil.cpu_count(logical=False),
        "cpu_frequency_max_mhz": reading.find_frequency(root)[1],
        "memory_total": psutil.virtual_memory().total,
        "swap_total": psutil.swap_memory().total,
        "booted_at": psutil.boot_time(),
        "container": container(root),
        "virtual": virtual(root, cpuinfo),
        "gpu": equipment.gpus(root),
        "packages": equipment.packages(),
        "programs": equipment.programs(),
    }
    return {name: value for name, value in facts.items() if value not in (None, "", [], {})}


def text_in(path: Path) -> str:
    """A Raspberry Pi ends its model with a zero byte."""
    try:
        return path.read_bytes()[:1_000_000].decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def os_release(root: Path) -> dict[str, str]:
    text = text_in(root / "etc/os-release") or text_in(root / "usr/lib/os-release")
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs if value}


def cpu_model(cpuinfo: str) -> str:
    """The core's name where it is an Arm, whose kernel gives a model only on 32 bits."""
    values: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        values.setdefault(name.strip(), value.strip())
    is_arm = values.get("CPU implementer") == "0x41"
    core = ARM_CORES.get(values.get("CPU part", "")) if is_arm else None
    names = (core, values.get("model name"), values.get("cpu model"), values.get("uarch"))
    return next(filter(None, names), "")


def container(root: Path) -> str:
    """By what usually gives a container away; one that hides it is not found."""
    for name, kind in CONTAINER_FILES.items():
        if (root / name).exists():
            return kind
    said = text_in(root / "run/systemd/container")
    if said:
        return said
    found = re.search(r"kubepods|docker|lxc", text_in(root / "proc/1/cgroup"))
    return {"kubepods": "kubernetes"}.get(found[0], found[0]) if found else ""


def virtual(root: Path, cpuinfo: str) -> str:
    """The kind of virtual machine; "unknown" where it is one of no kind we know."""
    if "microsoft" in text_in(root / "proc/sys/kernel/osrelease").lower():
        return "wsl"
    if text_in(root / "sys/hypervisor/type") == "xen":
        return "xen"
    names = [text_in(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    is_one = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)
    said = " ".join(names).lower()
    for word, kind in MACHINES.items():
        if word in said and (is_one or kind not in ("amazon", "google")):  # they make metal, too
            return kind
    return "unknown" if is_one else ""

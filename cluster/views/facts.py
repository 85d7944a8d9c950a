"""What a node says of itself, and what was measured of it, as its page tells them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cluster.models import Node
from jobs.amounts import size
from jobs.models import Spec

MOST_FACTS, MOST_PACKAGES = 40, 200
LISTS = ("packages", "programs")  # shown apart

NAMES = {
    "agent": _("agent"),
    "arch": _("architecture"),
    "bits": _("bits"),
    "board": _("board"),
    "booted_at": _("started"),
    "container": _("container"),
    "cores": _("cores"),
    "cpu_frequency_max_mhz": _("highest clock"),
    "cpu_model": _("processor"),
    "gpu": _("GPU"),
    "graphics": _("graphics"),
    "kernel": _("kernel"),
    "memory_total": _("memory"),
    "os": _("system"),
    "os_id": _("distribution"),
    "physical_cores": _("physical cores"),
    "python": _("Python"),
    "python_implementation": _("Python by"),
    "swap_total": _("swap"),
    "virtual": _("virtual machine"),
}


def facts(passport: Any) -> list[tuple[str, str]]:
    """A passport's entries as (name, text). It may hold anything."""
    if not isinstance(passport, Mapping):
        return []
    found = []
    for name, value in list(passport.items())[:MOST_FACTS]:
        label = str(NAMES.get(name, str(name).replace("_", " ")))
        if name not in LISTS and (text := worded(str(name), value)):
            found.append((label, text))
    return found


def worded(name: str, value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, int | float):
        return figure(name, value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {inner}" for key, inner in list(value.items())[:20])
    if isinstance(value, list):
        return ", ".join(map(str, value[:50]))
    return str(value)


def figure(name: str, value: int | float) -> str:
    try:
        if name.endswith("_total"):
            return size(int(value))
        if name.endswith("_at"):
            moment = timezone.localtime(datetime.fromtimestamp(value, UTC))
            return f"{moment:%Y-%m-%d %H:%M}"
        if name.endswith("_mhz"):
            return f"{value:.0f} MHz"
    except (ValueError, OverflowError, OSError):
        pass
    return str(value)[:40]


def packages(passport: Any) -> list[tuple[str, str]]:
    """Name and version of what jobs can import there, and the programs they can call."""
    if not isinstance(passport, Mapping):
        return []
    found = passport.get("packages")
    versions = list(found.items()) if isinstance(found, Mapping) else []
    programs = passport.get("programs")
    names = programs if isinstance(programs, list) else []
    rows = [(str(name), str(version)) for name, version in versions[:MOST_PACKAGES]]
    return rows + [(str(name), "") for name in names[:MOST_PACKAGES]]


@dataclass(frozen=True)
class Evidence:
    """One kind of work that a node's speed rests on."""

    spec: Spec | None  # None: the test job
    runs: int
    seconds: float
    fleet_seconds: float

    @property
    def ratio(self) -> float | None:
        return self.fleet_seconds / self.seconds if self.seconds > 0 else None


def evidence(node: Node) -> list[Evidence]:
    rows = node.speed_evidence if isinstance(node.speed_evidence, list) else []
    wanted = [row["spec"] for row in rows if row["spec"]]
    specs = Spec.objects.only("title", "kind").in_bulk(wanted) if wanted else {}
    return [
        Evidence(specs.get(row["spec"]), row["runs"], row["seconds"], row["fleet_seconds"])
        for row in rows
        if not row["spec"] or row["spec"] in specs  # a spec that is no more tells nothing
    ]

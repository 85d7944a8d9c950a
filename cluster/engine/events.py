"""What the engine tells its caller: frozen, plain values, safe to pass between threads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NodeSeen:
    """The node is set up and takes bundles; also sent when it comes back after NodeGone."""

    address: str
    name: str
    cpus: int
    platform: str
    version: str
    patched: bool  # True: our agent. False: a stock dispynode
    passport: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeGone:
    """The node cannot be used any more: pulses stopped, it closed, or it was removed."""

    address: str
    reason: str


@dataclass(frozen=True)
class NodeReading:
    """One pulse. None where the node did not say; only the newest per node is kept."""

    address: str
    cpu_percent_used: float | None
    memory_free: int | None
    memory_total: int | None
    disk_free: int | None
    swap_percent_used: float | None
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeTrouble:
    """A listed node that cannot be used, in a sentence for a person; sent when it changes."""

    address: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """What the runner said while running (its provisional JSON text). May be lost."""

    bundle: int
    address: str
    text: str


@dataclass(frozen=True)
class BundleEnded:
    """The bundle's job process ended. text: the runner's final JSON, None where it gave none."""

    bundle: int
    address: str
    text: str | None
    error: str = ""


@dataclass(frozen=True)
class BundleGone:
    """Nobody will answer for this bundle (a late BundleEnded may still follow)."""

    bundle: int
    address: str
    reason: str
    never_started: bool = False  # True: that is certain


Event = NodeSeen | NodeGone | NodeReading | NodeTrouble | Progress | BundleEnded | BundleGone

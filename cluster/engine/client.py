"""The engine: carries bundles to the nodes by dispy and says what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.engine.events import Event


@dataclass(frozen=True)
class EngineConfig:
    host: str  # address the nodes reach us at
    port: int  # ours; nodes listen on the next one
    secret: str
    nodes: tuple[str, ...]  # names or addresses
    home: Path  # engine folder, 0700: identity, recover file, incoming artifacts
    pulse_seconds: float = 1.0
    ping_seconds: float = 5.0
    log_level: str = "WARNING"
    certfile: str | None = None
    keyfile: str | None = None


class Engine:
    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    def start(self, open_bundles: dict[int, str]) -> None:
        """Connect, and adopt the bundles (id -> address) that an earlier process left running."""
        raise NotImplementedError

    def add_node(self, address: str) -> None:
        raise NotImplementedError

    def remove_node(self, address: str) -> None:
        raise NotImplementedError

    def send(
        self, bundle: int, address: str, text: str, files: Sequence[tuple[str, Path]] = ()
    ) -> bool:
        """Send to a free slot of that node. False where there is none; never queues."""
        raise NotImplementedError

    def cancel(self, bundle: int) -> None:
        raise NotImplementedError

    def take_events(self) -> list[Event]:
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Wait for an event or wake(); True if there was one."""
        raise NotImplementedError

    def wake(self) -> None:
        raise NotImplementedError

    def incoming(self, name: str) -> Path | None:
        """The artifact that a node sent under this flat name, if it is here."""
        raise NotImplementedError

    def close(self, keep_running: bool) -> None:
        """Stop. keep_running leaves the nodes' jobs for the next process to adopt."""
        raise NotImplementedError

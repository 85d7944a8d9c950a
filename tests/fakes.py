"""An engine that carries nothing anywhere: tests say what became of each bundle."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster import canary
from cluster.engine.events import BundleEnded, BundleGone, Event, Progress


class FakeEngine:
    def __init__(self) -> None:
        self.sent: dict[int, dict[str, Any]] = {}  # bundle -> what travelled
        self.address: dict[int, str] = {}
        self.cancelled: list[int] = []
        self.events: list[Event] = []
        self.after: dict[int, int] = {}  # bundle sent ahead -> whose slot it gets
        self.full: set[str] = set()  # addresses that turn bundles away
        self.files: list[tuple[str, Path]] = []
        self.sings = False  # whether it takes canaries
        self.song: dict[str, Any] = {}  # what a canary's report says otherwise than usual
        self.canaries: list[str] = []  # addresses
        self.nodes: set[str] = set()

    def send(
        self, bundle: int, address: str, text: str, files: Sequence[tuple[str, Path]] = (),
        after: int | None = None,
    ) -> bool:  # fmt: skip
        if address in self.full:
            return False
        if '"job": 0' in text:
            if self.sings:
                self.sing(bundle, address)
            return self.sings
        self.sent[bundle] = json.loads(text)
        self.address[bundle] = address
        self.files += files
        if after is not None:
            self.after[bundle] = after
        return True

    def cancel(self, bundle: int) -> None:
        self.cancelled.append(bundle)

    def sing(self, bundle: int, address: str) -> None:
        result = json.dumps({"seconds": 0.1, "total": canary.total()})
        ended = [report(0, **{"result": result, **self.song})]
        text = json.dumps({"bundle": bundle, "ended": ended, "not_started": []})
        self.canaries.append(address)
        self.events.append(BundleEnded(bundle, address, text))

    def add_node(self, address: str) -> None:
        self.nodes.add(address)

    def remove_node(self, address: str) -> None:
        self.nodes.discard(address)

    def take_events(self, recorded: bool = True) -> list[Event]:
        events, self.events = self.events, []
        return events

    def incoming(self, name: str) -> Path | None:
        return None

    def attempts(self, bundle: int) -> list[int]:
        return [member["attempt"] for member in self.sent[bundle]["members"]]

    def only(self) -> int:
        """The one bundle that was sent."""
        [bundle] = self.sent
        return bundle

    def end(self, bundle: int, outcome: str = "succeeded", **more: Any) -> None:
        """Every member ends in the same way."""
        ended = [report(attempt, outcome, **more) for attempt in self.attempts(bundle)]
        self.say(bundle, ended)

    def say(self, bundle: int, ended: list[dict[str, Any]], final: bool = True) -> None:
        text = json.dumps({"bundle": bundle, "ended": ended, "not_started": []})
        kind = BundleEnded if final else Progress
        self.events.append(kind(bundle, self.address[bundle], text))

    def started(self, bundle: int, *attempts: int) -> None:
        text = json.dumps({"bundle": bundle, "started": attempts, "ended": [], "output": []})
        self.events.append(Progress(bundle, self.address[bundle], text))

    def lose(self, bundle: int, reason: str = "the node died", never_started: bool = False) -> None:
        self.events.append(BundleGone(bundle, self.address[bundle], reason, never_started))


def report(attempt: int, outcome: str = "succeeded", **more: Any) -> dict[str, Any]:
    """A runner's report about one member."""
    nothing = {"text": "", "total": 0, "left_out": 0, "left_out_at": 0}
    return {
        "attempt": attempt, "outcome": outcome, "exit_code": None, "signal": None, "error": "",
        "error_type": "", "traceback": "", "result": "null", "started_at": 1000.0,
        "run_seconds": 0.5, "cpu_seconds": 0.4, "max_rss_kb": 9000, "stdout": nothing,
        "stderr": nothing, "artifacts": [], **more,
    }  # fmt: skip


def stream(text: str) -> dict[str, Any]:
    return {"text": text, "total": len(text.encode()), "left_out": 0, "left_out_at": 0}

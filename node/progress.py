"""What the control room is told while a bundle runs. It may be lost: the final text has it all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from node.output import Stream

TELL_SECONDS = 0.2
OUTPUT_SECONDS = 1.0
SLOW_FACTOR = 5  # a control room that takes a second to answer is told every five


class Progress:
    """Holds every report, as JSON, and knows which of it was acknowledged."""

    def __init__(self, bundle: Any, report: Callable[[str], bool]) -> None:
        self.bundle = bundle
        self.report = report
        self.reports: list[str] = []
        self.held_bytes = 0
        self.started: list[Any] = []  # not yet acknowledged
        self.told = 0  # reports acknowledged
        self.tell_at = time.monotonic() + TELL_SECONDS
        self.output_at = 0.0
        self.attempt: Any = None
        self.streams: dict[str, Stream] = {}
        self.offsets: dict[str, int] = {}

    def start(self, attempt: Any) -> None:
        self.started.append(attempt)

    def watch(self, attempt: Any, stdout: Stream, stderr: Stream) -> None:
        """From now on their text goes out live."""
        self.attempt = attempt
        self.streams = {"stdout": stdout, "stderr": stderr}
        self.offsets = {"stdout": 0, "stderr": 0}
        self.output_at = time.monotonic() + OUTPUT_SECONDS

    def end(self, report: str) -> None:
        self.streams = {}
        self.reports.append(report)
        self.held_bytes += len(report)

    def tick(self) -> float:
        """Tell what is due. Answers in how many seconds there may be more."""
        now = time.monotonic()
        if now >= self.tell_at:
            self.tell(now)
        return max(self.tell_at - time.monotonic(), 0.0) if self._news() else OUTPUT_SECONDS

    def _news(self) -> bool:
        return (
            bool(self.started)
            or len(self.reports) > self.told
            or any(len(s.head) > self.offsets[name] for name, s in self.streams.items())
        )

    def tell(self, now: float) -> None:
        output, offsets = self._output() if now >= self.output_at else ([], {})
        started, ended = len(self.started), len(self.reports)
        if output or started or ended > self.told:
            heads = {"bundle": self.bundle, "started": self.started, "output": output}
            reports = ", ".join(self.reports[self.told :])
            text = f'{json.dumps(heads)[:-1]}, "ended": [{reports}]}}'
            if self._sent(text):
                del self.started[:started]
                self.told = ended
                self.offsets |= offsets
            if output:
                self.output_at = now + OUTPUT_SECONDS
        after = time.monotonic()
        self.tell_at = after + max(TELL_SECONDS, SLOW_FACTOR * (after - now))

    def _output(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        chunks, offsets = [], {}
        for name, stream in self.streams.items():
            start = self.offsets[name]
            text, end = stream.live(start)
            if text:
                chunk = {"attempt": self.attempt, "stream": name, "offset": start, "text": text}
                chunks.append(chunk)
                offsets[name] = end
        return chunks, offsets

    def _sent(self, text: str) -> bool:
        try:
            return bool(self.report(text))
        except Exception:  # whatever it is, the final text will tell
            return False

    def final(self, not_started: list[Any]) -> str:
        reports = ", ".join(self.reports)
        heads = {"bundle": self.bundle, "not_started": not_started}
        return f'{json.dumps(heads)[:-1]}, "ended": [{reports}]}}'

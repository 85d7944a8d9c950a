"""The engine's events on their way from dispy's threads to the caller's."""

from __future__ import annotations

import threading
from collections import deque

from cluster.engine.events import Event, NodeReading


class Inbox:
    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.readings: dict[str, NodeReading] = {}
        self.bell = threading.Event()
        self.lock = threading.Lock()

    def put(self, event: Event) -> None:
        with self.lock:
            self.events.append(event)
        self.bell.set()

    def put_reading(self, reading: NodeReading) -> None:
        """Kept, the newest of each node, but nobody is woken for it."""
        with self.lock:
            self.readings[reading.address] = reading

    def take(self) -> list[Event]:
        with self.lock:
            taken = [*self.events, *self.readings.values()]
            self.events.clear()
            self.readings.clear()
        return taken

"""How long the dispatcher pauses after a pass, so that others may write and more comes together."""

from collections import deque
from dataclasses import dataclass, field

FEW = 50  # things done in a pass; after more than that there is more to do at once
SHORT_SECONDS = 0.02  # at most, while little goes on: a job is not to wait
LONG_SECONDS = 0.06  # at most, when jobs come thick and fast, each of them by itself
LONG = 6  # times as long as the pass took
BUSY = 200  # small things a second, from which on it is worth to gather
MEMORY_SECONDS = 0.25


@dataclass
class Breath:
    """Small passes of the last moment: when they ended and what they did."""

    passes: deque[tuple[float, int]] = field(default_factory=deque)

    def after(self, done: int, seconds: float, now: float) -> float:
        """Seconds to pause after a pass that did so many things in so long."""
        if done >= FEW:
            return 0.0
        self.passes.append((now, done))
        while self.passes[0][0] < now - MEMORY_SECONDS:
            self.passes.popleft()
        rate = sum(count for _, count in self.passes) / MEMORY_SECONDS
        if rate < BUSY:
            return min(seconds, SHORT_SECONDS)
        return min(LONG * seconds, LONG_SECONDS)

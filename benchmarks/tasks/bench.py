"""What the benchmarks run."""

import time


def noop(n: int) -> int:
    return n


def pause(n: int, seconds: float = 0.05) -> None:
    time.sleep(seconds)

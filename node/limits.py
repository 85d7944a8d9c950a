"""What a member may use at most, set by its own process."""

from __future__ import annotations

import math
import resource


def set_limits(memory_mb: int | None, cpu_seconds: float | None, *, forked: bool) -> None:
    if memory_mb:
        size = memory_mb * 1024 * 1024
        if forked:  # a forked function starts with all that its parent has mapped
            with open("/proc/self/statm", "rb") as file:
                size += int(file.read().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, size, size)
    if cpu_seconds:
        seconds = math.ceil(cpu_seconds)
        _lower(resource.RLIMIT_CPU, seconds, seconds + 1)  # SIGXCPU, then SIGKILL


def _lower(limit: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(limit)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(limit, (soft, hard))

"""Numbers by chance, with seeds: the same seed gives the same answer anywhere."""

import random


def pi(samples: int, seed: int = 0) -> dict[str, float]:
    """Estimate pi from points in the unit square; the answer carries its standard error."""
    hits = count_hits(samples, seed)
    share = hits / samples
    return {
        "pi": 4 * share,
        "standard_error": 4 * (share * (1 - share) / samples) ** 0.5,
        "hits": hits,
        "samples": samples,
    }


def pi_block(seed: int, samples: int = 20_000) -> dict[str, int]:
    """One block of a larger estimate: add up hits and samples of many blocks."""
    return {"hits": count_hits(samples, seed), "samples": samples}


def count_hits(samples: int, seed: int) -> int:
    """How many of `samples` seeded points lie in the quarter circle."""
    if samples < 1:
        raise ValueError("samples must be at least 1")
    draw = random.Random(seed).random
    return sum(draw() ** 2 + draw() ** 2 <= 1.0 for _ in range(samples))

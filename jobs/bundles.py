"""How many small jobs ride together. Pure."""

TARGET_SECONDS = 0.5  # of work in one bundle
MOST = 1000


def size(run_seconds: float | None, remaining: int, slots: int) -> int:
    """How many of one spec's jobs to send together.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987): never more than half of an equal
    share of what remains, so that no slot idles while another has a long bundle left. A spec not
    measured yet travels alone.
    """
    if run_seconds is None or run_seconds >= TARGET_SECONDS:
        return 1
    by_time = int(TARGET_SECONDS / max(run_seconds, 1e-6))
    by_share = -(-remaining // (2 * max(1, slots)))
    return max(1, min(by_time, by_share, MOST))

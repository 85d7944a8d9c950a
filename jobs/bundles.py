"""How many small jobs ride together. Pure."""

TARGET_SECONDS = 0.5  # of work in one bundle
WORTH_SECONDS = 0.02  # of work, for which a bundle of its own is worth its way
LEAST_SECONDS = 25e-6  # of a member, however little it does
MOST = 1000
FIRST = 100  # after a pause: a large bundle takes longer to send, and its end is waited for


def most(run_seconds: float | None) -> int:
    """How many of such jobs a bundle may hold. A spec not measured yet travels alone."""
    if run_seconds is None or run_seconds >= TARGET_SECONDS:
        return 1
    return min(MOST, int(TARGET_SECONDS / max(run_seconds, LEAST_SECONDS)))


def size(run_seconds: float | None, remaining: int, slots: int, first: bool = False) -> int:
    """How many of one spec's jobs to send together; `remaining`: ready jobs, these included.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987): never more than half of an equal
    share of what remains, so that no slot idles while another has a long bundle left; but what
    is worth its way. `first`: nothing came back for a while, and somebody may wait.
    """
    share = -(-remaining // (2 * max(1, slots)))
    worth = int(WORTH_SECONDS / max(run_seconds or WORTH_SECONDS, LEAST_SECONDS))
    limit = min(most(run_seconds), FIRST) if first else most(run_seconds)
    return min(limit, max(1, share, worth))

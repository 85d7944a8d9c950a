"""Whether a node may be trusted with jobs: closed, open, half-open. Pure; time is passed in.

The circuit breaker of Nygard, Release It! (2007), with blame: a job that is lost on two nodes is
its own doing and counts against neither; different jobs lost on one node count against it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cluster.words import Words, gettext_noop

MOST_LOSSES = 3  # different jobs within the window
WINDOW = timedelta(minutes=10)
FIRST_PAUSE = timedelta(seconds=10)  # before the first probe; doubles with each opening
LONGEST_PAUSE = timedelta(minutes=10)
FORGIVEN_AFTER = timedelta(hours=1)  # closed for so long: the pause starts from the first again


@dataclass(frozen=True)
class Loss:
    """An attempt that a node lost."""

    node: int
    job: int
    at: datetime


@dataclass(frozen=True)
class Breaker:
    """As kept on the node's row; closed while opened_at is None."""

    opened_at: datetime | None = None
    probe_at: datetime | None = None  # half-open from here on: one canary may try
    openings: int = 0
    reason: str = ""
    closed_at: datetime | None = None  # losses before it are forgiven


def state(breaker: Breaker, now: datetime) -> str:
    """closed, open or half_open."""
    if breaker.opened_at is None:
        return "closed"
    return "half_open" if breaker.probe_at and breaker.probe_at <= now else "open"


def blamed(losses: Iterable[Loss]) -> dict[int, set[int]]:
    """Node -> the jobs lost there and nowhere else."""
    nodes_of: dict[int, set[int]] = defaultdict(set)
    for loss in losses:
        nodes_of[loss.job].add(loss.node)
    found: dict[int, set[int]] = defaultdict(set)
    for job, nodes in nodes_of.items():
        if len(nodes) == 1:
            found[next(iter(nodes))].add(job)
    return found


def after_losses(breaker: Breaker, losses: Collection[Loss], node: int, now: datetime) -> Breaker:
    """`losses`: on any node, of the jobs that this one lost."""
    if breaker.opened_at is not None:
        return breaker
    since = max(now - WINDOW, breaker.closed_at or now - WINDOW)
    here = {loss.job for loss in losses if loss.node == node and loss.at > since}
    jobs = here & blamed(losses)[node]
    if len(jobs) < MOST_LOSSES:
        return breaker
    text = gettext_noop("%(count)s different jobs were lost on it within %(minutes)s min")
    minutes = int(WINDOW.total_seconds() // 60)
    return opened(breaker, Words(text, count=len(jobs), minutes=minutes), now)


def after_canary(breaker: Breaker, error: str, failed_before: bool, now: datetime) -> Breaker:
    """`error`: what went wrong with the canary job; empty: nothing did."""
    if not error:
        return breaker if breaker.opened_at is None else Breaker(
            openings=breaker.openings, closed_at=now
        )  # fmt: skip
    if breaker.opened_at is None and not failed_before:
        return breaker  # once may be chance: the node is suspect
    why = Words(gettext_noop("its test job failed: %(error)s"), error=error)
    return opened(breaker, why, now)


def opened(breaker: Breaker, reason: str, now: datetime) -> Breaker:
    forgiven = breaker.closed_at is not None and now - breaker.closed_at > FORGIVEN_AFTER
    openings = 1 if forgiven else breaker.openings + 1
    return Breaker(breaker.opened_at or now, now + pause(openings), openings, reason)


def pause(openings: int) -> timedelta:
    return min(FIRST_PAUSE * 2 ** min(openings - 1, 20), LONGEST_PAUSE)

"""Whom the engine takes for gone, without a network."""

import time
from types import SimpleNamespace
from typing import Any

from cluster.engine.link import Link

LIMIT = 5.0


def link_with_a_node(heard: float, looked: float) -> tuple[Any, list[str]]:
    """A node that was heard, and a thread that last looked, so many seconds ago."""
    now, dropped = time.monotonic(), []
    link: Any = object.__new__(Link)
    link._nodes = {"127.0.0.2": SimpleNamespace(clusters={1}, ip_addr="127.0.0.2")}
    link.heard_at, link.looked_at, link.awake_since = {"127.0.0.2": now - heard}, now - looked, 0.0
    link.drop = lambda node, reason: dropped.append(node.ip_addr)
    return link, dropped


def test_a_silent_node_is_dropped() -> None:
    link, dropped = link_with_a_node(heard=6, looked=0.5)
    list(link.check_presence(LIMIT))
    assert dropped == ["127.0.0.2"]


def test_a_look_asked_for_before_we_slept_blames_nobody() -> None:
    """Whoever asked for it knew of no sleep: the machine stopped after that."""
    link, dropped = link_with_a_node(heard=7, looked=7)
    list(link.check_presence(LIMIT))
    list(link.check_presence(LIMIT))
    assert not dropped
    link.awake_since = link.looked_at - 6  # long awake, and still no word
    list(link.check_presence(LIMIT))
    assert dropped

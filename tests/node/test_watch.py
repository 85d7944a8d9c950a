"""Watching a member's process, with one that is none."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node import watch
from node.bell import Bell
from node.child import Launch
from node.process import Usage

HERE = Launch(cwd=Path("/"), env={}, argv=["true"])


@dataclass
class Puppet:
    """Has ended as soon as it began; remembers what was done to it."""

    fds: list[int] = field(default_factory=list)
    wake: int | None = None
    failure: str = ""
    done: list[str] = field(default_factory=list)

    def has_ended(self, usage: Usage) -> bool:
        return True

    def terminate(self) -> None:
        self.done.append("terminate")

    def kill(self) -> None:
        self.done.append("kill")

    def reap(self, usage: Usage) -> tuple[int | None, bool]:
        assert "reap" not in self.done, "its number is another's by now"
        self.done.append("reap")
        return 0, True


def fails(*_: object) -> None:
    raise RuntimeError("the real one")


@pytest.mark.parametrize("where", ["_watch", "_drain"])
def test_whatever_goes_wrong_is_told_and_the_process_reaped_once(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    puppet = Puppet([reading])
    monkeypatch.setattr(watch, where, fails)
    with Bell() as bell, pytest.raises(RuntimeError, match="the real one"):
        watch.run_child(HERE, bell, lambda: 1.0, lambda *_: None, lambda _: puppet)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    assert puppet.done == ["reap"]

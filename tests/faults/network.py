"""A node at the other end of a cable that can be cut, in one direction or both.

A network namespace holds the node; a pair of virtual interfaces is the cable. A direction is cut
by a wrong hardware address in the sender's neighbour table: frames go out and nobody takes
them, without any error, as with a real cut.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.fleet import ROOT, Fleet

NOBODY = "02:00:00:00:00:01"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Cable:
    name: str  # of the namespace, and of the interfaces with a or b behind
    ours: str
    theirs: str
    near: str  # a second address on our side

    def cut_ours(self) -> None:
        """What we say no longer arrives there."""
        ip("neigh", "replace", self.theirs, "lladdr", NOBODY, "dev", f"{self.name}a",
           "nud", "permanent")  # fmt: skip

    def cut_theirs(self) -> None:
        """What is said there no longer arrives here."""
        ip("-n", self.name, "neigh", "replace", self.ours, "lladdr", NOBODY,
           "dev", f"{self.name}b", "nud", "permanent")  # fmt: skip

    def mend(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("neigh", "del", self.theirs, "dev", f"{self.name}a")
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("-n", self.name, "neigh", "del", self.ours, "dev", f"{self.name}b")


class FarFleet(Fleet):
    """Its first node is at the far end of the cable, its second one on our side."""

    def __init__(self, folder: Path, cable: Cable) -> None:
        super().__init__(folder, nodes=2, slots=2)
        self.cable = cable
        self.addresses = [cable.theirs, cable.near]
        self.environment["DISPY_NODES"] = ",".join(self.addresses)
        self.environment["DISPY_HOST"] = cable.ours

    def start(self, name: str, *command: str, **environment: str) -> None:
        if name != self.cable.theirs:
            return super().start(name, *command, **environment)
        with open(self.folder / "far.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["ip", "netns", "exec", self.cable.name, sys.executable, *command], cwd=ROOT,
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Laid and taken away again. Skips the test where we may not."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    number = random.randrange(1, 2**14)
    net = f"10.{190 + number // 4096}.{number // 16 % 256}"
    first = number % 16 * 16
    made = Cable(f"dcf{number}", f"{net}.{first + 1}", f"{net}.{first + 2}", f"{net}.{first + 3}")
    try:
        ip("netns", "add", made.name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace may be made here: {error.stderr.decode().strip()}")
    near, far = f"{made.name}a", f"{made.name}b"
    try:
        try:
            ip("link", "add", near, "type", "veth", "peer", "name", far)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no virtual interface may be made here: {error.stderr.decode().strip()}")
        ip("link", "set", far, "netns", made.name)
        ip("addr", "add", f"{made.ours}/29", "dev", near)
        ip("addr", "add", f"{made.near}/29", "dev", near)
        ip("-n", made.name, "addr", "add", f"{made.theirs}/29", "dev", far)
        for words in (("link", "set", near, "up"), ("-n", made.name, "link", "set", far, "up"),
                      ("-n", made.name, "link", "set", "lo", "up")):  # fmt: skip
            ip(*words)
        yield made
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("link", "del", near)
        with contextlib.suppress(subprocess.CalledProcessError):
            ip("netns", "del", made.name)

"""Hours of faults under load, then the invariants: `python -m tests.faults --soak MINUTES`.

Not collected by the ordinary suite: it is run by its path.
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import Error, connection
from django.utils import timezone

from cluster import nodes
from cluster.models import Node
from jobs.counts import by_state
from jobs.models import FINAL_STATES, Job
from tests import factories
from tests.faults.soak_check import check, explain
from tests.faults.soak_faults import Scene, faults
from tests.faults.soak_load import TASKS, Load
from tests.faults.soak_table import Memory, finishes, job_rows, markdown, pauses, strike_rows
from tests.faults.web import Web
from tests.faults.work import thaw
from tests.live.fleet import fleet, wait_for

MINUTES = float(os.environ.get("DISPYCLUSTER_SOAK_MINUTES", "1"))
EVERY = float(os.environ.get("DISPYCLUSTER_SOAK_EVERY", "30"))  # seconds between two faults
SEED = os.environ.get("DISPYCLUSTER_SOAK_SEED") or str(random.randrange(10**6))
NODES = 3
TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*.*$", re.MULTILINE)
SAY_SECONDS = 30.0
LAST_SECONDS = 240.0  # for all jobs to end, once the faults have stopped

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    # Not pytest's folder, which a later run of anybody's tests clears away.
    folder = Path(tempfile.mkdtemp(prefix="dispycluster-soak-"))
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "soaking.py").write_text(TASKS)
    with fleet(folder, nodes=NODES, slots=2) as made:
        made.environment["DISPYCLUSTER_TASKS"] = str(tasks)
        web = Web(made)
        web.sign_in(factories.make_user("soak", is_staff=True))
        scene = Scene(made, web, Load(web, folder / "ledger", SEED), random.Random(SEED))
        yield scene
    if scene.good:
        shutil.rmtree(folder)


@pytest.mark.timeout(MINUTES * 60 + 1200)
def test_soak(scene: Scene) -> None:
    print(f"\n{connection.vendor}: {MINUTES:g} min, a fault every {EVERY:g} s, seed {SEED}")
    up(scene)
    watcher = Watcher(scene)
    watcher.start()
    scene.load.start()
    started, begun = time.monotonic(), timezone.now()
    try:
        violations = strike_until(scene, started + 60 * MINUTES)
    finally:
        scene.load.stop()
    ended = timezone.now()
    try:
        violations += settle(scene)
    finally:
        watcher.stop()
    found = check(scene.load.accepted, scene.load.ledger)
    found.violations += violations + scene.load.wrong
    done, minutes = finishes(), (ended - begun).total_seconds() / 60
    longest = max(pauses(done, begun, ended))
    for rows in (
        job_rows(minutes, scene.load.accepted, found, longest),
        strike_rows(scene.strikes, done, ended),
        watcher.memory.rows(),
    ):
        print(f"\n{markdown(rows)}")
    print(f"\n{scene.load.dry} looks at an empty queue. {tracebacks(scene.fleet.folder)}")
    for line in [*found.violations[:50], *explain(found.jobs, scene.load.ledger)]:
        print(line)
    assert not found.violations, f"{len(found.violations)} violations; logs in {scene.fleet.folder}"
    scene.good = True


def up(scene: Scene) -> None:
    scene.web.start()
    for address in scene.fleet.addresses:
        scene.fleet.start_node(address)
    scene.start_pair()
    wait_for(all_online, 30, f"nodes up\n{scene.fleet.logs()}")


def all_online() -> bool:
    return Node.objects.filter(online=True).count() == NODES


def strike_until(scene: Scene, end: float) -> list[str]:
    """A fault at a time, each kind once before any comes again. What went wrong."""
    wrong: list[str] = []
    deck: list[Callable[[Scene], None]] = []
    at = time.monotonic() + EVERY
    while at < end:
        time.sleep(max(1.0, at - time.monotonic()))
        wrong += mend(scene)
        if not deck:
            deck = faults(connection.vendor)
            scene.dice.shuffle(deck)
        wrong += strike(scene, deck.pop())
        at = max(at + EVERY, time.monotonic())
    time.sleep(max(0.0, end - time.monotonic()))
    return wrong


def strike(scene: Scene, fault: Callable[[Scene], None]) -> list[str]:
    try:
        fault(scene)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        print(f"  {fault.__name__} went wrong: {error}", flush=True)
        return [f"{timezone.now():%H:%M:%S} {fault.__name__}: {error}"]
    scene.strikes[-1].healed = time.monotonic() - scene.clear_at
    return []


def mend(scene: Scene) -> list[str]:
    """Start again what ended by itself, or was left lying by a fault that went wrong."""
    ended = {
        name: process.returncode
        for name, process in scene.fleet.processes.items()
        if process.poll() is not None
    }
    for name in scene.fleet.processes.keys() - ended.keys():
        thaw(scene.fleet, name)
    nodes.resume(Node.objects.all())
    if ended.keys() & {"dispatcher", "standby"}:
        for name in ("standby", "dispatcher"):
            scene.fleet.kill(name)
        scene.start_pair()
    for address in ended.keys() & set(scene.fleet.addresses):
        scene.fleet.start_node(address)
    if "web" in ended:
        scene.web.start()
    return [
        f"{timezone.now():%H:%M:%S} {name} was found ended, status {status}"
        for name, status in ended.items()
    ]


def settle(scene: Scene) -> list[str]:
    """The faults are over: everything ends, everybody is back."""
    wrong = mend(scene)
    still = Job.objects.exclude(state__in=FINAL_STATES)
    try:
        wait_for(lambda: not still.exists(), LAST_SECONDS, "the end of all jobs")
        wait_for(all_online, 60, "all nodes online")
    except AssertionError as error:
        return [*wrong, str(error)]
    return wrong


def tracebacks(folder: Path) -> str:
    """Exceptions that nobody expected, of all processes: how many of each, and where."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.log"):
        for text in TRACEBACK.findall(path.read_text(errors="replace")):
            found[text] += 1
    told = [f"\n{count} times in the logs:\n{text}" for text, count in found.most_common(10)]
    return "".join(told) or "No traceback in the logs."


class Watcher:
    """Looks at the processes' memory, and says every half a minute how it goes."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.memory = scene, Memory()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.started = time.monotonic()

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.done.set()
        self.thread.join()

    def run(self) -> None:
        says = time.monotonic() + SAY_SECONDS
        try:
            while not self.done.wait(1.0):
                sizes = self.look()
                if time.monotonic() >= says:
                    says += SAY_SECONDS
                    self.say(sizes)
        finally:
            connection.close()

    def look(self) -> dict[str, int]:
        roles = {"dispatcher": "dispatcher", "web": "web"}
        sizes = {}
        for name, process in list(self.scene.fleet.processes.items()):
            if name != "standby":
                role = roles.get(name, "node")
                sizes[name] = self.memory.look(role, process.pid, time.monotonic())
        return sizes

    def say(self, sizes: dict[str, int]) -> None:
        try:
            counts = by_state(Job.objects.all())
        except Error:  # a fault's doing
            connection.close()
            counts = by_state(Job.objects.all())
        minutes = (time.monotonic() - self.started) / 60
        final = sum(counts[state] for state in FINAL_STATES)
        last = self.scene.strikes[-1].kind if self.scene.strikes else "none yet"
        print(
            f"{minutes:6.1f} min: {self.scene.load.accepted} accepted, {final} final,"
            f" {counts['queued']} queued, {counts['running']} running;"
            f" dispatcher {sizes.get('dispatcher', 0) // 1024} MB,"
            f" web {sizes.get('web', 0) // 1024} MB; last fault: {last}",
            flush=True,
        )

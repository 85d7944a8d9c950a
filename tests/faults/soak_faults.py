"""The soak's faults. Each makes one happen, lets it heal, and returns when work goes on again."""

import contextlib
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from jobs import lease
from jobs.models import FINAL_STATES, OPEN_STATES, Attempt, Job, Lease
from tests.faults.soak_load import Load
from tests.faults.test_dispatcher_dies import freeze_between_transactions
from tests.faults.web import Web
from tests.faults.work import freeze, thaw
from tests.live.fleet import Fleet, wait_for

HEALED_SECONDS = 60.0  # most, for any of them
BURST = 24  # requests under way when the web is killed
HANDFUL = 8


@dataclass
class Strike:
    """A fault as it happened."""

    kind: str
    at: datetime
    node: str = ""  # the address of the one it hit
    healed: float | None = None  # seconds after it could


@dataclass
class Scene:
    fleet: Fleet
    web: Web
    load: Load
    dice: random.Random
    strikes: list[Strike] = field(default_factory=list)
    clear_at: float = 0.0
    good: bool = False  # nothing was found: the logs may go

    def struck(self, kind: str, node: str = "") -> None:
        self.strikes.append(Strike(kind, timezone.now(), node))
        self.cleared()

    def cleared(self) -> None:
        """From now on nothing stands in the way of its healing."""
        self.clear_at = time.monotonic()

    def some_node(self) -> str:
        return self.dice.choice(self.fleet.addresses)

    def start_pair(self) -> None:
        """A dispatcher, and one that stands by."""
        self.fleet.start_dispatcher("dispatcher", "--standby")
        wait_for(lambda: self.holds("dispatcher"), HEALED_SECONDS, "the lease")
        self.fleet.start_dispatcher("standby", "--standby")

    def holds(self, name: str) -> bool:
        """Is the dispatcher's lease that process's?"""
        pid = self.fleet.processes[name].pid
        return Lease.objects.filter(name="dispatcher", holder__contains=f":{pid}:").exists()

    def promote(self) -> None:
        """The standby is the dispatcher now, and gets a standby of its own."""
        wait_for(lambda: self.holds("standby"), HEALED_SECONDS, "the standby to take over")
        self.fleet.processes["dispatcher"] = self.fleet.processes.pop("standby")
        self.fleet.start_dispatcher("standby", "--standby")

    def claims(self, after: int, address: str = "") -> None:
        """Until an attempt newer than that one was opened, on that node, and has begun."""
        newer = Attempt.objects.filter(pk__gt=after, started_at__isnull=False)
        if address:
            newer = newer.filter(node__address=address)
        wait_for(newer.exists, HEALED_SECONDS, f"work again on {address or 'any node'}")


def newest() -> int:
    return Attempt.objects.aggregate(newest=Max("pk"))["newest"] or 0


def dispatcher_killed(scene: Scene) -> None:
    scene.fleet.kill("dispatcher")
    scene.struck("dispatcher killed, the standby takes over")
    last = newest()
    scene.promote()
    scene.claims(last)


def dispatchers_killed(scene: Scene) -> None:
    scene.fleet.kill("standby")
    scene.fleet.kill("dispatcher")
    scene.struck("dispatcher killed and started again")
    last = newest()
    scene.start_pair()
    scene.claims(last)


def dispatcher_stopped(scene: Scene) -> None:
    scene.fleet.signal("dispatcher", signal.SIGTERM)
    scene.struck("dispatcher asked to stop")
    status = scene.fleet.processes["dispatcher"].wait(15)
    assert status == 0, f"it left with status {status}"
    last = newest()
    scene.promote()
    scene.claims(last)


def dispatcher_frozen(scene: Scene) -> None:
    """Beyond its lease. Until it wakes, or is killed, it sits on the port."""
    freeze_between(scene.fleet)
    scene.struck("dispatcher frozen beyond its lease")
    last = newest()
    wait_for(lambda: scene.holds("standby"), lease.SECONDS + 10, "the standby to take over")
    time.sleep(scene.dice.uniform(0, 5))
    scene.cleared()
    scene.fleet.signal("dispatcher", signal.SIGCONT)
    status = scene.fleet.processes["dispatcher"].wait(20)
    assert status == 1, f"having lost its lease it left with status {status}"
    scene.promote()
    scene.claims(last)


def freeze_between(fleet: Fleet) -> None:
    """SIGSTOP between two transactions; on PostgreSQL one may hold the lease's row."""
    for _ in range(50):
        freeze_between_transactions(fleet)
        if connection.vendor != "postgresql" or not in_the_middle():
            return
        fleet.signal("dispatcher", signal.SIGCONT)
        time.sleep(0.1)  # to get on with it
    raise AssertionError("it was never between two transactions")


def in_the_middle() -> bool:
    """Does a transaction last longer than any of those that go on?"""
    time.sleep(0.3)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " AND xact_start < now() - interval '0.25 s'"
        )
        return bool(cursor.fetchone()[0])


def node_frozen(scene: Scene) -> None:
    address, whole = scene.some_node(), scene.dice.random() < 0.5
    if whole:
        freeze(scene.fleet, address)
    else:  # its jobs, in sessions of their own, go on
        scene.fleet.signal(address, signal.SIGSTOP)
    scene.struck(f"node frozen, {'jobs too' if whole else 'its jobs not'}", address)
    time.sleep(scene.dice.uniform(10, 20))
    last = newest()
    scene.cleared()
    thaw(scene.fleet, address)
    scene.claims(last, address)


def node_killed(scene: Scene) -> None:
    address = scene.some_node()
    scene.fleet.kill(address)
    scene.struck("node killed", address)
    time.sleep(5)
    last = newest()
    scene.cleared()
    scene.fleet.start_node(address)
    scene.claims(last, address)


def node_stopped(scene: Scene) -> None:
    address = scene.some_node()
    agent = scene.fleet.processes[address]
    agent.terminate()
    scene.struck("node asked to stop", address)
    status = agent.wait(20)
    assert status == 0, f"it left with status {status}"
    last = newest()
    scene.cleared()
    scene.fleet.start_node(address)
    scene.claims(last, address)


def all_killed(scene: Scene) -> None:
    """A node and both dispatchers at once, and back in any order."""
    address = scene.some_node()
    for name in ("standby", "dispatcher", address):
        scene.fleet.kill(name)
    scene.struck("dispatchers and a node killed together", address)
    last, steps = newest(), [scene.start_pair, lambda: scene.fleet.start_node(address)]
    scene.dice.shuffle(steps)
    for step in steps:
        time.sleep(scene.dice.uniform(0, 3))
        step()
    scene.cleared()
    scene.claims(last, address)


def web_killed(scene: Scene) -> None:
    """With requests under way. They are repeated with their keys until they are answered."""
    bodies = {scene.load.key(): scene.load.short() for _ in range(BURST)}
    with ThreadPoolExecutor(BURST) as pool:
        asked = [pool.submit(scene.load.post, "jobs", body, key) for key, body in bodies.items()]
        time.sleep(scene.dice.uniform(0.01, 0.3))
        scene.web.stop()
        scene.struck("web killed under requests")
        scene.cleared()
        scene.web.start()
        for one in asked:
            one.result()
    for key, body in bodies.items():
        scene.load.post("jobs", body, key)


def database_locked(scene: Scene) -> None:
    other = sqlite3.connect(connection.settings_dict["NAME"], timeout=20, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN EXCLUSIVE")
        scene.struck("database locked for 5 s")
        time.sleep(5)
        last = newest()
        scene.cleared()
        other.execute("ROLLBACK")
    scene.claims(last)


def sessions_cut(scene: Scene) -> None:
    """Everybody's connections to PostgreSQL but this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    scene.struck("database connections cut")
    scene.claims(newest())


def jobs_cancelled(scene: Scene) -> None:
    some = pick(scene, list(Job.objects.filter(state__in=OPEN_STATES).values_list("pk", flat=True)))
    scene.struck("jobs cancelled")
    for job in some:
        ask(scene, f"/api/jobs/{job}/cancel", 200, 409)
    until_final(some)


def jobs_requeued(scene: Scene) -> None:
    final = Job.objects.filter(state__in=FINAL_STATES).exclude(name="long")
    some = pick(scene, list(final.values_list("pk", flat=True)[:2000]))
    scene.struck("final jobs requeued")
    for job in some:
        ask(scene, f"/api/jobs/{job}/requeue", 200, 409)
    until_final(some)


def pick(scene: Scene, jobs: list[int]) -> list[int]:
    return scene.dice.sample(jobs, min(HANDFUL, len(jobs)))


def until_final(jobs: list[int]) -> None:
    still = Job.objects.filter(pk__in=jobs).exclude(state__in=FINAL_STATES)
    wait_for(lambda: not still.exists(), HEALED_SECONDS, f"the end of {jobs}")


def node_drained(scene: Scene) -> None:
    address = scene.some_node()
    url = f"/api/cluster/nodes/{scene.fleet.name(address)}"
    ask(scene, f"{url}/drain", 200)
    scene.struck("node drained and resumed", address)
    time.sleep(1)  # a claim that had read the row before
    last = newest()
    busy = Attempt.objects.filter(node__address=address, finished_at=None)
    wait_for(lambda: not busy.exists(), HEALED_SECONDS, f"{address} to be empty")
    given = Attempt.objects.filter(node__address=address, pk__gt=last).count()
    assert not given, f"{given} attempts went to a node that was drained"
    last = newest()
    scene.cleared()
    ask(scene, f"{url}/resume", 200)
    scene.claims(last, address)


def ask(scene: Scene, path: str, *expected: int) -> None:
    status, answer, _ = scene.web.ask("POST", path)
    assert status in expected, f"{path}: {status} {answer!r:.500}"


EVERYWHERE: list[Callable[[Scene], None]] = [
    dispatcher_killed, dispatchers_killed, dispatcher_stopped, dispatcher_frozen, node_frozen,
    node_killed, node_stopped, all_killed, web_killed, jobs_cancelled, jobs_requeued, node_drained,
]  # fmt: skip


def faults(vendor: str) -> list[Callable[[Scene], None]]:
    return [*EVERYWHERE, sessions_cut if vendor == "postgresql" else database_locked]

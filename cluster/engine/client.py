"""The engine: carries bundles to the nodes by dispy and says what became of them.

One Engine per process (dispy keeps a single client). Only the caller's thread may call it.
dispy's exit handlers are taken out: a process may end at any time, by os._exit or otherwise.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dispy
import dispy.config
from pycos import Task

from cluster.engine import adoption, finding, reasons
from cluster.engine.desk import Desk
from cluster.engine.events import BundleEnded, Event, NodeGone, NodeSeen
from cluster.engine.jobcluster import make_computation
from cluster.engine.link import Link
from cluster.engine.names import Names
from node import fixes, transfer

fixes.apply()  # before dispy starts anything

log = logging.getLogger("cluster.engine")

CHECK_SECONDS = 0.5
AUDIT_SECONDS = 10.0  # between asking a node which bundles it has
IDLE_AUDIT_SECONDS = 25.0  # one that has none: how long does it take to answer?
RELEASE_SECONDS = 5.0
GOODBYE_SECONDS = 1.0  # for nodes that could not be adopted; later knocks try again
FORGOTTEN_SECONDS = 7 * 24 * 3600
LARGEST_TEXT = 15_000_000  # of a bundle; a node refuses frames above 16 MB


class EngineDeaf(Exception):
    """Nodes cannot reach us any more: leave, so that a new process takes over."""


@dataclass(frozen=True)
class EngineConfig:
    host: str  # address the nodes reach us at
    port: int  # ours; nodes listen on the next one
    secret: str
    nodes: tuple[str, ...]  # names or addresses
    home: Path  # engine folder, 0700: identity, incoming artifacts
    pulse_seconds: float = 1.0  # a node that is silent for five of them is gone
    ping_seconds: float = 5.0  # between two looks for listed nodes that are not there
    deaf_seconds: float = 20.0  # our own port may fail to answer us for so long
    log_level: str = "WARNING"
    certfile: str | None = None
    keyfile: str | None = None


class Engine:
    """An address in events and calls is the text under which the node was listed."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.desk = Desk()
        self.names = Names(self.desk, config.ping_seconds)
        self.link: Any = None
        self.identity: Any = None
        self.unsaved = False  # the identity on the disk is behind
        self.delivered: list[int] = []  # ended bundles in the caller's hands, not yet recorded
        self.woken_at = self.checked_at = self.audit_at = self.self_at = time.monotonic()

    # Start

    def start(self, open_bundles: dict[int, str]) -> None:
        """Connect, and adopt the bundles (id -> address) that an earlier process left running.

        Those that cannot be adopted come out as BundleGone. Raises RuntimeError if our port
        cannot be had.
        """
        self.prepare_home()
        config = self.config
        place = f"{config.host}:{config.port}"
        found = adoption.load(self.identity_file, place, config.secret)
        self.identity = found or adoption.new_identity(place, config.secret)
        for address in config.nodes:
            self.names.add(address)
        for ip, record in self.identity.nodes.items():
            self.names.set(record.address, ip)
        self.connect()
        for bundle, address in open_bundles.items():
            self.desk.begin(bundle, address, self.names.ip_of(address) or "", sent=True)
        if not Task(self.link.listen).value():
            raise RuntimeError(f"port {config.port} at {config.host} is taken")
        self.adopt(open_bundles)
        self.save()
        self.link.listed = self.names.ips()
        self.names.start(self.link)
        self.audit_at = time.monotonic() + self.audit_again()  # answers kept come first

    def prepare_home(self) -> None:
        home = self.config.home
        self.identity_file = home / "identity.json"
        for folder in (home, home / "incoming", home / "outgoing"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        for path in (*(home / "incoming").iterdir(), *(home / "outgoing").iterdir()):
            if path.name.endswith(".part") or path.is_symlink() or is_forgotten(path):
                path.unlink()

    def connect(self) -> None:
        config = self.config
        logging.getLogger("dispy").setLevel(config.log_level.upper())
        fixes.apply(config.certfile, config.keyfile)
        dispy.config.DispyPort = config.port
        dispy._Cluster, dispy._Node = Link, finding.Node
        link = self.link = Link(
            self.desk, self.identity.key.encode(), self.identity.sign, config.home / "incoming",
            host=config.host, secret=config.secret,
            certfile=config.certfile, keyfile=config.keyfile,
        )  # fmt: skip
        computation = make_computation(link, self.desk, config.pulse_seconds)
        adoption.assume(link, computation, self.identity)
        self.desk.names, self.desk.link = self.names, link
        for handler in (link.shutdown, computation.shutdown, link.pycos.finish):
            atexit.unregister(handler)

    def adopt(self, open_bundles: dict[int, str]) -> None:
        """Ask the nodes of the earlier life, all at once, to go on with us."""
        tasks = {}
        deadline = time.monotonic() + 2 * adoption.ASK_SECONDS
        for ip, record in self.identity.nodes.items():
            mine = [b for b, address in open_bundles.items() if self.names.ip_of(address) == ip]
            if record.usable and self.names.address_of(ip):
                self.desk.passports[ip] = record.passport
                tasks[ip] = Task(adoption.adopt_node, self.link, ip, record, mine, deadline)
            else:
                self.link.held[ip] = adoption.held(record)
        adopted = set()
        for ip, task in tasks.items():
            running = task.value(timeout=max(0.1, deadline + 0.1 - time.monotonic()))
            if isinstance(running, set):
                adopted.add(ip)
                self.desk.adopted(ip, running)
        self.let_go(tasks.keys() - adopted, GOODBYE_SECONDS)
        for bundle, address in open_bundles.items():
            if self.names.ip_of(address) not in adopted:
                self.desk.gone(bundle, reasons.NOBODY_ANSWERS)

    # Nodes

    def add_node(self, address: str) -> None:
        self.names.add(address)
        self.link.listed = self.names.ips()
        ip = self.names.ip_of(address)
        if ip:
            Task(self.link.knock, ip)

    def remove_node(self, address: str) -> None:
        """Its running bundles are killed and come out as BundleGone."""
        ip = self.names.ip_of(address)
        if ip:
            Task(self.link.remove, ip).value(timeout=RELEASE_SECONDS)
        self.names.remove(address)

    # Bundles

    def send(
        self, bundle: int, address: str, text: str, files: Sequence[tuple[str, Path]] = (),
        after: int | None = None,
    ) -> bool:  # fmt: skip
        """Send to a free slot of that node, or to the one that the bundle `after` will free.

        False where there is none; never queues.
        """
        if len(text) > LARGEST_TEXT:
            raise ValueError(f"bundle {bundle} has {len(text)} characters, over {LARGEST_TEXT}")
        ip = self.names.ip_of(address)
        node = self.link.usable(ip) if ip else None
        if node is None or ip is None or ip not in self.desk.open:
            return False
        if not self.desk.has_room(ip, node.cpus, after):
            return False
        links = [self.outgoing(digest, path) for digest, path in files]
        self.desk.begin(bundle, address, ip, after=after)
        args = (text,) if after is None else (text, after)
        Task(self.link.launch, bundle, ip, args, links)
        return True

    def outgoing(self, digest: str, path: Path) -> Path:
        """The file under the flat name that the node is to know it by."""
        name = digest.replace(":", "-")
        if transfer.digest_in(name) is None:
            raise ValueError(f"{digest!r} is no sha256 digest")
        link = self.config.home / "outgoing" / name
        if not link.is_symlink():
            link.symlink_to(path.resolve())
        return link

    def cancel(self, bundle: int) -> None:
        """Ask for its end; asked again until it ended."""
        if self.desk.cancel(bundle):
            Task(self.link.stop_job, bundle)

    def incoming(self, name: str) -> Path | None:
        """The artifact that a node sent under this flat name, if it is here."""
        if transfer.artifact_digest(name) is None:
            return None
        path = self.config.home / "incoming" / name
        return path if path.is_file() else None

    # Events

    def take_events(self, recorded: bool = True) -> list[Event]:
        """What happened since the last call, in order.

        recorded: everything taken before is safe on the caller's disk. Only then are answers
        acknowledged to the nodes, which keep them, for another process if need be.
        """
        self.check()
        if recorded and self.delivered:
            Task(self.link.mark_recorded, self.delivered)
            self.delivered = []
        events = self.desk.inbox.take()
        self.delivered += [event.bundle for event in events if isinstance(event, BundleEnded)]
        if self.unsaved or any(isinstance(event, NodeSeen | NodeGone) for event in events):
            self.save()  # before anything is sent to a node that nobody else could adopt
        return events

    def save(self) -> None:
        """Where the disk is full, new nodes get no work until it can be done."""
        if self.link is None:
            return
        up = self.desk.up.copy()
        adoption.note_nodes(self.identity, self.link, self.names, self.desk.passports)
        try:
            adoption.save(self.identity_file, self.identity)
        except OSError as error:
            if not self.unsaved:
                log.warning("the nodes at work could not be noted; trying again: %s", error)
            self.unsaved = True
            return
        self.unsaved = False
        self.desk.open |= up & self.desk.up

    def wait(self, seconds: float) -> bool:
        """Wait for an event or wake(); True if there was one."""
        deadline = time.monotonic() + seconds
        bell = self.desk.inbox.bell
        while True:
            self.check()
            left = deadline - time.monotonic()
            if bell.wait(max(0.0, min(left, CHECK_SECONDS))):
                bell.clear()
                return True
            if left <= 0:
                return False

    def wake(self) -> None:
        self.desk.inbox.bell.set()

    # What dispy does not tell

    def check(self) -> None:
        """Twice a second: absent and silent nodes, cancels not obeyed, bundles nobody knows.

        Raises EngineDeaf where our own port has not answered for a while.
        """
        now = time.monotonic()
        if self.link is None or now - self.checked_at < CHECK_SECONDS:
            return
        if now - self.checked_at > 2 * self.config.pulse_seconds + CHECK_SECONDS:
            self.woken_at = now  # we were asleep: our own port could not answer
        self.checked_at = now
        Task(self.link.look_for_nodes, self.config.ping_seconds)
        Task(self.link.check_presence, 5 * self.config.pulse_seconds)
        for bundle in self.desk.to_cancel(now):
            Task(self.link.stop_job, bundle)
        self.desk.give_up_untracked(now)
        if now - max(self.link.heard_ourselves_at, self.woken_at) > self.config.deaf_seconds:
            raise EngineDeaf(f"our own port {self.config.port} does not answer")
        if now >= self.self_at:
            self.self_at = now + self.config.deaf_seconds / 4
            Task(self.link.call_ourselves)
        if now >= self.audit_at:
            for ip in self.desk.to_audit(now, AUDIT_SECONDS, IDLE_AUDIT_SECONDS):
                Task(self.link.audit, ip)

    def audit_again(self) -> float:
        """Until when a node that keeps an answer will have tried to deliver it."""
        return max(3.0, 3 * self.config.pulse_seconds)

    # End

    def close(self, keep_running: bool) -> None:
        """Stop. keep_running leaves the nodes' jobs for the next process to adopt."""
        self.names.stop()
        if self.link is None or self.identity is None:
            return
        self.link.listed = set()
        if keep_running:
            self.save()
        else:
            self.release_all()
        self.link = None

    def release_all(self) -> None:
        nodes = list(self.link._nodes.items())
        for _, node in nodes:
            self.link.hold(node)
        self.let_go({ip for ip, _ in nodes}, RELEASE_SECONDS)
        self.identity_file.unlink(missing_ok=True)

    def let_go(self, ips: set[str], seconds: float) -> None:
        """Free these nodes, all at once; those that do not answer in time stay held."""
        tasks = [Task(self.link.let_go_quietly, ip) for ip in ips]
        deadline = time.monotonic() + seconds
        for task in tasks:
            task.value(timeout=max(0.01, deadline - time.monotonic()))


def is_forgotten(path: Path) -> bool:
    """An artifact that nobody fetched, of a bundle that was given up."""
    return time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS

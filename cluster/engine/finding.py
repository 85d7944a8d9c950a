"""Finding the listed nodes, by TCP alone, and freeing those that an earlier life of ours holds.

Everything here that yields runs in dispy's own thread (a pycos task).
"""

from __future__ import annotations

import copy
import hmac
import re
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any, Protocol

import dispy
import pycos
from pycos import Task

from cluster.engine import reasons
from node.fixes import DISPY_VERSION, Steps

PATIENCE = 2  # knocks that a node may leave unanswered before we say so


class Reports(Protocol):
    """Where the link reports; called in dispy's thread."""

    def trouble(self, ip: str, reason: str) -> None: ...
    def gone(self, bundle: int, reason: str, never_started: bool = False) -> None: ...
    def sent(self, bundle: int) -> None: ...
    def is_cancelled(self, bundle: int) -> bool: ...
    def timed(self, ip: str, seconds: float | None) -> None: ...
    def in_doubt(self, ip: str) -> list[int]: ...
    def audited(self, ip: str, known: set[int], never: set[int], asked_at: float) -> None: ...


@dataclass
class Held:
    """How to talk to a node that last worked for us."""

    port: int
    auth: bytes  # the node's own, made from the secret and its sign
    password: str  # of our computation there


class Node(dispy._Node):
    """dispy's record of a node. Each set-up gets a password of its own, so that a CLOSE which a
    frozen node hears late cannot close what was set up since."""

    __slots__ = ("password",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.password = ""

    def setup(
        self, depends: Any, setup_args: Any, compute: Any, resetup: bool = False,
        exclusive: bool = True, task: Any = None,
    ) -> Steps:  # fmt: skip
        if not resetup:
            self.password = secrets.token_hex(20)
        return (
            yield super().setup(depends, setup_args, self.own(compute), resetup=resetup, task=task)
        )

    def own(self, compute: Any) -> Any:
        """Our computation as this node knows it."""
        mine = copy.copy(compute)
        mine.auth = self.password
        mine.scheduler_ip_addr, mine.node_ip_addr = self.scheduler_ip_addr, self.ip_addr
        return mine


class Finding:
    """The half of Link that has no nodes yet. Attributes of dispy's _Cluster are taken as given."""

    desk: Reports
    _nodes: Any
    node_port: int
    port: int
    sign: str
    auth: bytes
    secret: str
    keyfile: str | None
    certfile: str | None
    ip_addrs: list[str]
    computation: Any

    def prepare_finding(self) -> None:
        self.listed: set[str] = set()
        self.held: dict[str, Held] = {}
        self.knocking: set[str] = set()
        self.knocked_at: dict[str, float] = {}
        self.knocks: dict[str, int] = {}  # in vain, since it was last here
        self.unanswered: dict[str, int] = {}
        self.met_at: dict[str, float] = {}  # when a node that is being set up was first heard

    def discover_nodes(self, cluster: Any, node_allocs: Any, task: Any = None) -> Steps:
        """We look for nodes ourselves."""
        yield None
        return 0

    def broadcast_ping(self, addrinfos: Any = (), port: Any = None, task: Any = None) -> Steps:
        yield None

    def look_for_nodes(self, ping_seconds: float, task: Any = None) -> Steps:
        """Knock at those that are not here: soon at first, then every ping_seconds."""
        now = time.monotonic()
        for ip in self.listed:
            pause = min(ping_seconds, 0.4 * 2 ** min(self.knocks.get(ip, 0), 20))
            if now - self.knocked_at.get(ip, -pause) >= pause:
                self.knock_soon(ip)
        yield None

    def knock_soon(self, ip: str) -> None:
        recently = time.monotonic() - self.knocked_at.get(ip, -1.0) < 0.4
        if ip not in self._nodes and ip not in self.knocking and not recently:
            Task(self.knock, ip)

    def knock(self, ip: str, task: Any = None) -> Steps:
        """Free the node if we still hold it, then ask it to introduce itself (PONG or BUSY)."""
        self.knocking.add(ip)
        self.knocks[ip] = self.knocks.get(ip, 0) + 1
        sock = self.new_socket(ip)
        try:
            yield self.let_go(ip)
            yield sock.connect((ip, self.node_port))
            yield sock.sendall(b"x" * len(self.auth))
            yield sock.send_msg(b"PING:" + pycos.serialize(self.introduction(ip)))
            self.unanswered[ip] = self.unanswered.get(ip, 0) + 1
            if self.unanswered[ip] > PATIENCE:
                self.desk.trouble(ip, reasons.hangs(self.node_port, self.port))
        except OSError as error:
            self.desk.trouble(ip, reasons.unreachable(error, self.node_port))
        finally:
            sock.close()
            self.knocking.discard(ip)
            self.knocked_at[ip] = time.monotonic()

    def new_socket(self, ip: str) -> Any:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        sock = pycos.AsyncSocket(raw, keyfile=self.keyfile, certfile=self.certfile)
        sock.settimeout(5)
        return sock

    def introduction(self, ip: str) -> dict[str, Any]:
        return {
            "version": DISPY_VERSION,
            "sign": self.sign,
            "port": self.port,
            "node_ip_addr": ip,
            "ip_addrs": list(self.ip_addrs),
        }

    def node_with(self, ip: str, port: int, auth: bytes) -> Any:
        node = Node(ip, port, 0, "", "", keyfile=self.keyfile, certfile=self.certfile)
        node.auth = auth
        return node

    def let_go(self, ip: str) -> Steps:
        """CLOSE what we set up on a node that we lost: until then it ignores us as taken."""
        held = self.held.get(ip)
        if held is None:
            return
        request = {
            "compute_id": self.computation._compute.id,
            "auth": held.password,
            "node_ip_addr": ip,
            "terminate_pending": True,
            "close": True,
        }
        node = self.node_with(ip, held.port, held.auth)
        yield node.send(b"CLOSE:" + pycos.serialize(request))
        if self.held.get(ip) is held:
            del self.held[ip]  # it answered, if only by hanging up on an old password

    def on_pong(self, info: dict[str, Any]) -> bool:
        """Is it a node that we want? dispy then sets it up."""
        ip = str(info["ip_addr"])
        if not self.is_listed(info):
            return False
        self.unanswered[ip] = 0
        if info["version"] != DISPY_VERSION:
            trouble = reasons.other_dispy(info["version"], DISPY_VERSION)
        elif not self.knows_secret(info):
            trouble = reasons.OTHER_SECRET
        else:
            self.met_at.setdefault(ip, time.monotonic())
            return True
        if ip not in self._nodes:  # anybody can say this in the name of a node that works
            self.desk.trouble(ip, trouble)
        return False

    def on_ping(self, info: dict[str, Any]) -> None:
        """A node says that it is free. dispy would answer with the node's password."""
        if self.is_listed(info):
            self.knock_soon(str(info["ip_addr"]))

    def on_busy(self, info: dict[str, Any]) -> None:
        """Our own node says who has it."""
        ip = str(info["ip_addr"])
        if not self.is_listed(info) or ip in self._nodes:
            return
        self.unanswered[ip] = 0
        if not self.knows_secret(info):
            self.desk.trouble(ip, reasons.OTHER_SECRET)
        elif info["held_by"] in {f"{own}:{self.port}" for own in self.ip_addrs}:
            Task(self.release, ip, str(info["sign"]), str(info["ticket"]))
        elif info["held_by"]:
            self.desk.trouble(ip, reasons.works_for(info["held_by"]))

    def release(self, ip: str, sign: str, ticket: str, task: Any = None) -> Steps:
        """An earlier life of ours holds the node and its password is lost: ask by the secret."""
        if not re.fullmatch("[0-9a-f]{40}", sign):
            return
        node = self.node_with(ip, self.node_port, dispy.auth_code(self.secret, sign))
        for own in self.ip_addrs:
            request = {"scheduler_ip_addr": own, "port": self.port, "ticket": ticket}
            try:
                yield node.send(b"RELEASE:" + pycos.serialize(request))
            except OSError as error:
                self.desk.trouble(ip, reasons.unreachable(error, self.node_port))
        self.knocked_at.pop(ip, None)
        self.knock_soon(ip)

    def is_listed(self, info: dict[str, Any]) -> bool:
        return info["ip_addr"] in self.listed and info["port"] == self.node_port

    def knows_secret(self, info: dict[str, Any]) -> bool:
        auth = info["auth"]
        return isinstance(auth, bytes) and hmac.compare_digest(auth, self.auth)

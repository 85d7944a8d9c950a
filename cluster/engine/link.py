"""dispy's client with its dangerous doors closed and its silent losses reported.

Everything here that yields runs in dispy's own thread (a pycos task).
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import dispy
import pycos
from pycos import Task

from cluster.engine import reasons
from cluster.engine.answers import Answers
from cluster.engine.finding import Finding, Held, Reports
from cluster.engine.sending import Sending
from node import fixes, tls
from node.fixes import Steps

log = logging.getLogger("cluster.engine")

SETUP_SECONDS = 20.0  # dispy waits for a node's set-up without end
HANDLED = {b"JOB_REPLY", b"PULSE", b"FILEXFER", b"TERMINATED", b"NODE_CLOSED"}


class Link(Finding, Sending, Answers):
    """One per process: dispy keeps a single instance."""

    def __init__(
        self,
        desk: Reports,
        key: bytes,
        sign: str,
        incoming: Path,
        host: str,
        secret: str,
        **tls: Any,
    ) -> None:
        self.desk = desk
        self.key = key
        self.incoming = incoming
        self.heard_at: dict[str, float] = {}
        self.reasons: dict[str, str] = {}  # why a node was dropped
        self.heard_ourselves_at = self.looked_at = self.awake_since = time.monotonic()
        self.may_listen: Any = None
        self.prepare_finding()
        self.prepare_sending()
        self.prepare_answers()
        super().__init__(host=host, secret=secret, recover_file="unused", **tls)
        self.sign = sign
        self.auth = dispy.auth_code(secret, sign)

    # Ports

    def udp_server(
        self, bind_addr: Any, addrinfo: Any, port_bound_event: Any, task: Any = None
    ) -> Steps:
        """None. dispy's TCP server waits for this one, which we use to open late."""
        self.may_listen = port_bound_event
        yield None

    def listen(self, task: Any = None) -> Steps:
        while self.may_listen is None:
            yield task.sleep(0.01)
        self.may_listen.set()
        deadline = time.monotonic() + 3
        while not self.ip_addrs and time.monotonic() < deadline:
            yield task.sleep(0.02)
        return bool(self.ip_addrs)

    def call_ourselves(self, task: Any = None) -> Steps:
        """Connect to our own port: proof that it listens and that this thread is alive."""
        sock = self.new_socket(self.ip_addrs[0])
        try:
            yield sock.connect((self.ip_addrs[0], self.port))
            yield sock.send_msg(b"SELF:")
            yield sock.recv(1)  # empty: it was read and hung up on
            self.heard_ourselves_at = time.monotonic()
        except OSError as error:
            log.warning("our own port %s does not answer: %s", self.port, error)
        finally:
            sock.close()

    def load_balance_schedule(self) -> None:
        """Nothing ever waits in dispy's queue."""

    # Messages

    def tcp_req(self, conn: Any, addr: Any, task: Any = None) -> Steps:
        yield fixes.safely(self.checked_message(conn, addr, task), conn, addr)

    def checked_message(self, conn: Any, addr: Any, task: Any) -> Steps:
        conn.settimeout(10)
        if self.certfile:
            yield tls.handshake(conn, self.certfile, self.keyfile)
        message = yield conn.recv_msg()
        kind = bytes(message[: message.find(b":", 0, 20)])
        if kind in (b"PING", b"PONG", b"BUSY", b"PULSE"):
            info = pycos.deserialize(message[len(kind) + 1 :])
            wanted = self.on_news(kind, info)
        else:
            wanted = kind in HANDLED
        if wanted:
            fixes.give_back(conn, recv_msg=message)
            yield super().tcp_req(conn, addr, task=task)
        else:
            log.debug("%s from %s ignored", kind, addr[0])
            conn.close()

    def on_news(self, kind: bytes, info: dict[str, Any]) -> bool:
        """Is it for dispy?"""
        if kind == b"PONG":
            return self.on_pong(info)
        if kind == b"PULSE":
            return self.on_pulse(info)
        if kind == b"PING":
            self.on_ping(info)
        else:
            self.on_busy(info)
        return False

    def on_pulse(self, info: dict[str, Any]) -> bool:
        ip = info["ip_addr"]
        if ip in self._nodes:
            self.heard_at[ip] = time.monotonic()
            return True
        if ip in self.listed:  # it still thinks that it works for us
            self.knock_soon(ip)
        return False

    # Nodes

    def setup_node(
        self, node: Any, computations: Any, resetup: bool = False, task: Any = None
    ) -> Steps:
        ip = node.ip_addr
        self.files_at[ip] = set()
        self.heard_at[ip] = time.monotonic()
        self.reasons.pop(ip, None)
        self.knocks.pop(ip, None)
        try:
            yield super().setup_node(node, computations, resetup=resetup, task=task)
        except OSError as error:
            log.warning("%s could not be set up: %s", ip, error)
        if not node.clusters and self._nodes.get(ip) is node:
            self.desk.trouble(ip, reasons.SET_UP_FAILED)
            self.hold(node)
            self.forget(ip)

    def hold(self, node: Any) -> None:
        self.held[node.ip_addr] = Held(node.port, node.auth, node.password)

    def forget(self, ip: str) -> None:
        self._nodes.pop(ip, None)
        self.met_at.pop(ip, None)
        self.computation._dispy_nodes.pop(ip, None)

    def usable(self, ip: str) -> Any:
        node = self._nodes.get(ip)
        return node if node is not None and self.computation in node.clusters else None

    def delete_node(self, node: Any) -> None:
        """dispy calls this too: when a node says goodbye or cannot be reached."""
        self.hold(node)
        self.reasons.setdefault(node.ip_addr, reasons.GOODBYE)
        super().delete_node(node)
        self.forget(node.ip_addr)
        self._abandoned_jobs.clear()  # late answers are known by their hash

    def drop(self, node: Any, reason: str) -> None:
        if self._nodes.get(node.ip_addr) is node:
            log.warning("%s: %s", node.ip_addr, reason)
            self.reasons[node.ip_addr] = reason
            self.delete_node(node)
            self.knock_soon(node.ip_addr)

    def check_presence(self, limit: float, task: Any = None) -> Steps:
        """Drop the silent; not for a silence in which we ourselves were asleep.

        Called twice a second. This thread finds out by itself that it slept: what the caller knew
        when it asked for this is old by now, if it slept in between.
        """
        now = time.monotonic()
        if now - self.looked_at > limit / 2:
            self.awake_since = now
        self.looked_at = now
        for ip, node in list(self._nodes.items()):
            if not node.clusters:
                if now - max(self.met_at.setdefault(ip, now), self.awake_since) > SETUP_SECONDS:
                    self.desk.trouble(ip, reasons.NEVER_SET_UP)
                    self.hold(node)
                    self.forget(ip)
                continue
            silent = now - max(self.heard_at.get(ip, 0.0), self.awake_since)
            if silent > limit:
                self.drop(node, reasons.silent(silent))
            elif silent > limit / 2:
                Task(self.probe, node)
        yield None

    def probe(self, node: Any, task: Any = None) -> Steps:
        """A machine that refuses has no agent any more: no need to wait."""
        sock = self.new_socket(node.ip_addr)
        try:
            yield sock.connect((node.ip_addr, node.port))
        except OSError as error:
            if reasons.refuses(error):
                self.drop(node, reasons.unreachable(error, node.port))
        finally:
            sock.close()

    def remove(self, ip: str, task: Any = None) -> Steps:
        self.listed.discard(ip)
        node = self._nodes.get(ip)
        if node is not None:
            self.reasons[ip] = reasons.REMOVED
            self.delete_node(node)
        yield self.let_go_quietly(ip)

    def let_go_quietly(self, ip: str, task: Any = None) -> Steps:
        try:
            yield self.let_go(ip)
        except OSError as error:
            log.info("%s could not be told that it is free: %s", ip, error)

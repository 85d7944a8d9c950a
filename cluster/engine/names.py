"""Listed names and the addresses behind them. Resolving waits for the network: in a thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any, Protocol

from cluster.engine import reasons


class Complaints(Protocol):
    def trouble_at(self, address: str | None, reason: str) -> None: ...


class Names:
    def __init__(self, complaints: Complaints, retry_seconds: float) -> None:
        self.complaints = complaints
        self.retry_seconds = retry_seconds
        self.ip: dict[str, str | None] = {}  # listed -> resolved
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.link: Any = None

    def add(self, address: str) -> None:
        with self.lock:
            self.ip.setdefault(address, None)
        if is_literal(address):
            self.set(address, address)

    def remove(self, address: str) -> None:
        with self.lock:
            self.ip.pop(address, None)

    def ip_of(self, address: str) -> str | None:
        return self.ip.get(address)

    def address_of(self, ip: str) -> str | None:
        with self.lock:
            return next((address for address, known in self.ip.items() if known == ip), None)

    def ips(self) -> set[str]:
        with self.lock:
            return {ip for ip in self.ip.values() if ip}

    def set(self, address: str, ip: str) -> None:
        other = self.address_of(ip)
        if other not in (None, address):
            self.complaints.trouble_at(address, reasons.same_machine(str(other)))
            return
        with self.lock:
            if address in self.ip:
                self.ip[address] = ip

    def resolve(self, address: str) -> None:
        try:
            found = socket.getaddrinfo(address, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            self.complaints.trouble_at(address, reasons.NO_ADDRESS)
        else:
            self.set(address, str(found[0][4][0]))

    def start(self, link: Any) -> None:
        self.link = link
        threading.Thread(target=self.keep_resolving, name="engine-names", daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()

    def keep_resolving(self) -> None:
        """Names without an address, and names whose machine may have moved."""
        while not self.stopping.is_set():
            for address, ip in list(self.ip.items()):
                if not is_literal(address) and (ip is None or not self.link.usable(ip)):
                    self.resolve(address)
            if not self.stopping.is_set():
                self.link.listed = self.ips()
            self.stopping.wait(self.retry_seconds)


def is_literal(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True

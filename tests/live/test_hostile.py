"""What strangers may send to the ports: nothing of it is executed, and both ends live on."""

import hashlib
import pickle
import random
import re
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from tests.live.rig import SECRET, Agent, Driver, Rig, bundle_text, can_bind, new_bundle

TO_CLIENT = [
    "JOB_REPLY", "PULSE", "JOB_STATUS", "PONG", "PING", "BUSY", "NODE_CPUS", "TERMINATED",
    "NODE_STATUS", "NODE_CLOSED", "SCHEDULED", "RELAY_INFO", "FILEXFER",
]  # fmt: skip
TO_NODE = [
    "PING", "NODE_INFO", "JOB", "COMPUTE", "FILEXFER", "SETUP", "CLOSE", "TERMINATE_JOB", "JOBS",
    "RELEASE", "SET_CPUS", "PENDING_JOBS", "RETRIEVE_JOB", "RESEND_JOB_RESULTS", "SERVICE_TIME",
    "SERVE_CLIENTS", "NODE_STATUS",
]  # fmt: skip


class Evil:
    """Unpickling it would touch the file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.marker}",)


def through_dispy(marker: Path) -> bytes:
    """A dotted name that begins with an allowed module."""
    command = f"touch {marker}".encode()
    return (
        b"\x80\x04\x8c\x05dispy\x8c\x09os.system\x93\x8c"
        + bytes([len(command)]) + command + b"\x85R."
    )  # fmt: skip


def frame(payload: bytes) -> bytes:
    return struct.pack(">L", len(payload)) + payload


def throw(address: str, port: int, data: bytes, wait: float = 0.0) -> bytes:
    with socket.create_connection((address, port), timeout=5) as sock:
        try:
            sock.sendall(data)
            sock.settimeout(wait or 0.01)
            return sock.recv(65536)
        except OSError:
            return b""


def all_said(server: socket.socket, seconds: float) -> bytes:
    """What everybody who connects within so many seconds says."""
    said, deadline = b"", time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        server.settimeout(left)
        try:
            sock, _ = server.accept()
        except TimeoutError:
            break
        with sock:
            sock.settimeout(1)
            while part := sock.recv(65536):
                said += part
    return said


def memory_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0])


def still_works(driver: Driver, agent: Agent) -> None:
    bundle = new_bundle()
    assert driver.send(bundle, agent.address, bundle_text(bundle, ["echo", "alive"]))
    assert driver.answer(bundle)["ended"][0]["stdout"]["text"] == "alive\n"


@pytest.fixture
def pair(rig: Rig) -> tuple[Driver, Agent]:
    agent = rig.agent()
    return rig.driver(agent), agent


def test_pickles_that_run_code_are_refused_on_both_ports(
    rig: Rig, pair: tuple[Driver, Agent]
) -> None:
    driver, agent = pair
    marker = rig.folder / "executed"
    pickles = [pickle.dumps(Evil(marker), p) for p in (0, 2, 5)] + [through_dispy(marker)]
    for evil in pickles:
        for kind in TO_CLIENT:
            throw(rig.address(1), rig.port, frame(kind.encode() + b":" + evil))
        for kind in TO_NODE:
            throw(agent.address, rig.port + 1, b"x" * 40 + frame(kind.encode() + b":" + evil))
    still_works(driver, agent)
    assert not marker.exists()


def test_a_lie_in_a_nodes_name_does_not_put_it_out_of_work(
    rig: Rig, pair: tuple[Driver, Agent]
) -> None:
    driver, agent = pair
    pong = {"ip_addr": agent.address, "port": rig.port + 1, "sign": "0" * 40, "auth": b"x" * 40}
    for version in ("0.1", "\ud800\0", "4.15.2"):
        pong["version"] = version
        throw(rig.address(1), rig.port, frame(b"PONG:" + pickle.dumps(pong)))
    driver.none_of("NodeTrouble", 1)
    still_works(driver, agent)


def test_a_node_with_the_secret_cannot_run_code_either(
    rig: Rig, pair: tuple[Driver, Agent]
) -> None:
    """Whoever knows the secret may send jobs; a pickle must not get round the runner."""
    driver, agent = pair
    sign = throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"NODE_INFO:"), 2)[4:].decode()
    auth = hashlib.sha1((SECRET + sign).encode()).hexdigest().encode()
    marker = rig.folder / "executed"
    for kind in TO_NODE:
        evil = pickle.dumps(Evil(marker))
        throw(agent.address, rig.port + 1, auth + frame(kind.encode() + b":" + evil))
    still_works(driver, agent)
    assert not marker.exists()


def test_no_node_makes_a_password_for_a_stranger(rig: Rig, pair: tuple[Driver, Agent]) -> None:
    """A node answers a PING by hashing secret and sign: it must not do so for a node's sign."""
    driver, agent = pair
    driver.tell("close", keep_running=False)
    driver.process.wait(10)
    sign = throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"NODE_INFO:"), 2)[4:].decode()
    password = hashlib.sha1((SECRET + sign).encode()).hexdigest().encode()
    with socket.create_server((rig.address(1), rig.port)) as server:
        ping = {
            "version": "4.15.2", "sign": sign, "port": rig.port,
            "node_ip_addr": agent.address, "ip_addrs": [rig.address(1)],
        }  # fmt: skip
        throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"PING:" + pickle.dumps(ping)))
        assert password not in all_said(server, 1.5)
        ping["sign"] = f"dispatcher-{'0' * 40}"  # to this one it does answer
        throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"PING:" + pickle.dumps(ping)))
        assert b"PONG" in all_said(server, 1.5)


def test_the_dispatcher_gives_no_password_to_a_stranger(
    rig: Rig, pair: tuple[Driver, Agent]
) -> None:
    """dispy answers a PING by connecting to wherever it says, with the password in front."""
    _, agent = pair
    sign = throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"NODE_INFO:"), 2)[4:].decode()
    with socket.create_server((rig.address(9), rig.port + 1)) as server:
        ping = {
            "version": "4.15.2", "sign": sign, "port": rig.port + 1,
            "ip_addr": rig.address(9), "scheduler_ip_addr": rig.address(1),
        }  # fmt: skip
        throw(rig.address(1), rig.port, frame(b"PING:" + pickle.dumps(ping)))
        assert all_said(server, 1.5) == b""


def test_announced_gigabytes_are_not_allocated(rig: Rig, pair: tuple[Driver, Agent]) -> None:
    driver, agent = pair
    before = memory_kb(driver.process.pid), memory_kb(agent.process.pid)
    hold = []
    for address, port, head in (
        (rig.address(1), rig.port, b""), (agent.address, rig.port + 1, b"x" * 40),
    ):  # fmt: skip
        for size in (2**32 - 1, 2**31, 17 * 1024 * 1024):
            sock = socket.create_connection((address, port))
            sock.sendall(head + struct.pack(">L", size) + b"JOB_REPLY:" + b"]" * 100_000)
            hold.append(sock)
    bomb = b"\x80\x04Nr\xff\xff\xff\x7f."  # "remember this under number 2147483647"
    throw(rig.address(1), rig.port, frame(b"PULSE:" + bomb))
    throw(agent.address, rig.port + 1, b"x" * 40 + frame(b"PING:" + bomb))
    throw(rig.address(1), rig.port, frame(b"PULSE:\x80\x04" + b"]" * 8_000_000 + b"."))
    still_works(driver, agent)
    after = memory_kb(driver.process.pid), memory_kb(agent.process.pid)
    assert all(b - a < 24 * 1024 for a, b in zip(before, after, strict=True))
    for sock in hold:
        sock.close()


def test_noise_on_every_port_is_survived(rig: Rig, pair: tuple[Driver, Agent]) -> None:
    driver, agent = pair
    dice = random.Random(7)
    for _ in range(150):
        noise = dice.randbytes(dice.randrange(300))
        kind = dice.choice(TO_CLIENT + TO_NODE).encode() + b":"
        form = dice.choice([noise, frame(noise), frame(kind + noise), frame(kind + b"\x80\x05}.")])
        throw(rig.address(1), rig.port, form)
        throw(agent.address, rig.port + 1, dice.choice([b"", b"x" * 40]) + form)
    still_works(driver, agent)


def test_connections_that_say_nothing_are_dropped(rig: Rig, pair: tuple[Driver, Agent]) -> None:
    driver, agent = pair
    silent = [
        socket.create_connection(place)
        for place in [(rig.address(1), rig.port), (agent.address, rig.port + 1)]
        for _ in range(30)
    ]
    still_works(driver, agent)
    time.sleep(11)
    for sock in silent:
        sock.settimeout(3)
        assert sock.recv(1) == b""
        sock.close()
    still_works(driver, agent)


def test_nothing_listens_for_datagrams(rig: Rig, pair: tuple[Driver, Agent]) -> None:
    table = Path("/proc/net/udp").read_text()
    for port in (rig.port, rig.port + 1):
        assert f":{port:04X} " not in table
    assert not can_bind(rig.address(1), rig.port)

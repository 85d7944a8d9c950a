"""F21: what strangers send to the dispatcher's and the nodes' ports, while jobs run."""

import contextlib
import pickle
import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.models import Node
from tests.faults.record import verdict
from tests.faults.work import ended, family, make_job, memory_kb, online, outcomes
from tests.live.fleet import Fleet, fleet
from tests.live.test_hostile import TO_CLIENT, TO_NODE, Evil, frame, through_dispy

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True), pytest.mark.timeout(90)]

AUTH = b"x" * 40  # where dispy's node expects the secret's hash
MOST_GROWTH = 16 * 1024  # kB
LENGTHS = (0, 1, 2**24, 2**24 + 1, 2**31, 2**32 - 1)
MEMO_BOMB = b"\x80\x04Nr\xff\xff\xff\x7f."  # "remember this under number 2147483647"


@pytest.fixture
def one_node(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, nodes=1, slots=2) as made:
        yield made.up()


def throw(place: tuple[str, int], data: bytes) -> None:
    """Without waiting for what they make of it."""
    with contextlib.suppress(OSError), socket.create_connection(place, timeout=5) as sock:
        sock.settimeout(1)
        sock.sendall(data)


def payloads(marker: Path, dice: random.Random) -> Iterator[bytes]:
    evil = [pickle.dumps(Evil(marker), protocol) for protocol in (0, 2, 5)]
    evil += [through_dispy(marker), MEMO_BOMB, b"\x80\x04" + b"]" * 200_000 + b"."]
    for kind in dict.fromkeys(TO_CLIENT + TO_NODE):
        for body in evil:
            yield frame(kind.encode() + b":" + body)
        whole = frame(kind.encode() + b":" + pickle.dumps({"ip_addr": "127.0.0.1", "uid": 1}))
        yield whole
        yield whole[: dice.randrange(len(whole))]
        broken = bytearray(whole)
        for _ in range(3):
            broken[dice.randrange(4, len(broken))] = dice.randrange(256)
        yield bytes(broken)
    for length in LENGTHS:
        yield struct.pack(">L", length) + b"JOB_REPLY:" + b"]" * 100_000
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500)
    for _ in range(100):
        yield dice.randbytes(dice.randrange(400))


def test_f21_hostile_bytes_on_every_open_port(one_node: Fleet, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    ended(make_job(command="true"))
    places = [("127.0.0.1", one_node.port)]
    places += [(address, one_node.port + 1) for address in one_node.addresses]
    watched = {
        pid: memory_kb(pid)
        for name in ("dispatcher", *one_node.addresses)
        for pid in family(one_node.processes[name].pid)
    }
    running = [make_job(command="sleep 5", on_lost="fail") for _ in range(2)]
    dice, held = random.Random(21), []
    for place in places:
        for length in LENGTHS[2:]:  # gigabytes announced by somebody who then keeps still
            sock = socket.create_connection(place)
            sock.sendall((b"" if place is places[0] else AUTH) + struct.pack(">L", length))
            held.append(sock)
        for payload in payloads(marker, dice):
            throw(place, payload)
            if place is not places[0]:
                throw(place, AUTH + payload)
    started = time.monotonic()
    assert {ended(job, 30).state for job in running} == {"succeeded"}
    assert {outcome for job in running for outcome in outcomes(job)} == {"succeeded"}
    after = [ended(make_job(command="echo alive"), 10) for _ in range(4)]
    took = time.monotonic() - started
    grown = {pid: memory_kb(pid) - before for pid, before in watched.items()}
    for sock in held:
        sock.close()
    assert not marker.exists()
    assert {job.state for job in after} == {"succeeded"}
    assert all(online(node.address) for node in Node.objects.all())
    assert all(process.poll() is None for process in one_node.processes.values())
    assert max(grown.values()) <= MOST_GROWTH, grown
    verdict("F21", [*running, *after], None, took, grown_kb=max(grown.values()))

"""Who we are to the nodes, kept on disk, so that a restarted process takes over running work.

A node accepts as its client whoever has the same address and port, sign, computation and
passwords. The bundles in flight need not be saved: their ids come from the caller's rows, their
hashes from the key kept here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dispy
import pycos

from cluster.engine.finding import Held, Node
from cluster.engine.link import Link
from cluster.engine.names import Names
from node.fixes import DISPY_VERSION, SIGN_PREFIX, Steps

log = logging.getLogger("cluster.engine")

FORMAT = 1
ASK_SECONDS = 3.0  # for a node to say which bundles it has


@dataclass
class NodeRecord:
    address: str  # as listed
    port: int
    auth: str
    password: str
    name: str
    cpus: int
    platform: str
    scheduler_ip_addr: str  # our address as this node sees it
    usable: bool  # False: lost, but it may still think that it works for us
    passport: dict[str, Any] = field(default_factory=dict)


@dataclass
class Identity:
    sign: str
    key: str
    compute_id: int
    place: str  # where nodes reach us
    secret_mark: str  # tells whether the secret is still the same, without telling it
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    format: int = FORMAT
    dispy: str = DISPY_VERSION


def new_identity(place: str, secret: str) -> Identity:
    key = secrets.token_hex(32)
    return Identity(
        sign=SIGN_PREFIX + secrets.token_hex(20),
        key=key,
        compute_id=int(time.time() * 1000),
        place=place,
        secret_mark=mark(key, secret),
    )


def mark(key: str, secret: str) -> str:
    return hmac.new(key.encode(), secret.encode(), hashlib.sha256).hexdigest()


def load(path: Path, place: str, secret: str) -> Identity | None:
    """The identity of an earlier life, if it would still be accepted."""
    try:
        data = json.loads(path.read_text())
        nodes = {ip: NodeRecord(**record) for ip, record in data.pop("nodes").items()}
        found = Identity(nodes=nodes, **data)
        known = (found.format, found.dispy, found.place) == (FORMAT, DISPY_VERSION, place)
        if known and found.secret_mark == mark(found.key, secret):
            return found
        log.warning("starting anew: another address, secret or version than in %s", path)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever is wrong with it, we start without
        log.warning("starting anew: %s cannot be read: %r", path, error)
    return None


def save(path: Path, identity: Identity) -> None:
    """Whole or not at all, and on the disk before this returns."""
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        json.dump(asdict(identity), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def note_nodes(
    identity: Identity, link: Link, names: Names, passports: dict[str, dict[str, Any]]
) -> None:
    """Bring the record of the nodes up to date."""
    for ip, node in list(link._nodes.items()):
        if link.usable(ip):
            identity.nodes[ip] = NodeRecord(
                address=names.address_of(ip) or ip,
                port=node.port,
                auth=node.auth.decode(),
                password=node.password,
                name=node.name,
                cpus=node.cpus,
                platform=node.platform or "",
                scheduler_ip_addr=node.scheduler_ip_addr,
                usable=True,
                passport=passports.get(ip, {}),
            )
    for ip, record in list(identity.nodes.items()):
        record.usable = link.usable(ip) is not None
        if not record.usable:
            lost = link.held.get(ip)
            if lost is None:
                del identity.nodes[ip]
            else:
                record.port, record.auth = lost.port, lost.auth.decode()
                record.password = lost.password


def held(record: NodeRecord) -> Held:
    return Held(record.port, record.auth.encode(), record.password)


def assume(link: Link, computation: Any, identity: Identity) -> None:
    """Make dispy's fresh computation the one that the nodes know."""
    compute = computation._compute
    link._clusters.pop(compute.id, None)
    link.shelf.pop(f"compute_{compute.id}", None)
    compute.id = identity.compute_id
    link._clusters[compute.id] = computation
    link.shelf[f"compute_{compute.id}"] = {
        "name": compute.name,
        "auth": compute.auth,
        "nodes": [],
    }
    link.computation = computation


def adopt_node(
    link: Link, ip: str, record: NodeRecord, bundles: list[int], deadline: float, task: Any = None
) -> Steps:
    """Take the node over. What it runs of ours, or None if it does not accept us in time."""
    node = Node(
        ip, record.port, record.cpus, "", link.secret, platform=record.platform,
        keyfile=link.keyfile, certfile=link.certfile,
    )  # fmt: skip
    node.auth = record.auth.encode()
    node.password, node.name = record.password, record.name
    node.scheduler_ip_addr = record.scheduler_ip_addr
    link.hold(node)
    try:
        running, _ = yield link.ask_jobs(node, [], timeout=ASK_SECONDS)
        if not running and not (yield still_set_up(link, node, task)):
            return None
    except (OSError, ValueError) as error:
        log.info("%s cannot be adopted: %r", ip, error)
        return None
    if time.monotonic() > deadline:
        return None  # it was given up meanwhile
    take_over(link, node, running.union(bundles))
    return running


def still_set_up(link: Link, node: Any, task: Any) -> Steps:
    """True if the node has our computation, or has it again now."""
    compute = link.computation._compute
    message = b"COMPUTE:" + pycos.serialize(node.own(compute))
    reply = yield node.send(message, timeout=ASK_SECONDS)
    cpus = pycos.deserialize(reply)
    if cpus == 0:
        return True  # it was there all the time
    if not isinstance(cpus, int) or cpus < 0:
        return False
    return (yield node.setup([], (), compute, resetup=True, task=task)) == 0


def take_over(link: Link, node: Any, bundles: set[int]) -> None:
    computation, ip = link.computation, node.ip_addr
    shown = dispy.DispyNode(ip, node.name, node.cpus)
    node.clusters = {computation}
    link.heard_at[ip] = time.monotonic()
    link.held.pop(ip, None)
    link._nodes[ip] = node
    computation._dispy_nodes[ip] = shown
    for bundle in bundles:
        if bundle not in link.unrecorded and bundle not in link.recorded:
            job = link.make_job(bundle)
            job.node = job.pinned = node
            job.job.ip_addr, job.job.status = ip, dispy.DispyJob.Running
            link._sched_jobs[bundle] = job

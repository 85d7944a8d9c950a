"""dispy's own dispynode, loaded with its source corrected and its dangerous doors replaced."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import dispy
from pycos import Task

from node import fixes, passport, reading, tls, transfer
from node.fixes import FRAME_LIMIT, SIGN_PREFIX, Steps
from node.process import die_with_parent

log = logging.getLogger("node")

SMALL_FRAME = 64 * 1024  # the most we read from somebody who has not shown the secret
KEEP_ANSWERS_SECONDS = 24 * 3600  # how long a vanished dispatcher's jobs and answers are kept

PATCHES = [
    # More slots than cores are fine for jobs that wait.
    ("assert 0 < cpus <= multiprocessing.cpu_count()", "assert 0 < cpus"),
    # Each slot may have a bundle that runs, one that was sent ahead and waits for its turn
    # (node/turn.py), and one whose answer is on its way. One that its dispatcher gave up as never
    # sent may still be in a socket's buffer.
    (
        "                if self.avail_cpus == 0:\n                    error = 'All CPUs busy!'\n",
        "                if self.avail_cpus <= -2 * self.num_cpus:\n"
        "                    error = 'All CPUs busy!'\n"
        "                elif not self.accept(_job.uid):\n"
        "                    error = 'Nobody waits for it any more'\n",
    ),
    # A typo: no pulse ever counted, so that a node left its living dispatcher after a while.
    ("for client in self.client.values():", "for client in self.clients.values():"),
    # A dispatcher that is away is given time to come back to what it left running.
    (
        "if (now - client.last_pulse) > self.zombie_interval:",
        "if (now - client.last_pulse) > ("
        f"{KEEP_ANSWERS_SECONDS} if client.pending_jobs or client.pending_results"
        " else self.zombie_interval):",
    ),
    # The answer of a job that died without one is kept for a dispatcher that is away, too.
    (
        "if not resending and job_reply.status != DispyJob.Terminated:",
        "if not resending:",
    ),
    # Each answer resent was counted twice.
    (
        "                client.pending_results -= 1\n"
        "                if client.pending_results == 0:\n"
        "                    pkl_path = os.path.join(self.dest_path_prefix,\n",
        "                if client.pending_results == 0:\n"
        "                    pkl_path = os.path.join(self.dest_path_prefix,\n",
    ),
]


def load() -> Any:
    """dispy's dispynode as a module, corrected. Its main program does not run."""
    spec = importlib.util.find_spec("dispy.dispynode")
    if spec is None or spec.origin is None:
        raise fixes.UnsupportedDispy("dispy has no dispynode")
    text = fixes.patch_source(Path(spec.origin).read_text(encoding="utf-8"), PATCHES)
    module: Any = ModuleType("dispy.dispynode")
    module.__file__ = spec.origin
    sys.modules["dispy.dispynode"] = module  # where pickle looks for its classes
    exec(compile(text, spec.origin, "exec"), module.__dict__)  # noqa: S102
    fixes.route_logger(module.dispynode_logger, "node.dispynode")
    module.DispyNodeAvailInfo = avail_info
    guard_processes(module)
    return module


def avail_info(cpu: float, memory: int, disk: int, swap: float) -> Any:
    """dispy's reading of the machine, with ours and the passport riding along."""
    info = dispy.DispyNodeAvailInfo(cpu, memory, disk, swap)
    info.reading = READER.read(time.monotonic(), time.time())
    info.passport = passport_text(info.reading.get("disk_total"))
    return info


@cache
def passport_text(disk_total: int | None) -> str:
    """JSON: one value, where each of its parts would cost the dispatcher at every pulse."""
    return json.dumps(PASSPORT | ({"disk_total": disk_total} if disk_total else {}))


PASSPORT = passport.describe()
READER = reading.Reader()  # the agent stands in its scratch folder


def guard_processes(module: Any) -> None:
    """Let no job outlive the agent, nor hear the terminal's Ctrl-C."""
    run_setup, run_job = module._dispy_setup_process, module._dispy_job_func

    def setup_process(*args: Any) -> Any:
        die_with_parent(os.getppid())
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return run_setup(*args)

    def job_process(*args: Any) -> Any:
        die_with_parent(os.getppid())
        return run_job(*args)

    module._dispy_setup_process, module._dispy_job_func = setup_process, job_process


def make_class(module: Any, work: Path) -> type[Any]:
    """The node's class: dispy's, without UDP and with every message checked first.

    `work`: holds the bundles' folders.
    """
    auth_code, serialize = module.auth_code, module.serialize
    connect_seconds = module.MsgTimeout

    class Node(module._DispyNode):
        def udp_server(self, addrinfo: Any, task: Any = None) -> Steps:
            yield None

        def broadcast_ping_msg(self, task: Any = None) -> Steps:
            """Tell the last dispatcher that we are free; stock dispy tells the whole network."""
            if self.scheduler["auth"] or self.job_infos or not self.scheduler["ip_addr"]:
                return
            for addrinfo in self.addrinfos:
                info = {
                    "scheduler_ip_addr": self.scheduler["ip_addr"],
                    "ip_addr": addrinfo.ext_ip,
                    "port": self.port,
                    "sign": self.sign,
                    "version": dispy.__version__,
                }
                to = (self.scheduler["ip_addr"], self.scheduler["port"])
                yield self.tell(to, b"PING:" + serialize(info), addrinfo.family)

        def send_terminate(self, task: Any = None) -> Steps:
            addrinfo = self.scheduler["addrinfo"]
            if self.scheduler["auth"] and addrinfo:
                info = {"ip_addr": addrinfo.ext_ip, "port": self.port, "sign": self.sign}
                to = (self.scheduler["ip_addr"], self.scheduler["port"])
                yield self.tell(to, b"TERMINATED:" + serialize(info), addrinfo.family)

        def tell(self, to: tuple[str, int], message: bytes, family: int) -> Steps:
            raw = module.socket.socket(family, module.socket.SOCK_STREAM)
            sock = module.AsyncSocket(raw, keyfile=self.keyfile, certfile=self.certfile)
            sock.settimeout(connect_seconds)
            try:
                yield sock.connect(to)
                yield sock.send_msg(message)
            except Exception as error:
                log.info("could not tell %s:%s: %s", *to, error)
            finally:
                sock.close()

        def send_pong_msg(self, info: Any, addr: Any) -> None:
            """Answer a dispatcher that looks for nodes: here I am, or: I am taken."""
            sign, addresses = info.get("sign"), info.get("ip_addrs")
            if not is_dispatcher_sign(sign) or type(addresses) is not list or len(addresses) > 4:
                fixes.complain("ignoring a ping from %s", addr[0])
            elif self.scheduler["auth"] or self.job_infos:
                Task(self.say_busy, sign, [*addresses, addr[0]], info["port"])
            else:
                self.avail_cpus = self.num_cpus  # dispy's count drifts, and at 0 nobody takes us
                super().send_pong_msg(info, addr)

        def say_busy(self, sign: str, to: list[str], port: int, task: Any = None) -> Steps:
            held_by = f"{self.scheduler['ip_addr']}:{self.scheduler['port']}"
            for addrinfo in self.addrinfos:
                info = {
                    "ip_addr": addrinfo.ext_ip,
                    "port": self.port,
                    "sign": self.sign,
                    "auth": auth_code(self.secret, sign),
                    "held_by": held_by if self.scheduler["auth"] else "",
                    "ticket": self.ticket(),
                }
                for address in to:
                    yield self.tell((address, port), b"BUSY:" + serialize(info), addrinfo.family)

        def ticket(self) -> str:
            """Names the computation that we have now, without telling its password."""
            auths = sorted(client.compute.auth for client in self.clients.values())
            return hashlib.sha256("".join(auths).encode()).hexdigest()

        def cleanup_computation(self, client: Any, close: bool = True, task: Any = None) -> Steps:
            """dispy would take another computation of the same id for the one to clean up."""
            if self.clients.get(client.compute.id) is not client:
                return 0
            return (yield super().cleanup_computation(client, close=close, task=task))

        def resend_job_results(self, client: Any, task: Any = None) -> Steps:
            """dispy starts this at every pulse, whether or not the last one is through."""
            if client.compute.id in RESENDING:
                return
            RESENDING.add(client.compute.id)
            try:
                yield super().resend_job_results(client, task=task)
            finally:
                RESENDING.discard(client.compute.id)

        def _send_job_reply(
            self, job_info: Any, resending: bool = False, task: Any = None
        ) -> Steps:
            status = yield super()._send_job_reply(job_info, resending=resending, task=task)
            if status == 0:
                RECEIVED.discard(job_info.job_reply.uid)
            client = self.clients.get(job_info.compute_id)
            if client is not None and client.pending_results:  # dispy's count drifts
                client.pending_results = len(kept_answers(client))
            return status

        def tcp_req(self, conn: Any, addr: Any, task: Any = None) -> Steps:
            yield fixes.safely(self.checked_request(conn, addr, task), conn, addr)

        def checked_request(self, conn: Any, addr: Any, task: Any) -> Steps:
            conn.settimeout(connect_seconds)
            if self.certfile:
                yield tls.handshake(conn, self.certfile, self.keyfile)
            auth = yield conn.recvall(len(self.auth))
            known = hmac.compare_digest(bytes(auth), self.auth)
            message = yield conn.recv_msg(FRAME_LIMIT if known else SMALL_FRAME)
            if not known and not message.startswith((b"PING:", b"NODE_INFO:")):
                fixes.complain("ignoring a message without the secret from %s", addr[0])
                conn.close()
            elif message.startswith(b"JOBS:"):
                yield conn.send_msg(serialize(self.bundles(message[len(b"JOBS:") :])))
                conn.close()
            elif message.startswith(b"FILEXFER:"):
                yield self.receive_file(conn, message[len(b"FILEXFER:") :])
                conn.close()
            else:
                if message.startswith(b"RELEASE:"):
                    message = self.as_close(message[len(b"RELEASE:") :])
                fixes.give_back(conn, recvall=auth, recv_msg=message)
                yield super().tcp_req(conn, addr, task=task)

        def bundles(self, data: bytes) -> dict[str, list[int]]:
            """known: those that run, and those whose answer waits to be delivered.
            never: of those in doubt, the ones that never came; they are refused from now on."""
            asked = module.deserialize(data)
            client = self.clients.get(asked["compute_id"])
            if client is None or client.compute.auth != asked["auth"]:
                return {"known": [], "never": []}
            never = [uid for uid in asked["in_doubt"] if uid not in RECEIVED]
            REFUSED.update(never)
            with self.thread_lock:
                running = [uid for uid, job in self.job_infos.items()]
            return {"known": running + kept_answers(client), "never": never}

        def accept(self, uid: int) -> bool:
            if uid in REFUSED:
                return False
            RECEIVED.add(uid)
            (work / str(uid)).mkdir(mode=0o700, exist_ok=True)  # one sent ahead looks for it
            return True

        def as_close(self, data: bytes) -> bytes:
            """RELEASE, our own: a dispatcher that lost its memory frees what it held here."""
            asked = module.deserialize(data)
            holder = (self.scheduler["ip_addr"], self.scheduler["port"])
            if (asked["scheduler_ip_addr"], asked["port"]) != holder or not self.clients:
                return b""
            if asked["ticket"] != self.ticket():  # said of an earlier computation
                return b""
            compute = next(iter(self.clients.values())).compute
            log.warning("released by the dispatcher at %s:%s", *holder)
            info = {
                "compute_id": compute.id,
                "auth": compute.auth,
                "node_ip_addr": compute.node_ip_addr,
                "terminate_pending": True,
                "close": True,
            }
            return b"CLOSE:" + bytes(serialize(info))

        def receive_file(self, conn: Any, data: bytes) -> Steps:
            """Take a content-addressed file into the computation's folder, and nothing else."""
            xfer = module.deserialize(data)
            client = self.clients.get(xfer.compute_id)
            name = os.path.basename(str(xfer.name))
            digest = transfer.digest_in(name)
            if client is None or digest is None:
                fixes.complain("refused the file %r", name)
                yield conn.send_msg(serialize(-1))
                return
            target = Path(client.compute.dest_path, name)
            yield transfer.receive(conn, xfer, target, digest)

    return Node


RESENDING: set[int] = set()
RECEIVED: set[int] = set()  # bundles that came and whose answer nobody acknowledged yet
REFUSED: set[int] = set()


def kept_answers(client: Any) -> list[int]:
    """Bundles whose answer could not be delivered yet."""
    kept = Path(client.compute.dest_path).glob("_dispy_job_reply_*.pkl")
    return [int(path.stem.rpartition("_")[2]) for path in kept]


def is_dispatcher_sign(sign: Any) -> bool:
    pattern = re.escape(SIGN_PREFIX) + "[0-9a-f]{40}"
    return isinstance(sign, str) and re.fullmatch(pattern, sign) is not None

"""Bundles on their way out: their files, themselves, and asking after them.

Everything here that yields runs in dispy's own thread (a pycos task).
"""

from __future__ import annotations

import hmac
import logging
import time
from pathlib import Path
from typing import Any

import dispy
import pycos

from cluster.engine import reasons
from cluster.engine.finding import Reports
from node.fixes import Steps

log = logging.getLogger("cluster.engine")


class Sending:
    """The part of Link that gives bundles to nodes."""

    desk: Reports
    key: bytes
    computation: Any
    usable: Any
    drop: Any
    reasons: dict[str, str]
    _sched_jobs: dict[int, Any]

    def prepare_sending(self) -> None:
        self.files_at: dict[str, set[str]] = {}  # which files a node process has
        self.copying: dict[tuple[str, str], Any] = {}

    def hash_of(self, bundle: int) -> str:
        """What proves that an answer comes from where the bundle went."""
        return hmac.new(self.key, str(bundle).encode(), "sha256").hexdigest()

    def make_job(self, bundle: int, args: tuple[Any, ...] = ()) -> Any:
        job = dispy._DispyJob_(self.computation._compute.id, bundle, args, {})
        job.uid = bundle
        job.hash = self.hash_of(bundle)
        return job

    def launch(
        self, bundle: int, ip: str, args: tuple[Any, ...], files: list[Path], task: Any = None
    ) -> Steps:  # fmt: skip
        for path in files:
            node = self.usable(ip)
            if node is None or not (yield self.copy_file(node, path)):
                self.desk.gone(bundle, reasons.not_copied(path.name), never_started=True)
                return
        node = self.usable(ip)
        if node is None:
            self.desk.gone(bundle, self.reasons.get(ip, reasons.GONE), never_started=True)
            return
        if self.desk.is_cancelled(bundle):
            self.desk.gone(bundle, reasons.CANCELLED_BEFORE, never_started=True)
            return
        job = self.make_job(bundle, args)
        job.node = job.pinned = node
        self._sched_jobs[bundle] = job
        yield self.run_job(job, self.computation, task=task)

    def run_job(self, job: Any, cluster: Any, task: Any = None) -> Steps:
        node = job.node
        try:
            yield job.run(task=task)
        except OSError as error:
            self.drop(node, reasons.unreachable(error, node.port))
        except Exception as error:  # what dispy raises where the node says no
            self._sched_jobs.pop(job.uid, None)
            busy = "CPUs busy" in str(error)
            self.desk.gone(job.uid, reasons.refused(error), busy)
            if not busy:  # it knows us no more
                self.drop(node, reasons.REFUSED_A_BUNDLE)
        else:
            if job.job is not None:  # else it has ended already
                job.job.ip_addr = node.ip_addr
                job.job.status = dispy.DispyJob.Running
            self.desk.sent(job.uid)

    def copy_file(self, node: Any, path: Path) -> Steps:
        """True once the node has the file; at most one copy of a file at a time to one node."""
        ip, known = node.ip_addr, self.files_at.setdefault(node.ip_addr, set())
        if path.name not in known and (ip, path.name) in self.copying:
            yield self.copying[ip, path.name].wait()
        if path.name in known:
            return True
        done = self.copying[ip, path.name] = pycos.Event()
        try:
            file = dispy._XferFile(str(path), self.computation._compute.id)
            file.dest_path = ""
            if (yield node.xfer_file(file)) >= 0:
                known.add(path.name)
        except OSError as error:
            log.warning("%s: %s", path.name, error)
        finally:
            self.copying.pop((ip, path.name), None)
            done.set()
        return path.name in known

    def stop_job(self, bundle: int, task: Any = None) -> Steps:
        """Ask the node to end it: SIGINT now, SIGTERM after 6 s, SIGKILL after 8 s."""
        job = self._sched_jobs.get(bundle)
        if job is None or job.node is None or job.job.status == dispy.DispyJob.Created:
            return
        message = b"TERMINATE_JOB:" + pycos.serialize(self.make_job(bundle))
        try:
            yield job.node.send(message, reply=False)
        except OSError as error:
            log.info("could not ask %s to stop %d: %s", job.node.ip_addr, bundle, error)

    def audit(self, ip: str, task: Any = None) -> Steps:
        """Ask the node which bundles it has."""
        node, asked_at = self.usable(ip), time.monotonic()
        if node is None:
            return
        try:
            known, never = yield self.ask_jobs(node, self.desk.in_doubt(ip))
        except (OSError, ValueError) as error:
            log.info("%s could not be asked for its jobs: %s", ip, error)
            self.desk.timed(ip, None)
        else:
            self.desk.timed(ip, time.monotonic() - asked_at)
            self.desk.audited(ip, known, never, asked_at)

    def ask_jobs(self, node: Any, in_doubt: list[int], timeout: float = 5.0) -> Steps:
        """What the node has, and what of the bundles in doubt it never had nor will take."""
        request = {
            "compute_id": self.computation._compute.id,
            "auth": node.password,
            "in_doubt": in_doubt,
        }
        reply = yield node.send(b"JOBS:" + pycos.serialize(request), timeout=timeout)
        if not isinstance(reply, bytes | bytearray) or not reply:
            raise ValueError("no list of jobs")
        answer = pycos.deserialize(reply)
        if isinstance(answer, list):  # a stock dispynode, which keeps no books
            answer = {"known": answer, "never": []}
        return tuple(
            {uid for uid in answer[name] if isinstance(uid, int)} for name in ("known", "never")
        )

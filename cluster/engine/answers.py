"""What comes back from the nodes: progress, final answers, artifacts.

Everything here that yields runs in dispy's own thread (a pycos task).
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import dispy
import pycos

from node import transfer
from node.fixes import Steps, complain

RECORD_SECONDS = 8.0  # an answer waits this long for its record; dispy's node gives up after 10
REMEMBERED = 10_000  # answers recorded lately, which may be repeated


class Answers(dispy._Cluster):
    """The part of Link that hears from running bundles."""

    hash_of: Any
    make_job: Any
    heard_at: dict[str, float]
    incoming: Path

    def prepare_answers(self) -> None:
        self.unrecorded: dict[int, Any] = {}  # bundle -> set once its answer is recorded
        self.recorded: OrderedDict[int, bool] = OrderedDict()

    def job_reply_process(self, reply: Any, msg_len: int, sock: Any, addr: Any) -> Steps:
        """An answer is acknowledged once it is recorded: until then the node keeps it."""
        bundle = reply.uid
        if type(bundle) is not int or not hmac.compare_digest(
            self.hash_of(bundle), str(reply.hash)
        ):
            complain("an answer for %r from %s is not ours", bundle, addr[0])
            yield sock.send_msg(b"NAK")
            return
        if reply.ip_addr in self._nodes:
            self.heard_at[reply.ip_addr] = time.monotonic()
        if reply.status == dispy.DispyJob.ProvisionalResult:
            if bundle in self._sched_jobs:
                yield super().job_reply_process(reply, msg_len, sock, addr)
            else:
                yield sock.send_msg(b"ACK")
            return
        if bundle not in self.unrecorded and bundle not in self.recorded:
            yield self.take_answer(bundle, reply, msg_len, sock, addr)
        event = self.unrecorded.get(bundle)
        if event is None or (yield event.wait(RECORD_SECONDS)):
            yield sock.send_msg(b"ACK")

    def take_answer(self, bundle: int, reply: Any, msg_len: int, sock: Any, addr: Any) -> Steps:
        self.unrecorded[bundle] = pycos.Event()
        if (
            bundle not in self._sched_jobs
        ):  # given up, or of an earlier life: it counts all the same
            self._sched_jobs[bundle] = self.make_job(bundle)
        real, sock.send_msg = sock.send_msg, lambda data: None
        try:
            yield super().job_reply_process(reply, msg_len, sock, addr)
        except Exception:
            self.unrecorded.pop(bundle, None)
            raise
        finally:
            sock.send_msg = real

    def mark_recorded(self, bundles: list[int], task: Any = None) -> Steps:
        for bundle in bundles:
            self.recorded[bundle] = True
            event = self.unrecorded.pop(bundle, None)
            if event is not None:
                event.set()
        while len(self.recorded) > REMEMBERED:
            self.recorded.popitem(last=False)
        yield None

    def file_xfer_process(self, job_reply: Any, xfer: Any, sock: Any, addr: Any) -> Steps:
        """An artifact: into the incoming folder, under the agreed kind of name only."""
        name = str(xfer.name).rpartition("/")[2]
        digest = transfer.artifact_digest(name)
        ours = type(job_reply.uid) is int and hmac.compare_digest(
            self.hash_of(job_reply.uid), str(job_reply.hash)
        )
        if digest is None or not ours:
            complain("refused the file %r from %s", name, addr[0])
            yield sock.send_msg(pycos.serialize(-1))
            return
        yield transfer.receive(sock, xfer, self.incoming / name, digest, transfer.ARTIFACT_LIMIT)

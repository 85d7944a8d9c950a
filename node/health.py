"""What the agent checks about itself while it runs: jobs that died, and whether it is deaf."""

from __future__ import annotations

import copy
import logging
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pycos
from dispy import DispyJob
from pycos import Task

from node import leftovers, tls
from node.fixes import LENGTH, Steps

log = logging.getLogger("node")

LISTEN_SECONDS = 10.0  # between two looks at our own port
BORN_SECONDS = 30.0  # by then a job has a process, or will never have one
DIED = "the runner died without an answer"


class Health:
    """Stock dispy notices a dead job after a minute at best; we look twice a second."""

    def __init__(self, node: Any, work: Path) -> None:
        self.node = node
        self.work = work
        self.deaf = 0  # times in a row that our port did not answer
        self.next_listen_at = 0.0

    def check(self, now: float) -> str | None:
        """Set right what can be set right; why the agent must end, where that is all it can do."""
        self.drop_broken_clients()  # first: its jobs are lost, not dead of themselves
        self.report_dead_jobs()
        self.clean_up()
        if not self.node.reply_Q_thread.is_alive():
            return "the thread that sends the answers died"
        if now < self.next_listen_at:
            return None
        self.next_listen_at = now + LISTEN_SECONDS
        self.deaf = 0 if answers(self.node) else self.deaf + 1
        return "our own port does not answer" if self.deaf == 3 else None

    def jobs(self) -> list[Any]:
        with self.node.thread_lock:
            return list(self.node.job_infos.values())

    def report_dead_jobs(self) -> None:
        """Whatever a job answered went into the queue before it ended, so ours comes second."""
        for job in self.jobs():
            if not is_dead(job):
                continue
            leftovers.sweep(self.work / str(job.job_reply.uid))  # first: nobody runs on unknown
            if job.compute_id not in self.node.clients:  # nobody to tell
                with self.node.thread_lock:
                    self.node.job_infos.pop(job.job_reply.uid, None)
            else:
                reply = copy.copy(job.job_reply)
                reply.status = DispyJob.Terminated
                reply.result = pycos.serialize(None)
                reply.exception = DIED
                reply.end_time = time.time()
                self.node.reply_Q.put(reply)

    def clean_up(self) -> None:
        """A job that was killed leaves its folder, and perhaps processes that live in it."""
        running = {str(job.job_reply.uid) for job in self.jobs()}
        for folder in self.work.iterdir():
            if folder.name not in running:
                leftovers.sweep(folder)
                shutil.rmtree(folder, ignore_errors=True)

    def drop_broken_clients(self) -> None:
        """Without its warm process a computation can run nothing more: have it set up anew."""
        for client in list(self.node.clients.values()):
            warm = client.setup_proc
            if client.use_setup_proc and warm and not leftovers.is_running(warm.pid):
                log.error("the warm process %s died; giving up what ran in it", warm.pid)
                client.use_setup_proc, client.setup_proc = False, None
                Task(drop_client, self.node, client)


def drop_client(node: Any, client: Any, task: Any = None) -> Steps:
    with node.thread_lock:
        ours = [uid for uid, job in node.job_infos.items() if job.compute_id == client.compute.id]
        for uid in ours:
            del node.job_infos[uid]
    client.pending_jobs = 0
    client.zombie = True
    client.jobs_done.set()  # the dispatcher's CLOSE, which follows our goodbye, waits for this
    yield node.send_terminate(task=task)
    yield node.cleanup_computation(client, close=True, task=task)


def is_dead(job: Any) -> bool:
    process = job.proc
    if isinstance(process, psutil.Process):
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
    if job.pid:
        return not leftovers.is_running(job.pid)
    return time.time() - job.job_reply.start_time > BORN_SECONDS


def answers(node: Any) -> bool:
    """Does this very process hear what is sent to its port? An orphan may hold it instead."""
    try:
        with connect(node) as sock:
            request = b"NODE_INFO:"
            sock.sendall(b"x" * len(node.auth) + LENGTH.pack(len(request)) + request)
            sign = read_exactly(sock, LENGTH.unpack(read_exactly(sock, LENGTH.size))[0])
            return sign == node.sign.encode()
    except OSError:
        return False


def connect(node: Any) -> socket.socket:
    sock = socket.create_connection((node.addrinfos[0].ip, node.port), timeout=3)
    if node.certfile:
        return tls.make_context(node.certfile, node.keyfile, False).wrap_socket(sock)
    return sock


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


def watch(node: Any, work: Path, stop: threading.Event) -> str | None:
    """Until told to stop, or until something is wrong: then say what."""
    health = Health(node, work)
    while not stop.wait(0.5):
        wrong = health.check(time.monotonic())
        if wrong:
            return wrong
    return None

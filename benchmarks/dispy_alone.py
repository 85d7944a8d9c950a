"""The reference: the same calls by dispy alone, one job each, as its own documentation does it.

`python -m benchmarks.dispy_alone noop 1000` prints a line of JSON. Stock client and two stock
nodes of one slot; its UDP is switched off on both ends.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.live.fleet import ROOT, free_ports, wait_for

NODES = ("127.0.0.2", "127.0.0.3")
SECRET = "not-a-secret"


def noop(n: int) -> int:
    return n


def true(n: int) -> int:
    import subprocess

    return subprocess.run(["/bin/true"], check=True).returncode


def pause(n: int) -> None:
    import time

    time.sleep(0.05)


CALLS = {"noop": noop, "true": true, "pause": pause}


def no_udp(cluster: Any, bind_addr: Any, addrinfo: Any, bound: Any, task: Any = None) -> Any:
    bound.set()
    yield None


def no_broadcast(cluster: Any, *args: Any, **kwargs: Any) -> Any:
    yield None


def run(kind: str, count: int, port: int) -> dict[str, float]:
    """From the first submit to the last result."""
    import itertools

    import dispy

    dispy._Cluster.udp_server, dispy._Cluster.broadcast_ping = no_udp, no_broadcast
    numbers = itertools.count(1)
    dispy.id = lambda _: next(numbers)  # it names jobs by addresses, which come twice
    cluster = dispy.JobCluster(
        CALLS[kind], nodes=list(NODES), host="127.0.0.1", dispy_port=port, secret=SECRET,
        loglevel=dispy.logger.WARNING, recover_file=str(Path(tempfile.mkdtemp()) / "recover"),
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while sum(node.cpus for node in cluster.status().nodes) < len(NODES):
        assert time.monotonic() < deadline, "the stock nodes did not come"
        time.sleep(0.05)
    started = time.monotonic()
    jobs = [cluster.submit(n) for n in range(count)]
    for job in jobs:
        job()
    took = time.monotonic() - started
    # Of very short jobs it answers one in some hundreds with an error of its own.
    failed = sum(job.status != dispy.DispyJob.Finished for job in jobs)
    return {"seconds": took, "per_second": count / took, "failed": failed}


def listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port)):
        return True
    return False


def measure(kind: str, count: int) -> dict[str, float]:
    """In a process of its own: dispy keeps one client a process.

    Now and then it loses a job and waits for ever: then it is asked again.
    """
    for _ in range(3):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return measure_once(kind, count)
    raise SystemExit("dispy alone did not come to an end, three times")


def measure_once(kind: str, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dispycluster-alone-") as folder:
        port, nodes = free_ports(), []
        try:
            for address in NODES:
                scratch = Path(folder, address)
                scratch.mkdir()
                nodes.append(subprocess.Popen(
                    [sys.executable, "tests/live/stock_node.py", "-c", "1", "-i", address,
                     "-p", str(port), "--dest_path_prefix", str(scratch), "--daemon",
                     "-s", SECRET, "--clean"],
                    cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                ))  # fmt: skip
            for address in NODES:
                wait_for(partial(listens, address, port + 1), 20, f"{address} listens")
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.dispy_alone", kind, str(count), str(port)],
                cwd=ROOT, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(f"dispy alone failed:\n{done.stdout}{done.stderr}")
            return dict(json.loads(done.stdout.splitlines()[-1]))
        finally:
            for node in nodes:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        print(json.dumps(run(kind, count, int(sys.argv[3]))), flush=True)
        os._exit(0)  # dispy's own end takes long
    print(json.dumps(measure(kind, count)))

"""Runs one bundle in a process of its own, as a node does, and says what happened, as JSON.

A forked member starts from this process's memory, so it stays as small as a node's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from node import runner, served, watch
from node.runner import run_bundle


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    told: list[Any] = []
    told_at: list[float] = []
    sent: dict[str, str] = {}
    answers = iter(request["answers"])

    def report(text: str) -> bool:
        told.append(json.loads(text))
        told_at.append(time.time())
        return next(answers, True)

    def send_file(path: Path, name: str) -> bool:
        sent[name] = path.read_bytes()[:1000].hex()
        return bool(request["sends"])

    if request["served"]:
        runner.WORTH_A_SERVER = 0
    served.PROGRAM = request["program"] or served.PROGRAM
    begun, begin = [], served.Server.begin

    def noting(server: served.Server, *args: Any) -> watch.Running:
        begun.append(args)
        if request["late"]:  # orders for a member that has ended meanwhile
            server.sock.sendall(request["late"][0].encode())
            time.sleep(request["late"][1])
        if request["fell"] == len(begun):
            os.kill(server.pid, signal.SIGKILL)
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        return begin(server, *args)

    served.Server.begin = noting  # type: ignore[assignment,method-assign]
    env = dict(os.environ)
    finals, seconds = [], []
    for bundle in request["bundles"]:
        started = time.monotonic()
        text = run_bundle(
            json.dumps(bundle),
            folder=Path(request["folder"]),
            files=Path(request["files"]),
            node="pi-4",
            report=report,
            send_file=send_file,
        )
        seconds.append(time.monotonic() - started)
        finals.append(json.loads(text))
    try:
        children = os.waitpid(-1, os.WNOHANG)[0] >= 0
    except ChildProcessError:
        children = False
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    answer = {
        "finals": finals, "told": told, "told_at": told_at, "sent": sent, "seconds": seconds,
        "peak_kb": peak, "children": children, "left": os.listdir(request["folder"]),
        "env_kept": dict(os.environ) == env,
        "served": len(begun),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }  # fmt: skip
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

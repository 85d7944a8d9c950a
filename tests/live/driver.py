"""An engine in a process of its own, driven by JSON lines: dispy allows one client per process.

Commands come by stdin, one a line: {"do": "send", …}. Events and answers go to stdout.
"""

import dataclasses
import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from cluster.engine.client import Engine, EngineConfig


def say(kind: str, **values: Any) -> None:
    sys.__stdout__.write(json.dumps({"kind": kind, **values}) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def read_commands(commands: "Queue[dict[str, Any]]", engine: Engine) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
        engine.wake()
    commands.put({"do": "exit"})


def obey(engine: Engine, command: dict[str, Any]) -> bool:
    do = command.pop("do")
    if do == "exit":
        return False
    if do == "send":
        files = [(digest, Path(path)) for digest, path in command.pop("files", [])]
        say("sent", bundle=command["bundle"], ok=engine.send(**command, files=files))
    elif do == "incoming":
        path = engine.incoming(command["name"])
        say("incoming", path=str(path) if path else None)
    elif do == "close":
        engine.close(keep_running=command["keep_running"])
        say("closed")
        return False
    elif do == "stop_listening":
        stop_listening(engine.config.port)
    elif do == "hold":  # events are taken, but never recorded
        HOLD.append(True)
    else:
        getattr(engine, do)(**command)
        say("done", do=do)
    return True


HOLD: list[bool] = []


def stop_listening(port: int) -> None:
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            known = socket.socket(fileno=os.dup(number))
        except OSError:
            continue  # no socket
        with known:
            listens = known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and known.getsockname()[1] == port:
                known.shutdown(socket.SHUT_RDWR)


def bench(engine: Engine, count: int, addresses: list[str]) -> None:
    """No-op bundles, as fast as the slots take them."""
    times: dict[int, float] = {}
    latencies: list[float] = []
    started, sent = time.monotonic(), 0
    first = secrets.randbits(61)
    while len(latencies) < count:
        for address in addresses:
            while sent < count and engine.send(first + sent, address, noop(first + sent)):
                times[first + sent] = time.monotonic()
                sent += 1
        engine.wait(1)
        for event in engine.take_events():
            if type(event).__name__ == "BundleEnded":
                latencies.append(time.monotonic() - times[event.bundle])  # type: ignore[union-attr]
    latencies.sort()
    say(
        "bench", per_second=count / (time.monotonic() - started),
        median_ms=1000 * latencies[count // 2], p95_ms=1000 * latencies[count * 95 // 100],
    )  # fmt: skip


def noop(bundle: int) -> str:
    return json.dumps({"bundle": bundle, "tasks": None, "specs": {}, "members": []})


def main() -> None:
    options = json.loads(sys.argv[1])
    logging.basicConfig(stream=sys.stderr, level=options.pop("logging", "INFO"))
    open_bundles = {int(b): a for b, a in options.pop("open", {}).items()}
    options["home"] = Path(options["home"])
    options["nodes"] = tuple(options["nodes"])
    engine = Engine(EngineConfig(**options))
    commands: Queue[dict[str, Any]] = Queue()
    started = time.monotonic()
    engine.start(open_bundles)
    say("started", seconds=time.monotonic() - started)
    threading.Thread(target=read_commands, args=(commands, engine), daemon=True).start()
    going = True
    while going:
        for event in engine.take_events(recorded=not HOLD):
            say(type(event).__name__, **dataclasses.asdict(event))
        try:
            command = commands.get_nowait()
        except Empty:
            engine.wait(0.5)
            continue
        if command["do"] == "bench":
            bench(engine, command["count"], command["addresses"])
        else:
            going = obey(engine, command)


if __name__ == "__main__":
    main()
    os.environ.get("DRIVER_HARD_EXIT") and os._exit(0)

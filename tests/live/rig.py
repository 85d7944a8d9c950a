"""Real agents and real engines, each in a process of its own, on addresses nobody else uses."""

import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node.report import full

ROOT = Path(__file__).parents[2]
SECRET = "a secret for tests only"
Event = dict[str, Any]


class Agent:
    """One node agent; its log is beside its scratch folder."""

    def __init__(self, rig: "Rig", number: int, slots: int, secret: str, python: str) -> None:
        self.rig = rig
        self.address = rig.address(number)
        self.name = f"node-{number}"
        self.scratch = rig.folder / self.name
        self.log = rig.folder / f"{self.name}.log"
        secret_file = rig.folder / f"{self.name}.secret"
        secret_file.write_text(secret)
        arguments = {
            "--host": self.address, "--name": self.name, "--slots": slots,
            "--dispy-port": rig.port, "--secret-file": secret_file, "--scratch": self.scratch,
            **rig.tls,
        }  # fmt: skip
        words = [str(word) for pair in arguments.items() for word in pair]
        self.command = [python, "-m", "node.agent", *words]
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = start(self.command, stdout=log, stderr=subprocess.STDOUT)

    def signal(self, number: int) -> None:
        """To the agent and the processes that run its jobs."""
        for pid in self.family():
            os.kill(pid, number)

    def family(self) -> list[int]:
        """The agent and everything that came from it, as far as its folder tells."""
        return [self.process.pid, *living_in(self.scratch)]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Driver:
    """One engine, by its driver script."""

    def __init__(self, rig: "Rig", nodes: list[str], python: str, **options: Any) -> None:
        options = {
            "host": rig.address(1), "port": rig.port, "secret": SECRET, "nodes": nodes,
            "home": str(rig.folder / "engine"), **options,
        }  # fmt: skip
        for name, path in rig.tls.items():
            options[name.strip("-")] = str(path)
        self.log = rig.folder / "driver.log"
        with self.log.open("a") as log:
            self.process = start(
                [python, "-m", "tests.live.driver", json.dumps(options)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.lines: queue.Queue[Event] = queue.Queue()
        self.seen: list[Event] = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put({**json.loads(line), "at": time.monotonic()})

    def tell(self, do: str, **values: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self.process.stdin.flush()

    def until(self, kind: str, seconds: float = 15, **wanted: Any) -> Event:
        """The first event of this kind with these values, now or within so many seconds."""
        deadline = time.monotonic() + seconds
        looked = 0
        while True:
            for event in self.seen[looked:]:
                if event["kind"] == kind and wanted.items() <= event.items():
                    self.seen.remove(event)
                    return event
            looked = len(self.seen)
            try:
                left = deadline - time.monotonic()
                self.seen.append(self.lines.get(timeout=max(0.01, left)))
            except queue.Empty:
                raise AssertionError(f"no {kind} {wanted} among {self.words()}") from None

    def none_of(self, kind: str, seconds: float, **wanted: Any) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.seen.append(self.lines.get(timeout=0.1))
            except queue.Empty:
                continue
        found = [e for e in self.seen if e["kind"] == kind and wanted.items() <= e.items()]
        assert not found

    def words(self) -> list[Event]:
        return [event for event in self.seen if event["kind"] != "NodeReading"]

    def send(self, bundle: int, address: str, text: str, **values: Any) -> bool:
        self.tell("send", bundle=bundle, address=address, text=text, **values)
        return bool(self.until("sent", bundle=bundle)["ok"])

    def answer(self, bundle: int, seconds: float = 15) -> dict[str, Any]:
        event = self.until("BundleEnded", seconds, bundle=bundle)
        assert event["text"] is not None, event
        answer: dict[str, Any] = json.loads(event["text"])
        answer["ended"] = [full(report) for report in answer["ended"]]
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Rig:
    """A cluster for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net = f"127.{random.randint(32, 250)}.{random.randint(1, 250)}"
        self.port = self.free_port()
        self.tls: dict[str, Path] = {}
        self.python = os.environ.get("LIVE_PYTHON", sys.executable)  # to try another version
        self.agents: list[Agent] = []
        self.drivers: list[Driver] = []

    def address(self, number: int) -> str:
        return f"{self.net}.{number}"

    def free_port(self) -> int:
        """A port that is free here, and the next one too; below the ephemeral ones."""
        while True:
            port = random.randrange(20_000, 32_000, 2)
            if all(can_bind(self.address(n), p) for n in (1, 2, 3) for p in (port, port + 1)):
                return port

    def agent(self, number: int = 2, slots: int = 1, secret: str = SECRET) -> Agent:
        agent = Agent(self, number, slots, secret, self.python)
        self.agents.append(agent)
        return agent

    def driver(self, *agents: Agent, **options: Any) -> Driver:
        nodes = options.pop("nodes", [agent.address for agent in agents])
        driver = Driver(self, nodes, self.python, **options)
        self.drivers.append(driver)
        driver.until("started", 20)
        for agent in agents:
            driver.until("NodeSeen", 20, address=agent.address)
        return driver

    def end(self) -> None:
        processes = [d.process for d in self.drivers] + [a.process for a in self.agents]
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
        for agent in self.agents:
            for pid in living_in(agent.scratch):
                os.kill(pid, signal.SIGKILL)


def start(command: list[str], **options: Any) -> "subprocess.Popen[Any]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    return subprocess.Popen(command, env=environment, start_new_session=True, **options)


def can_bind(address: str, port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def living_in(folder: Path) -> list[int]:
    """Processes that work inside, or were told of a place there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                cwd = str((entry / "cwd").readlink())
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if cwd.startswith(f"{folder}/") or f"={folder}/".encode() in environ:
                found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def new_bundle() -> int:
    return random.getrandbits(62)


def bundle_text(bundle: int, command: str | list[str], **spec: Any) -> str:
    """A bundle of one member that runs this command."""
    spec = {
        "kind": "command", "command": command, "env": {}, "files": {}, "outputs": [],
        "timeout_seconds": 60, "memory_mb": None, "cpu_seconds": None, "output_limit": 100_000,
        **spec,
    }  # fmt: skip
    member = {"attempt": bundle % 10_000, "spec": "1", "args": {}, "job": 1, "number": 1}
    return json.dumps({"bundle": bundle, "tasks": None, "specs": {"1": spec}, "members": [member]})

"""A fleet with a web and a database of its own, looked at from outside: through the web."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

from jobs.models import FINAL_STATES
from tests.faults.web import Web
from tests.faults.work import LEDGER_LINE, lines
from tests.live.fleet import ROOT, Fleet, wait_for

PASSWORD = "a long password"


class Elsewhere:
    def __init__(self, made: Fleet, url: str) -> None:
        self.fleet = made
        made.environment.update(DATABASE_URL=url, DJANGO_SETTINGS_MODULE="dispycluster.settings")
        self.web = Web(made)
        self.ledger = made.folder / "ledger"
        self.accepted: list[int] = []

    def run(self, *command: str, **environment: str) -> str:
        """A command in the fleet's environment; its output."""
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, env={**self.fleet.environment, **environment},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> "Elsewhere":
        """The tables, somebody who is signed in, every process, every node online."""
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.run("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        who = ["--username", "alice", "--email", "alice@example.org", "--noinput"]
        self.run("manage.py", "createsuperuser", *who, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        self.web.token = self.run("manage.py", "token", "alice").strip()
        for address in self.fleet.addresses:
            self.fleet.start_node(address)
        self.fleet.start_dispatcher()
        self.fleet.start("monitor", "manage.py", "monitor")
        self.web.start()
        self.web.sign_in_by_page("alice", PASSWORD)
        self.wait(self.complete, 30, "all of it up")
        return self

    def complete(self) -> bool:
        status = self.get("/api/dispy/status")
        beats = status["processes"]
        all_here = status["nodes"] == len(self.fleet.addresses)
        return bool(all_here and beats["dispatcher"] and beats["monitor"])

    def get(self, path: str) -> Any:
        status, body, _ = self.web.ask("GET", path)
        assert status == 200, f"{path}: {status} {body}\n{self.fleet.logs()}"
        return body

    def body(self, then: str, **more: Any) -> dict[str, Any]:
        """A careful job that first writes its line into the ledger."""
        command = f"{LEDGER_LINE.format(ledger=self.ledger)}; {then}"
        return {"kind": "command", "command": command, "on_lost": "fail", **more}

    def submit(self, then: str, **more: Any) -> int:
        return self.take(self.web.submit(self.body(then, **more), uuid.uuid4().hex))

    def take(self, answer: tuple[int, Any, dict[str, str]]) -> int:
        """The number of a job that was accepted."""
        status, job, _ = answer
        assert status in (200, 201), f"{status} {job}\n{self.fleet.logs()}"
        if job["id"] not in self.accepted:
            self.accepted.append(job["id"])
        return int(job["id"])

    def submit_sweep(self, then: str, count: int) -> None:
        sweep = {"spec": self.body(then), "over": {"n": {"range": [0, count]}}}
        status, made, _ = self.web.ask("POST", "/api/sweeps", sweep)
        assert status == 201, f"{status} {made}"
        jobs = self.get(f"/api/jobs?sweep={made['id']}&limit={count}")["results"]
        assert len(jobs) == count
        self.accepted += [job["id"] for job in jobs]

    def idle(self) -> bool:
        counts = self.get("/api/jobs/status")
        return not (counts["queued"] or counts["running"])

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """As wait_for; a failure tells where things stand."""
        try:
            return wait_for(condition, seconds, what)
        except AssertionError as error:
            stand = self.web.ask("GET", "/api/jobs?state=queued&state=running&limit=5")[1]
            raise AssertionError(f"{error}\n{stand}\n{self.fleet.logs()}") from None

    def job(self, pk: int) -> dict[str, Any]:
        return dict(self.get(f"/api/jobs/{pk}"))

    def begun(self, *jobs: int) -> None:
        self.wait(lambda: set(lines(self.ledger)) >= set(map(str, jobs)), 10, f"start of {jobs}")

    def succeeded(self, pk: int, seconds: float = 20) -> dict[str, Any]:
        """Its representation, once it ended well, at the first attempt."""
        self.wait(lambda: self.job(pk)["state"] in FINAL_STATES, seconds, f"the end of job {pk}")
        job = self.job(pk)
        assert job["state"] == "succeeded", f"{job}\n{self.fleet.logs()}"
        assert [attempt["outcome"] for attempt in job["tries"]] == ["succeeded"]
        assert lines(self.ledger).count(str(pk)) == 1
        return job

    def output(self, pk: int) -> str:
        return str(self.get(f"/api/jobs/{pk}/output")["text"])

    def alive(self) -> None:
        """Every process that was started is still that process."""
        dead = [name for name, it in self.fleet.processes.items() if it.poll() is not None]
        assert not dead, f"{dead} ended\n{self.fleet.logs()}"

    def judge(self, fault: str, seconds: float, bound: float) -> None:
        words = [fault, str(self.ledger), f"{seconds:.3f}", str(bound)]
        self.run("-m", "tests.faults.judge", *words, *map(str, self.accepted))

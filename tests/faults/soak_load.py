"""The soak's load: jobs through the API, each with a key, so that the queue is short, not empty."""

import contextlib
import http.client
import random
import threading
import time
from pathlib import Path
from typing import Any

from django.db import Error, connection
from django.utils import timezone

from jobs.models import Job
from tests.faults.web import Web

ANSWER_SECONDS = 60  # for a request to be answered at last, repeated with its key
LONG_EVERY = 10.0  # seconds between two long jobs: there are two at a time
DEEPEST = 300  # jobs waiting

NOTE = "echo $DISPYCLUSTER_JOB/$DISPYCLUSTER_ATTEMPT >> {ledger}; "
END = "; echo $DISPYCLUSTER_JOB > $DISPYCLUSTER_RESULT"
TASKS = """
import os
import time


def note(ledger: str, seconds: float, n: int) -> int:
    job = os.environ["DISPYCLUSTER_JOB"]
    with open(ledger, "a") as file:
        file.write(job + "/" + os.environ["DISPYCLUSTER_ATTEMPT"] + "\\n")
    time.sleep(seconds)
    return int(job)
"""


class Load:
    """Submits until told to stop. What was answered is what was accepted."""

    def __init__(self, web: Web, ledger: Path, seed: str) -> None:
        self.web, self.ledger, self.seed = web, ledger, seed
        self.dice = random.Random(f"{seed} load")
        self.answers: dict[str, int] = {}  # by key: the job's or sweep's number
        self.accepted = 0  # jobs
        self.wrong: list[str] = []
        self.depth = 20
        self.dry = 0  # looks at an empty queue
        self.next_long = 0.0
        self.numbers = iter(range(10**9))
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                with contextlib.suppress(Error):
                    self.top_up()
                    continue
                connection.close()
                time.sleep(0.2)
        except Exception as error:
            self.wrong.append(f"the load ended: {error!r}")
        finally:
            connection.close()

    def top_up(self) -> None:
        waiting = Job.objects.filter(state="queued", run_at__lte=timezone.now()).count()
        if waiting >= self.depth:
            self.stopping.wait(0.1)
            return
        if waiting == 0 and self.accepted > self.depth:
            self.dry += 1
            self.depth = min(DEEPEST, self.depth + 10)
        if time.monotonic() > self.next_long:
            self.next_long = time.monotonic() + LONG_EVERY
            self.post("jobs", self.command("sleep 20", name="long"))
        elif self.dice.random() < 0.1:
            self.post("sweeps", self.sweep())
        else:
            self.post("jobs", self.short())

    def short(self) -> dict[str, Any]:
        if self.dice.random() < 0.03:
            return self.command("exit 3", name="fails", max_attempts=2)
        seconds = self.dice.choice([0.05, 0.05, 0.1, 0.2, 0.5, 1, 2])
        return self.command(f"sleep {seconds}")

    def command(self, work: str, **more: Any) -> dict[str, Any]:
        line = NOTE.format(ledger=self.ledger) + work + END
        return {"kind": "command", "command": line, **self.care(), **more}

    def sweep(self) -> dict[str, Any]:
        spec = {
            "kind": "function", "function": "soaking.note",
            "isolation": self.dice.choice(["fork", "shared"]),
            "args": {"ledger": str(self.ledger), "seconds": self.dice.choice([0.02, 0.05, 0.2])},
            **self.care(),
        }  # fmt: skip
        return {"spec": spec, "over": {"n": {"range": [0, self.dice.randrange(5, 40)]}}}

    def care(self) -> dict[str, Any]:
        """A third of them must never run twice."""
        careful = self.dice.random() < 1 / 3
        return {"on_lost": "fail", "max_attempts": 1} if careful else {"on_lost": "retry"}

    def key(self) -> str:
        return f"{self.seed}-{next(self.numbers)}"

    def post(self, what: str, body: dict[str, Any], key: str = "") -> None:
        """Repeated with the same key until it is answered."""
        key, deadline = key or self.key(), time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                status, answer, _ = self.web.ask("POST", f"/api/{what}", body, Idempotency_Key=key)
                if status in (200, 201):
                    self.note(key, answer["id"], answer.get("total", 1))
                    return
                if status != 503:
                    self.wrong.append(f"the web answered {status} to key {key}: {answer!r:.500}")
            time.sleep(0.2)
        self.wrong.append(f"no answer to key {key} for {ANSWER_SECONDS} s")

    def note(self, key: str, number: int, jobs: int) -> None:
        with self.lock:
            if key not in self.answers:
                self.answers[key] = number
                self.accepted += jobs
            elif self.answers[key] != number:
                self.wrong.append(f"key {key} made {self.answers[key]}, and later {number}")

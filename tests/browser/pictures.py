"""Retakes the pictures in docs/images, of a real run: python -m tests.browser.pictures [folder].

It starts everything on three nodes of this machine, gives them work for a minute, and looks.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.browser.walker import Walker, chromium
from tests.postgres import free_port

ROOT = Path(__file__).resolve().parents[2]
SHELVES = (("shelf-2", "127.0.0.2", 2), ("shelf-3", "127.0.0.3", 1), ("shelf-4", "127.0.0.4", 1))
FRAME = (
    "sleep 0.2; test $(( {frame} % 23 )) -ne 0 || "
    "(echo frame {frame}: the texture wood.png is missing >&2; exit 3)"
)
TRAINING = """\
import math, random
draw = random.Random(7)
points = [[draw.gauss(0, 1) for _ in range(12)] for _ in range(4000)]
truth = [draw.gauss(0, 1) for _ in range(12)]
labels = [sum(map(float.__mul__, truth, x)) + draw.gauss(0, 1) > 0 for x in points]
weights, best = [0.0] * 12, math.inf
for epoch in range(600):
    loss, slope = 0.0, [0.0] * 12
    for x, label in zip(points, labels):
        p = 1 / (1 + math.exp(-sum(map(float.__mul__, weights, x))))
        loss -= math.log(max(1e-9, p if label else 1 - p)) / len(points)
        slope = [s + (p - label) * v / len(points) for s, v in zip(slope, x)]
    weights = [w - 0.08 * s for w, s in zip(weights, slope)]
    note = ""
    if epoch % 7 == 0 and loss < best:
        best, note = loss, "  \\x1b[32mbest so far\\x1b[0m"
    print(f"epoch {epoch:3}  loss {loss:.4f}{note}", flush=True)
"""


@contextmanager
def running(home: Path) -> Iterator[str]:
    """The whole of it, at that address, until it is looked at."""
    port, dispy = free_port(), free_port()
    environment = {
        **os.environ, "DISPYCLUSTER_HOME": str(home), "PORT": str(port), "DISPY_PORT": str(dispy),
        "DISPY_NODES": ",".join(address for _name, address, _slots in SHELVES),
    }  # fmt: skip
    commands = [["up"]] + [
        ["node", "--host", address, "--name", name, "--slots", str(slots),
         "--scratch", str(home / name)]
        for name, address, slots in SHELVES
    ]  # fmt: skip
    with ExitStack() as stack, (home / "pictures.log").open("w") as log:
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
            stack.callback(end, process)
            if command == ["up"]:
                until(lambda: get(f"http://127.0.0.1:{port}/healthz") == 200, "the web")
        until(lambda: get(f"http://127.0.0.1:{port}/readyz") == 200, "a node")
        yield f"http://127.0.0.1:{port}"


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def until(is_so: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"still waiting for {what}")
        time.sleep(0.5)


def get(url: str) -> int:
    try:
        return requests.get(url, timeout=5).status_code
    except OSError:
        return 0


def work(url: str, token: str) -> int:
    """A sweep that is done, one with failures, and what still runs: the number of one such job."""

    def ask(method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, url + path, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def post(path: str, body: dict[str, Any]) -> Any:
        return ask("POST", path, body)

    def idle() -> bool:
        counts = ask("GET", "/api/jobs/status")
        return not (counts["queued"] or counts["running"])

    pi = {"kind": "function", "function": "montecarlo.pi_block", "args": {"samples": 100_000}}
    post("/api/sweeps", {"name": "estimate pi", "spec": pi, "over": {"seed": {"range": [0, 500]}}})
    frame = {"kind": "command", "command": FRAME}
    frames = {"name": "render frames", "spec": frame, "over": {"frame": {"range": [1, 240]}}}
    post("/api/sweeps", frames)
    until(idle, "the sweeps", 400)
    training = post("/api/jobs", {"name": "train the classifier", "kind": "script",
                                  "source": TRAINING, "timeout_seconds": 600,
                                  "priority": 90})  # fmt: skip
    for seed in range(30):
        post("/api/jobs", {"name": f"nightly simulation {seed + 1}", "kind": "function",
                           "function": "montecarlo.pi",
                           "args": {"samples": 200_000_000, "seed": seed}})  # fmt: skip
    time.sleep(25)
    return int(training["id"])


def take(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as made, running(Path(made)) as url:
        manage = [sys.executable, "manage.py", "token", "admin"]
        environment = {**os.environ, "DISPYCLUSTER_HOME": made}
        token = subprocess.run(
            manage, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()[0]
        job = work(url, token)
        driver = chromium(Path(made) / "profile")
        if driver is None:
            raise SystemExit("It takes chromium and chromedriver.")
        try:
            walk = Walker(driver, url)
            walk.narrow(1280)
            walk.sign_in("admin", (Path(made) / "secrets" / "admin_password").read_text().strip())
            os.environ["PICTURES"] = str(folder)
            for name, path in (("dashboard", "/"), ("job", f"/jobs/{job}")):
                walk.go(path)
                time.sleep(4)
                walk.picture(name)
        finally:
            driver.quit()


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "images").resolve())

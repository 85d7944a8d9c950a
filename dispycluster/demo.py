"""The demonstration: π from 500 blocks of random points, by the public API."""

import contextlib
import datetime
import http.client
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from knox.models import get_token_model

from dispycluster.first_start import ensure_admin
from dispycluster.up import web_answers, web_url
from node.process import die_with_parent

BLOCKS = 500
SWEEP = {
    "name": "estimate pi",
    "spec": {
        "kind": "function",
        "function": "montecarlo.pi_block",
        "args": {"samples": 100_000},
        "isolation": "shared",  # small and pure: no process for each
    },
    "over": {"seed": {"range": [0, BLOCKS]}},
}
FINAL = ("succeeded", "failed", "cancelled")
READY_SECONDS, STALL_SECONDS, LOOK_SECONDS = 90.0, 120.0, 0.25


def demo(stay: bool) -> bool:
    """Run it, on the stack that answers or on one of our own. True if every job succeeded."""
    if web_answers():
        wait_until_ready(None)
        return show_sweep()
    with own_stack() as stack:
        good = show_sweep()
        if stay:
            print(
                f"\n{sign_in()}\nDispyCluster keeps running; press Ctrl-C to stop it.", flush=True
            )
            with contextlib.suppress(KeyboardInterrupt):
                stack.wait()
    return good


@contextlib.contextmanager
def own_stack() -> Iterator[subprocess.Popen[bytes]]:
    """Start everything, and stop it when the demonstration is over."""
    log, ours = settings.HOME / "demo.log", os.getpid()
    print(f"Starting DispyCluster; its log is {log}", flush=True)
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        stack = subprocess.Popen(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "up"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: die_with_parent(ours),
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        wait_until_ready(stack)
        yield stack
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reached the stack as well
        if stack.poll() is None:
            print("Stopping DispyCluster", flush=True)
            stack.terminate()
        stack.wait()


def wait_until_ready(stack: subprocess.Popen[bytes] | None) -> None:
    """Wait until a dispatcher and a node are there to do the work."""
    deadline = time.monotonic() + READY_SECONDS
    while not web_answers("/readyz", below=400):
        if stack and stack.poll() is not None:
            lines = (settings.HOME / "demo.log").read_text(errors="replace").splitlines()
            raise SystemExit("\n".join([*lines[-10:], "DispyCluster did not start."]))
        if time.monotonic() > deadline:
            raise SystemExit(f"Nothing can run yet; {web_url()}/readyz and the log say why.")
        time.sleep(LOOK_SECONDS)


def show_sweep() -> bool:
    """Submit the sweep, follow it to its end and print what came out."""
    with token() as secret:
        started = time.monotonic()
        sweep = call(secret, "POST", "/api/sweeps", SWEEP)
        print(f"Submitted sweep {sweep['id']}: {BLOCKS} blocks of random points", flush=True)
        counts = follow(secret, sweep["id"])
        seconds = time.monotonic() - started
        results = [job["result"] for job in pages(secret, f"/api/jobs?sweep={sweep['id']}")]
    blocks = [result for result in results if result]
    if blocks:
        print(answer(blocks))
    print(f"{sum(counts.values())} jobs in {seconds:.1f} s: {BLOCKS / seconds:.0f} jobs/s")
    if failed := BLOCKS - counts.get("succeeded", 0):
        print(f"{failed} jobs did not succeed; the pages say why.")
    print(f"Open {web_url()}/jobs?sweep={sweep['id']}", flush=True)
    return not failed


def follow(secret: str, sweep: int) -> dict[str, int]:
    """Draw the progress until every job is final; returns how many ended how."""
    best, since, drawn = -1, time.monotonic(), -1
    while True:
        counts = call(secret, "GET", f"/api/sweeps/{sweep}")["counts"]
        done = sum(counts.get(state, 0) for state in FINAL)
        if sys.stdout.isatty():
            print(f"\r{bar(done)}", end="\n" if done >= BLOCKS else "", flush=True)
        elif done >= BLOCKS or done * 10 // BLOCKS > drawn:
            drawn = done * 10 // BLOCKS
            print(f"{done} of {BLOCKS} done", flush=True)
        if done >= BLOCKS:
            return counts
        if done > best:
            best, since = done, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            raise SystemExit(
                f"\nNothing was finished for {STALL_SECONDS:.0f} s. {web_url()}/jobs?sweep={sweep} "
                "says what the jobs wait for."
            )
        time.sleep(LOOK_SECONDS)


def bar(done: int) -> str:
    width = max(10, min(50, shutil.get_terminal_size().columns - 20))
    filled = done * width // BLOCKS
    return f"[{'#' * filled}{'.' * (width - filled)}] {done}/{BLOCKS}"


def answer(blocks: list[dict[str, int]]) -> str:
    """The blocks together: π, its standard error and how far off it is in truth."""
    hits = sum(block["hits"] for block in blocks)
    samples = sum(block["samples"] for block in blocks)
    share = hits / samples
    estimate, error = 4 * share, 4 * math.sqrt(share * (1 - share) / samples)
    return (
        f"π ≈ {estimate:.6f} ± {error:.6f} (standard error) from {samples:,} points; "
        f"in truth it is off by {abs(estimate - math.pi):.6f}"
    )


@contextlib.contextmanager
def token() -> Iterator[str]:
    """A token of an administrator's for an hour, taken back afterwards."""
    admin = get_user_model().objects.filter(is_superuser=True, is_active=True).first()
    if not admin:
        raise SystemExit(f"There is no administrator in the database of {settings.HOME}.")
    row, secret = get_token_model().objects.create(admin, expiry=datetime.timedelta(hours=1))
    try:
        yield secret
    finally:
        row.delete()


def sign_in() -> str:
    name, password = ensure_admin()
    return f"Sign in at {web_url()} as {name}; {password}."


def pages(secret: str, path: str) -> Iterator[dict[str, Any]]:
    while path:
        page = call(secret, "GET", path)
        yield from page["results"]
        following = urllib.parse.urlsplit(page["next"] or "")
        path = f"{following.path}?{following.query}" if page["next"] else ""


def call(secret: str, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(  # noqa: S310 (our own http address)
        web_url() + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read(2000).decode(errors="replace")
        if error.code == 401:
            text = f"the DispyCluster there has another home than {settings.HOME}"
        raise SystemExit(f"{method} {path} was refused ({error.code}): {text}") from None
    except (OSError, http.client.HTTPException) as error:
        raise SystemExit(f"{web_url()} does not answer any more: {error}") from None

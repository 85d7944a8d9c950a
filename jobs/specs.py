"""What to run as immutable rows, one per distinct content."""

import hashlib
import json
import shlex
from datetime import datetime
from typing import Any

from jobs.models import Need, Spec
from jobs.rows import select

# The parts of a job's body that make its spec; docs/lifecycle.md tells what each means.
RUN_FIELDS = [
    "kind", "command", "source", "function", "isolation", "env", "files", "outputs",
    "timeout_seconds", "cpu_seconds", "output_limit",
]  # fmt: skip

SMALL, MOST_KNOWN = 10_000, 1000  # characters, specs
known: dict[str, Spec] = {}  # by digest, those used lately: they do not change


def spec_of(data: dict[str, Any], now: datetime) -> Spec:
    """The row for what `data` asks to run, made if it is new."""
    need_body = {key: value for key, value in data.get("needs", {}).items() if value}
    if need_body.get("slots") == 1:
        del need_body["slots"]  # as everybody
    body = {key: data[key] for key in RUN_FIELDS if data.get(key) not in (None, {}, [])}
    if need_body.get("memory_mb"):
        body["memory_mb"] = need_body["memory_mb"]  # asked for, so held to
    retry_on = data.get("retry_on", {})
    digest, small = digest_of([body, need_body, retry_on])
    spec = known.get(digest)
    # It may have been cleaned up, or never have been committed.
    if spec and select("SELECT id FROM jobs_spec WHERE digest = %s", [digest]) == [(spec.pk,)]:
        return spec
    defaults = {"kind": data["kind"], "title": title(data)[:200], "body": body, "created_at": now}
    need_digest, _ = digest_of(need_body)
    need, _ = Need.objects.get_or_create(digest=need_digest, defaults={"body": need_body})
    defaults |= {"need": need, "retry_on": retry_on}
    spec, _ = Spec.objects.get_or_create(digest=digest, defaults=defaults)
    spec.need = need
    if small:
        if len(known) >= MOST_KNOWN:
            known.clear()
        known[digest] = spec
    return spec


def digest_of(content: Any) -> tuple[str, bool]:
    """And whether it is short enough to be remembered."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest(), len(text) < SMALL


def title(data: dict[str, Any]) -> str:
    """One line that says what it runs."""
    if data["kind"] == "function":
        return str(data["function"])
    if data["kind"] == "command":
        command = data["command"]
        return command if isinstance(command, str) else shlex.join(command)
    lines = [line.strip() for line in data["source"].splitlines()]
    return next((line for line in lines if line and not line.startswith(("#!", "# -*-"))), "script")

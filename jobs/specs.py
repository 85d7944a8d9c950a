"""What to run as immutable rows, one per distinct content."""

import hashlib
import json
import shlex
from datetime import datetime
from typing import Any

from jobs.models import Need, Spec

# The parts of a job's body that make its spec; docs/lifecycle.md tells what each means.
RUN_FIELDS = [
    "kind", "command", "source", "function", "isolation", "env", "files", "outputs",
    "timeout_seconds", "cpu_seconds", "output_limit",
]  # fmt: skip


def spec_of(data: dict[str, Any], now: datetime) -> Spec:
    """The row for what `data` asks to run, made if it is new."""
    need_body = {key: value for key, value in data.get("needs", {}).items() if value}
    if need_body.get("slots") == 1:
        del need_body["slots"]  # as everybody
    body = {key: data[key] for key in RUN_FIELDS if data.get(key) not in (None, {}, [])}
    if need_body.get("memory_mb"):
        body["memory_mb"] = need_body["memory_mb"]  # asked for, so held to
    need = row(Need, need_body, {"body": need_body})
    defaults = {
        "kind": data["kind"],
        "title": title(data)[:200],
        "body": body,
        "created_at": now,
        "need": need,
        "retry_on": data.get("retry_on", {}),
    }
    spec: Spec = row(Spec, [body, need_body, defaults["retry_on"]], defaults)
    spec.need = need
    return spec


def row(model: Any, content: Any, defaults: dict[str, Any]) -> Any:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return model.objects.get_or_create(digest=digest, defaults=defaults)[0]


def title(data: dict[str, Any]) -> str:
    """One line that says what it runs."""
    if data["kind"] == "function":
        return str(data["function"])
    if data["kind"] == "command":
        command = data["command"]
        return command if isinstance(command, str) else shlex.join(command)
    lines = [line.strip() for line in data["source"].splitlines()]
    return next((line for line in lines if line and not line.startswith(("#!", "# -*-"))), "script")

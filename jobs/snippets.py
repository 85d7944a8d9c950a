"""The same job by other means: a request's body, a curl line, a piece of Python. Pure."""

import json
import shlex
from typing import Any

from jobs import values
from jobs.models import Job

PLAIN = {"priority": 0, "max_attempts": 1, "on_lost": "retry", "strategy": "", "name": ""}


def body_of(job: Job) -> dict[str, Any]:
    """What to POST to get this job once more, as far as it can be. Needs spec and need."""
    known = values.mended(job.spec.body)
    spec = {name: value for name, value in known.items() if name != "memory_mb"}
    body: dict[str, Any] = {"name": job.name, **spec}
    if job.need.body:
        body["needs"] = job.need.body
    if job.spec.retry_on:
        body["retry_on"] = job.spec.retry_on
    if isinstance(args := values.read(job.args), dict) and args:
        body["args"] = args
    for name in ("priority", "max_attempts", "on_lost", "strategy"):
        body[name] = getattr(job, name)
    return {name: value for name, value in body.items() if PLAIN.get(name, ...) != value}


def curl(url: str, body: dict[str, Any]) -> str:
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return (
        f"curl {shlex.quote(url)} \\\n"
        '  -H "Authorization: Bearer $DISPYCLUSTER_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(text)}"
    )


def python(url: str, body: dict[str, Any]) -> str:
    return f"""import json
import os
import urllib.request

body = {python_literal(body)}
request = urllib.request.Request(
    {url!r},
    json.dumps(body).encode(),
    {{
        "Authorization": "Bearer " + os.environ["DISPYCLUSTER_TOKEN"],
        "Content-Type": "application/json",
    }},
)
with urllib.request.urlopen(request) as response:
    print(json.load(response)["id"])"""


def python_literal(value: Any, depth: int = 0) -> str:
    """A JSON value as Python source, one entry a line."""
    if not isinstance(value, dict) or not value:
        return repr(value)
    pad = "    " * (depth + 1)
    inner = "".join(f"{pad}{k!r}: {python_literal(v, depth + 1)},\n" for k, v in value.items())
    return f"{{\n{inner}{'    ' * depth}}}"

"""What to run, read from the bundle and checked; and what it becomes for one member."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from node.errors import MemberError

OUTPUT_LIMIT = 1_048_576  # bytes kept of each stream, where the spec does not say
MAX_OUTPUT_LIMIT = 4 * 1_048_576
MAX_ENV_BYTES = 120_000  # Linux gives one variable 128 kB; more, and nothing can be started
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Spec:
    kind: str
    command: list[str] | str
    source: str
    function: str
    shared: bool
    env: dict[str, str]
    files: dict[str, str]  # name in scratch -> digest
    outputs: list[str]
    timeout_seconds: float | None
    memory_mb: int | None
    cpu_seconds: float | None
    output_limit: int

    @property
    def is_function(self) -> bool:
        return self.kind == "function"


def bad(message: str) -> MemberError:
    return MemberError("runner", f"the spec cannot be run: {message}")


def safe_name(name: Any) -> str:
    """A relative path that stays where it is put."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise bad(f"{name!r} is not a file name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise bad(f"{name!r} leaves the job's folder")
    return str(path)


def _number(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise bad(f"{name} is {value!r}, not a positive number")
    return value


def _texts(data: Mapping[str, Any], name: str) -> dict[str, str]:
    found = data.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise bad(f"{name} does not map names to text")
    return found


def _env(data: Mapping[str, Any]) -> dict[str, str]:
    env = _texts(data, "env")
    for name, value in env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise bad(f"env cannot have a variable {name!r} of that value")
    return env


def _files(data: Mapping[str, Any]) -> dict[str, str]:
    files = {safe_name(name): digest for name, digest in _texts(data, "files").items()}
    for name, digest in files.items():
        if not DIGEST.fullmatch(digest):
            raise bad(f"the digest of {name!r} is not of the form sha256:…")
    return files


def _command(data: Mapping[str, Any]) -> list[str] | str:
    command = data.get("command")
    if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        return command
    if isinstance(command, str) and command.strip():
        return command
    raise bad("command is neither a shell line nor a list of words")


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value.strip():
        raise bad(f"{name} is missing")
    return value


def read_spec(data: Any) -> Spec:
    """The spec, or a MemberError that names what is wrong with it."""
    if not isinstance(data, dict):
        raise bad("it is missing from the bundle")
    kind = data.get("kind")
    if kind not in ("command", "script", "function"):
        raise bad(f"its kind is {kind!r}")
    memory = _number(data, "memory_mb")
    limit = data.get("output_limit", OUTPUT_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise bad(f"output_limit is {limit!r}")
    return Spec(
        kind=kind,
        command=_command(data) if kind == "command" else [],
        source=_text(data, "source") if kind == "script" else "",
        function=_text(data, "function") if kind == "function" else "",
        shared=kind == "function" and data.get("isolation") == "shared",
        env=_env(data),
        files=_files(data),
        outputs=[safe_name(pattern) for pattern in data.get("outputs") or []],
        timeout_seconds=_number(data, "timeout_seconds"),
        memory_mb=max(int(memory), 1) if memory else None,
        cpu_seconds=_number(data, "cpu_seconds"),
        output_limit=min(limit, MAX_OUTPUT_LIMIT),
    )


def _as_word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def fill(text: str, args: Mapping[str, Any], *, quote: bool = False) -> str:
    """text with {name} replaced by the argument of that name. Other braces stay as they are, and
    so do braces in the values: everything is replaced in one go."""
    if not args or "{" not in text:
        return text
    names = re.compile("{(" + "|".join(map(re.escape, args)) + ")}")

    def value(match: re.Match[str]) -> str:
        word = _as_word(args[match[1]])
        return shlex.quote(word) if quote else word

    return names.sub(value, text)


def argv(spec: Spec, args: Mapping[str, Any], script: Path | None) -> list[str] | None:
    """The program and its words; None for a function."""
    if spec.is_function:
        return None
    if script:
        return [sys.executable, "-u", str(script)]
    if isinstance(spec.command, str):
        return ["/bin/sh", "-c", fill(spec.command, args, quote=True)]
    return [fill(word, args) for word in spec.command]


def inherited_env() -> dict[str, str]:
    """The few things a member's environment has in common with the runner's, which itself may
    hold the cluster's secrets."""
    env = {"PATH": os.environ.get("PATH") or DEFAULT_PATH, "PYTHONUNBUFFERED": "1"}
    env["LANG"] = os.environ.get("LANG") or "C.UTF-8"
    for name in ("LC_ALL", "TZ"):
        if os.environ.get(name):
            env[name] = os.environ[name]
    return env


def member_env(spec: Spec, member: Mapping[str, Any], node: str) -> dict[str, str]:
    """What tells a member who it is."""
    env = {
        "DISPYCLUSTER_NODE": node,
        "DISPYCLUSTER_JOB": str(member.get("job", "")),
        "DISPYCLUSTER_ATTEMPT": str(member.get("number", "")),
        "DISPYCLUSTER_ARGS": json.dumps(member.get("args") or {}),
    }
    if len(env["DISPYCLUSTER_ARGS"]) > MAX_ENV_BYTES:
        if not spec.is_function:
            raise MemberError(
                "args_too_large",
                f"the arguments are {len(env['DISPYCLUSTER_ARGS']):,} bytes, more than the "
                f"{MAX_ENV_BYTES:,} a program can be given; put them into an input file",
            )
        del env["DISPYCLUSTER_ARGS"]  # a function has them as its parameters
    return env

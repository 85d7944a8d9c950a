"""A node's bench for the runner's tests: specs in, reports out, real processes in between."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from node.report import full

PROGRAM = Path(__file__).with_name("run_a_bundle.py")
Report = dict[str, Any]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.files = folder / "files"
        self.scratch.mkdir()
        self.files.mkdir()
        self.tasks: str | None = None
        self.mark = f"mark-{uuid.uuid4().hex}"  # in the command line of what must not survive
        self.answer: dict[str, Any] = {}
        self.python = sys.executable

    def keep(self, data: bytes) -> str:
        """Put an input file on the node."""
        digest = hashlib.sha256(data).hexdigest()
        (self.files / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def keep_tasks(self, **modules: str) -> str:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, source in modules.items():
                archive.writestr(f"{name}.py", source)
        self.tasks = self.keep(packed.getvalue())
        return self.tasks

    def bundle(self, spec: Any, argses: Sequence[Any]) -> dict[str, Any]:
        members = [
            {"attempt": 100 + index, "spec": "12", "args": args, "job": 9, "number": 2}
            for index, args in enumerate(argses)
        ]
        return {"bundle": 7, "tasks": self.tasks, "specs": {"12": spec}, "members": members}

    def start(
        self,
        *bundles: Any,
        answers: Sequence[bool] = (),
        sends: bool = True,
        served: bool = False,
        late: tuple[str, float] | None = None,
        fell: int = 0,
        program: str = "",
        **env: str,
    ) -> subprocess.Popen[str]:
        """`served`: by the fork server, however few they are. To it go, before each member, orders
        that come too `late`, and so many seconds pass; it is dead when the `fell`th one comes.
        `program`: what runs in its place."""
        request = {
            "bundles": bundles,
            "folder": str(self.scratch),
            "files": str(self.files),
            "answers": answers,
            "sends": sends,
            "served": served,
            "late": late,
            "fell": fell,
            "program": program,
        }
        process = subprocess.Popen(
            [self.python, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        assert process.stdin
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        process.stdin = None
        return process

    def finish(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Its answer; and what must hold after every bundle, whatever ran in it."""
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        self.answer = json.loads(out)
        for text in (*self.answer["finals"], *self.answer["told"]):
            text["ended"] = [full(report) for report in text["ended"]]
        assert not self.answer["children"]
        assert self.answer["left"] == []
        assert self.answer["env_kept"]
        assert self.answer["descriptors"] <= 5
        assert self.survivors() == []
        return self.answer

    def run_bundles(self, *bundles: Any, **options: Any) -> list[dict[str, Any]]:
        return self.finish(self.start(*bundles, **options))["finals"]

    def run_many(self, spec: Any, argses: Sequence[Any], **options: Any) -> list[Report]:
        [final] = self.run_bundles(self.bundle(spec, argses), **options)
        return final["ended"]

    def run(self, args: Any = None, **spec: Any) -> Report:
        [report] = self.run_many(spec, [args or {}])
        return report

    def shell(self, line: str, **spec: Any) -> Report:
        return self.run(kind="command", command=line, **spec)

    def call(self, function: str, args: Any = None, isolation: str = "fork", **spec: Any) -> Report:
        """`served`: forked by the fork server, which only one after the first can be."""
        served = isolation == "served"
        isolation = "fork" if served else isolation
        spec |= {"kind": "function", "function": function, "isolation": isolation}
        return self.run_many(spec, [args or {}] * (2 if served else 1), served=served)[-1]

    def survivors(self) -> list[str]:
        """Command lines of living processes that carry this bench's mark."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    line = (folder / "cmdline").read_bytes()
                except OSError:
                    continue
                if self.mark.encode() in line:
                    found.append(line.replace(b"\0", b" ").decode())
        return found


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

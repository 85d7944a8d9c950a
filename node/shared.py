"""Functions that run in the runner's own process: for tiny ones, where a fork would cost more."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.bell import Bell, Interrupted
from node.functions import Function, Tasks, arguments, describe, exit_status, result_text
from node.output import Stream
from node.process import open_files
from node.report import Report, plural
from node.spec import Spec


class _Sink(io.RawIOBase):
    """The bottom of a text stream: what is printed goes to the running member's Stream."""

    def __init__(self) -> None:
        self.stream = Stream(0)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.stream.add(bytes(data))
        return len(data)


def _text_stream(sink: _Sink) -> io.TextIOWrapper:
    buffer: Any = sink  # unbuffered: TextIOWrapper asks no more of it than a RawIOBase has
    return io.TextIOWrapper(buffer, "utf-8", "surrogateescape", write_through=True)


@dataclass
class Shared:
    """Lends this process to one function after the other and has it back as it was."""

    bell: Bell
    tasks: Tasks
    sinks: tuple[_Sink, _Sink] = field(default_factory=lambda: (_Sink(), _Sink()))
    texts: list[io.TextIOWrapper] = field(default_factory=list)
    env_before: dict[str, str] | None = None
    env_base: Mapping[str, str] | None = None

    def run(
        self,
        spec: Spec,
        args: Mapping[str, Any],
        env: tuple[Mapping[str, str], Mapping[str, str]],
        scratch: Path | None,
    ) -> tuple[Report, Stream, Stream]:
        """Call it; answers the report's fields and what it printed. env: the spec's and its own."""
        out, err = self.sinks[0], self.sinks[1]
        out.stream, err.stream = Stream(spec.output_limit), Stream(spec.output_limit)
        self._set_env(*env)
        here = os.getcwd() if scratch else ""
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._texts()
        started, cpu = time.monotonic(), time.process_time()
        try:
            if scratch:
                os.chdir(scratch)
            fields = self._outcome(spec, args, scratch)
        finally:
            took = time.monotonic() - started, time.process_time() - cpu
            sys.stdout, sys.stderr = before
            if scratch:
                os.chdir(here)
        fields["run_seconds"], fields["cpu_seconds"] = round(took[0], 6), round(took[1], 6)
        return fields, out.stream, err.stream

    def _outcome(self, spec: Spec, args: Mapping[str, Any], scratch: Path | None) -> Report:
        def call() -> str:
            function = self._function(spec.function)
            return result_text(function.call(**arguments(function, args, scratch)))

        try:
            result = self.bell.guard(call, spec.timeout_seconds)
            return {"outcome": "succeeded", "result": result}
        except Interrupted:
            return self._interrupted(spec)
        except SystemExit as error:
            code, text = exit_status(error)
            sys.stderr.write(text)
            if code == 0:
                return {"outcome": "succeeded", "exit_code": 0}
            message = f"exited with status {code}" + (f": {text.strip()}" if text.strip() else "")
            return {"exit_code": code, "error_type": "exit", "error": message}
        except BaseException as error:
            return describe(error, self.tasks.zip)

    def _interrupted(self, spec: Spec) -> Report:
        if self.bell.cancelled:
            return {
                "outcome": "cancelled",
                "error_type": "cancelled",
                "error": "cancelled while it ran",
            }
        limit = plural(spec.timeout_seconds or 0, "second")
        return {
            "outcome": "timed_out",
            "error_type": "timeout",
            "error": f"ran longer than its limit of {limit}",
        }

    def warm(self, name: str, env: Mapping[str, str]) -> None:
        """Import a function's module here, so that forked members need not each do it."""
        if name in self.tasks.found:
            return
        self._set_env(env, {})
        find: Callable[[], object] = lambda: self._function(name)  # noqa: E731
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._texts()
        try:
            self.bell.guard(find, 30.0)
        except BaseException:  # the member will meet it too, and report it
            return
        finally:
            sys.stdout, sys.stderr = before

    def _function(self, name: str) -> Function:
        """Whatever its module opens as it is imported, forked members go on having."""
        known = self.tasks.found.get(name)
        if known:
            return known
        before = open_files()
        try:
            return self.tasks.function(name)
        finally:
            self.tasks.files |= dict(open_files().items() - before.items())

    def _texts(self) -> list[io.TextIOWrapper]:
        if not self.texts or any(text.closed for text in self.texts):
            self.texts = [_text_stream(sink) for sink in self.sinks]
        return self.texts

    def _set_env(self, base: Mapping[str, str], member: Mapping[str, str]) -> None:
        if self.env_before is None:
            self.env_before = dict(os.environ)
        if base is not self.env_base:
            os.environ.clear()
            os.environ.update(base)
            self.env_base = base
        os.environ.update(member)

    def give_back(self) -> None:
        if self.env_before is not None:
            os.environ.clear()
            os.environ.update(self.env_before)

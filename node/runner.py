"""Runs a bundle's members on a node, one after the other: plain data in, plain data out.

Everything below the calling process is taken to belong to the running member and is killed when
that ends: call it in a process that has no children of its own, in the main thread. With the
files it imports this is the standard library alone.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from node.artifacts import Artifact, collect, find
from node.bell import Bell
from node.child import Launch, start
from node.errors import MemberError
from node.functions import Tasks, call_in_child
from node.process import Usage, become_subreaper, end_descendants, still_open
from node.progress import Progress
from node.report import Report, blank, encode, failure, verdict
from node.scratch import Scratch, verified
from node.served import Server
from node.shared import Shared
from node.spec import Spec, argv, bad, inherited_env, member_env, read_spec
from node.watch import Ended, Running, run_child

HOLD_BYTES = 4_000_000  # of reports; then no further member is started
WORTH_A_SERVER = 12  # members still to come: its start costs as much as they save

_tasks = Tasks()  # one for the process, so that a bundle, and the next one, imports once


@dataclass
class Bundle:
    """One bundle's run."""

    data: Mapping[str, Any]
    folder: Path
    files: Path
    node: str
    send_file: Callable[[Path, str], bool]
    progress: Progress
    bell: Bell
    shared: Shared
    specs: dict[str, Spec] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=inherited_env)
    bases: dict[str, dict[str, str]] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)  # modules a child could import
    spare: Scratch | None = None
    has_tasks: bool = False
    server: Server | None = None
    left: int = 0  # members not yet started

    def run(self) -> str:
        not_started = []
        self.left = len(self.data["members"])
        for member in self.data["members"]:
            self.left -= 1
            attempt = member.get("attempt")
            if self.bell.cancelled or self.progress.held_bytes > HOLD_BYTES:
                not_started.append(attempt)
                continue
            self.progress.start(attempt)
            report, ended = self._member(member, attempt)
            self.progress.end(encode(report, ended))
            self.progress.tick()
        self._close_server()
        if self.spare:
            self.spare.remove()
        if self.bell.cancelled:  # dispy drops the answer of a job that was cancelled
            self.progress.tell(time.monotonic())
        return self.progress.final(not_started)

    def _member(self, member: Mapping[str, Any], attempt: Any) -> tuple[Report, Ended | None]:
        """Its report, whatever happens; and how its process ended, if it had one."""
        report, scratch, ended = blank(attempt, time.time()), None, None
        try:
            if isinstance(attempt, bool) or not isinstance(attempt, int):
                raise bad(f"its attempt is {attempt!r}, not a number")
            spec = self._spec(member)
            args = member.get("args") or {}
            if not isinstance(args, dict):
                raise bad("args does not map names to values")
            if spec.is_function:
                self._use_tasks()
            if not spec.shared or spec.files or spec.outputs:
                scratch = self._scratch(spec)
            if spec.shared:
                self._run_shared(spec, member, args, scratch, report)
            else:
                assert scratch
                ended = self._run_child(spec, member, args, scratch, report)
            if scratch:
                report["artifacts"] = self._artifacts(spec, scratch, report)
        except MemberError as error:
            report |= failure(error)
        except Exception as error:
            report |= _own_failure(error)
        finally:
            if scratch:
                self._put_away(scratch)
        return report, ended

    def _spec(self, member: Mapping[str, Any]) -> Spec:
        key = str(member.get("spec"))
        if key not in self.specs:
            self.specs[key] = read_spec((self.data.get("specs") or {}).get(key))
        return self.specs[key]

    def _use_tasks(self) -> None:
        if self.has_tasks:
            return
        digest = self.data.get("tasks")
        if not isinstance(digest, str):
            raise bad("it names a function, but the bundle has no tasks")
        _tasks.use(str(verified(self.files, digest, "the file of functions")))
        self.has_tasks = True

    def _scratch(self, spec: Spec) -> Scratch:
        scratch, self.spare = self.spare or Scratch(self.folder), None
        try:
            scratch.fill(self.files, spec.files)
            if spec.kind == "script":
                scratch.write_script(spec.source)
        except BaseException:
            scratch.remove()
            raise
        return scratch

    def _put_away(self, scratch: Scratch) -> None:
        """Making and removing folders can cost more than a small member's run: an empty one that
        nobody changed is as good as fresh."""
        if self.spare is None and scratch.is_untouched():
            self.spare = scratch
        else:
            scratch.remove()

    def _base_env(self, spec: Spec, home: Path) -> dict[str, str]:
        return self.inherited | {"HOME": str(home), "TMPDIR": str(home)} | spec.env

    def _run_child(
        self, spec: Spec, member: Mapping[str, Any], args: dict[str, Any], scratch: Scratch,
        report: Report,
    ) -> Ended:  # fmt: skip
        env = self._base_env(spec, scratch.work) | member_env(spec, member, self.node)
        env["DISPYCLUSTER_RESULT"] = str(scratch.result)
        begin = self._server(spec, env, args)
        if begin is None:
            self._close_server()
        launch = Launch(
            cwd=scratch.work,
            env=env,
            argv=argv(spec, args, scratch.script),
            call=lambda: call_in_child(_tasks, spec.function, args, scratch.work),
            memory_mb=spec.memory_mb,
            cpu_seconds=spec.cpu_seconds,
            timeout_seconds=spec.timeout_seconds,
            output_limit=spec.output_limit,
            keeps=still_open(_tasks.files) if spec.is_function else (),
        )
        attempt = report["attempt"]
        ended = run_child(
            launch,
            self.bell,
            self.progress.tick,
            lambda out, err: self.progress.watch(attempt, out, err),
            begin or start,
        )
        self._describe(spec, ended, scratch, report)
        return ended

    def _server(
        self, spec: Spec, env: dict[str, str], args: dict[str, Any]
    ) -> Callable[[Launch], Running] | None:
        """What begins this member in the fork server, if many more of them are to come."""
        if module_of(spec.function) not in self.imported:
            return None
        if self.server is None and self.left >= WORTH_A_SERVER:
            assert _tasks.zip
            self.server = Server(
                self.folder, _tasks.zip, spec.function, env, self.bell, self.progress.tick
            )
        if self.server is None or not self.server.serves(spec.function):
            self.shared.warm(spec.function, env)
            return None
        return partial(self.server.begin, args)

    def _close_server(self) -> None:
        """Before anything else runs: its end leaves nobody below us, and frees its number."""
        if self.server:
            self.server.close()

    def _describe(self, spec: Spec, ended: Ended, scratch: Scratch, report: Report) -> None:
        note = ended.note or {}
        if note.get("imported") is True:
            self.imported.add(module_of(spec.function))
        report["exit_code"], report["signal"] = ended.exit_code, ended.signal
        if spec.is_function and ("result" in note or "error" in note):
            report["exit_code"] = None  # that was ours, not the function's
        report["run_seconds"] = round(ended.run_seconds, 6)
        report["cpu_seconds"] = round(ended.usage.cpu_seconds, 6)
        report["max_rss_kb"] = ended.usage.max_rss_kb or None
        report["stdout"], report["stderr"] = ended.stdout.finish(), ended.stderr.finish()
        report |= verdict(
            ended,
            is_function=spec.is_function,
            timeout_seconds=spec.timeout_seconds,
            memory_mb=spec.memory_mb,
            cpu_seconds=spec.cpu_seconds,
        )
        if report["outcome"] == "succeeded" and not spec.is_function:
            try:
                report["result"] = scratch.result_text()
            except MemberError as error:
                report |= failure(error)
        elif report["outcome"] != "succeeded" and not ended.all_gone:
            report["error"] += "; a process that it started could not be ended"

    def _run_shared(
        self, spec: Spec, member: Mapping[str, Any], args: dict[str, Any],
        scratch: Scratch | None, report: Report,
    ) -> None:  # fmt: skip
        self._close_server()
        key = str(member["spec"])
        if key not in self.bases:
            self.bases[key] = self._base_env(spec, self.folder)
        own = member_env(spec, member, self.node)
        if scratch:
            own |= {"HOME": str(scratch.work), "TMPDIR": str(scratch.work)} | spec.env
        work = scratch.work if scratch else None
        fields, stdout, stderr = self.shared.run(spec, args, (self.bases[key], own), work)
        report |= fields
        report["stdout"], report["stderr"] = stdout.finish(), stderr.finish()
        end_descendants(Usage())

    def _artifacts(self, spec: Spec, scratch: Scratch, report: Report) -> list[Artifact]:
        if not spec.outputs or report["outcome"] == "cancelled":
            return []
        found = find(scratch.work, spec.outputs, scratch.script)
        return collect(report["attempt"], found, self.send_file, lambda: self.bell.cancelled)


def module_of(function: str) -> str:
    return function.rpartition(".")[0]


def _own_failure(error: Exception) -> Report:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        message = "the node's disk is full: its folder could not be prepared"
        return {"outcome": "failed", "error_type": "disk_full", "error": message}
    reason = f"{type(error).__name__}: {error}"[:500]
    return {
        "outcome": "failed",
        "error_type": "runner",
        "error": f"the node could not run it: {reason}",
    }


def _open_standard_streams() -> None:
    """So that none of our pipes gets a number that the child will want for its own streams."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _hear_every_signal() -> None:
    """What we ignore (under nohup), a program that we start would ignore too."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def run_bundle(
    text: str,
    *,
    folder: Path,
    files: Path,
    node: str,
    report: Callable[[str], bool],
    send_file: Callable[[Path, str], bool],
) -> str:
    """Run the members and answer the final JSON text. SIGINT and SIGTERM cancel what runs."""
    data = json.loads(text)
    folder.mkdir(parents=True, exist_ok=True)
    _open_standard_streams()
    _hear_every_signal()
    become_subreaper()
    with Bell() as bell:
        progress = Progress(data["bundle"], report)
        shared = Shared(bell, _tasks)
        bundle = Bundle(data, folder, files, node, send_file, progress, bell, shared)
        try:
            return bundle.run()
        finally:
            shared.give_back()

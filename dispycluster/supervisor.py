"""Keeps a few programs running: prefixed output, restarts with a growing pause, a clean stop."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from node.process import become_subreaper, die_with_parent

FIRST_PAUSE, LAST_PAUSE, SETTLED = 0.5, 10.0, 30.0  # seconds
LEAVING = 2.0  # for orphans, at the very end
LONGEST_LINE = 64 * 1024


@dataclass(frozen=True)
class Program:
    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stop_seconds: float = 5.0


@dataclass(eq=False)
class Child:
    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0  # when to start it (again)
    pause: float = FIRST_PAUSE
    rest: bytes = b""  # output that is not a whole line yet


class Supervisor:
    def __init__(self, programs: Sequence[Program]) -> None:
        """The programs in the order in which they are started, and later stopped."""
        self.children = [Child(program) for program in programs]
        self.width = max(len(program.name) for program in programs)
        self.selector = selectors.DefaultSelector()
        self.signals = 0  # asked to stop so many times; the second means at once

    def run(self, tick: Callable[[], None] = lambda: None) -> None:
        """Run until SIGINT, SIGTERM or SIGHUP. The tick is called a few times a second."""
        become_subreaper()  # an orphan comes to us, to be ended with the rest
        with self.woken_by_signals():
            try:
                while not self.signals:
                    for child in self.children:
                        if not child.process and time.monotonic() >= child.due:
                            self.start(child)
                    self.turn(0.2)
                    tick()
            finally:
                self.stop()

    @contextlib.contextmanager
    def woken_by_signals(self) -> Iterator[None]:
        def asked(number: int, frame: object) -> None:
            self.signals += 1

        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self.selector.register(reader, selectors.EVENT_READ, reader)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays what it is
                signal.signal(number, asked)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            reader.close()
            writer.close()

    def start(self, child: Child) -> None:
        ours = os.getpid()

        child.started = time.monotonic()
        child.process = subprocess.Popen(
            child.program.argv,
            env=child.program.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(ours),  # safe: one thread here
        )
        assert child.process.stdout
        os.set_blocking(child.process.stdout.fileno(), False)
        self.selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def turn(self, seconds: float) -> None:
        """Wait for output or a signal, pass the output on, see who ended."""
        for key, _ in self.selector.select(seconds):
            if isinstance(key.data, Child):
                self.relay(key.data)
            else:
                key.data.recv(4096)
        for child in self.children:
            if child.process and child.process.poll() is not None:
                self.bury(child)
        self.reap_strays()

    def relay(self, child: Child) -> bool:
        """Pass on what the child has written. False where there is no more now."""
        assert child.process and child.process.stdout
        if child.process.stdout.closed:
            return False
        try:
            data = os.read(child.process.stdout.fileno(), LONGEST_LINE)
        except BlockingIOError:
            return False
        *lines, child.rest = (child.rest + data).split(b"\n")
        if child.rest and (not data or len(child.rest) >= LONGEST_LINE):
            lines, child.rest = [*lines, child.rest], b""
        for line in lines:
            self.say(line.decode(errors="replace"), child.program.name)
        if not data:
            self.close_output(child)
        return bool(data)

    def close_output(self, child: Child) -> None:
        assert child.process and child.process.stdout
        if not child.process.stdout.closed:
            self.selector.unregister(child.process.stdout)
            child.process.stdout.close()

    def bury(self, child: Child) -> None:
        """It has ended: end what is left of its group, and say when it is started again."""
        process, name = child.process, child.program.name
        assert process
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        while self.relay(child):
            pass
        if child.rest:
            self.say(child.rest.decode(errors="replace"), name)
        self.close_output(child)
        child.process, child.rest = None, b""
        if self.signals:
            return
        if time.monotonic() - child.started > SETTLED:
            child.pause = FIRST_PAUSE
        code = process.returncode
        how = f"status {code}" if code >= 0 else signal.Signals(-code).name
        self.say(f"{name} ended ({how}); starting it again in {child.pause:g} s")
        child.due = time.monotonic() + child.pause
        child.pause = min(child.pause * 2, LAST_PAUSE)

    def reap_strays(self) -> None:
        """Orphans of our children that have come to us and ended."""
        ours = {child.process.pid for child in self.children if child.process}
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in ours:
                    break  # its turn comes in poll()
                os.waitpid(ended.si_pid, 0)

    def stop(self) -> None:
        """End the programs one after the other, then whatever else still hangs on us."""
        self.signals = max(self.signals, 1)
        for child in self.children:
            if not child.process:
                continue
            self.say(f"stopping {child.program.name}")
            child.process.terminate()
            deadline = time.monotonic() + child.program.stop_seconds
            while child.process and time.monotonic() < deadline and self.signals < 2:
                self.turn(0.1)
            if child.process:
                self.say(f"{child.program.name} did not stop in time and is killed")
                child.process.kill()
                child.process.wait()
                self.bury(child)
        # Some are tidying up and about to leave; what does not leave by itself is killed.
        strays = psutil.Process().children(recursive=True)
        _, staying = psutil.wait_procs(strays, timeout=LEAVING)
        for stray in staying:
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()
        psutil.wait_procs(staying, timeout=5)

    def say(self, line: str, name: str = "up") -> None:
        try:
            print(f"{name:{self.width}} | {line}", flush=True)
        except OSError:  # nobody reads us any more; the programs run on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

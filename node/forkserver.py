"""Forks the members of one function from a small interpreter that has imported it.

Nearly all of a fork's price is memory: each page that the child, or afterwards its parent, writes
to is copied first, and Python writes to whatever it looks at. The runner with dispy in it and all
the work it does between two members makes that dear. So this is a program of its own that imports
little and does little; `node/served.py` is the runner's side.

What comes over the socket: the setup, then one request a member, each JSON after its length, a
request with the writing ends of the member's stdout, stderr and note; while that runs, TERM, KILL.
What goes back: READY, then for each member its status, CPU seconds, memory and whether all of its
processes are gone, as a line of JSON. When the runner's end closes, all is over.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys

from node.errors import start_failure
from node.functions import Tasks, call_in_child
from node.limits import set_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

LENGTH = 4
READY = b"ready\n"
TERM, KILL = b"T", b"K"


def main(fd: int) -> None:
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    tasks = Tasks()
    setup, _ = receive(sock)
    prepare(tasks, setup)
    os.close(os.pidfd_open(os.getpid()))  # where that is missing or forbidden we are no use
    sock.sendall(READY)
    while True:
        request, (out, err, note) = receive(sock)
        pid = fork_member(tasks, request, out, err, note, sock.fileno())
        ending = watch(sock, pid)  # before anything else: each page we touch now is copied
        os.close(note)
        sock.sendall(json.dumps(ending).encode() + b"\n")


def receive(sock: socket.socket) -> tuple[Any, list[int]]:
    head, fds, _, _ = socket.recv_fds(sock, 1, 3)
    while head in (TERM, KILL):  # sent as the member before ended: no length starts so
        head, fds, _, _ = socket.recv_fds(sock, 1, 3)
    head += receive_exactly(sock, LENGTH - 1)
    return json.loads(receive_exactly(sock, int.from_bytes(head, "big"))), fds


def receive_exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            os._exit(0)  # the runner is gone
        data += part
    return data


def prepare(tasks: Tasks, setup: dict[str, Any]) -> None:
    """Import the function, as the first member, which was forked elsewhere, could."""
    import site

    site.setquit()  # we run without site: exit() all the same
    sys.path[:] = setup["path"]
    for folder in setup["sites"]:
        site.addsitedir(folder)
    for name in setup["custom"]:
        __import__(name)
    sys.path[:] = setup["path"]  # some of these add to it, again
    tasks.use(setup["zip"])
    function = tasks.function(setup["function"])
    if function.paths:
        import pathlib  # noqa: F401
    import traceback  # noqa: F401  (here once rather than in each child that fails)

    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.reconfigure(encoding="utf-8", errors="surrogateescape", line_buffering=True)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # whatever the import did to them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    gc.collect()
    gc.freeze()


def fork_member(
    tasks: Tasks, request: dict[str, Any], out: int, err: int, note: int, ours: int
) -> int:
    """What the child inherits is made ready here, where no page is copied for it."""
    for name, value in request["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    lost = None
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        lost = error
    for fd, stream in ((out, 1), (err, 2)):
        os.dup2(fd, stream)
        os.close(fd)
    pid = os.fork()
    if pid == 0:
        run_member(tasks, request, note, ours, lost)
    return pid


def run_member(
    tasks: Tasks, request: dict[str, Any], note: int, ours: int, lost: OSError | None
) -> NoReturn:
    code = 1
    try:
        try:
            os.setsid()
            os.close(ours)  # and nothing else: the module may have opened files as it was imported
            if lost:
                raise lost
            if request["memory_mb"] or request["cpu_seconds"]:
                set_limits(request["memory_mb"], request["cpu_seconds"], forked=True)
            answer, code = call_in_child(
                tasks, request["function"], request["args"], request["cwd"]
            )
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # it may have closed it
                    stream.flush()
        except BaseException as error:
            failure, code = start_failure(error, "the function")
            answer = json.dumps(failure).encode()
        while answer:
            answer = answer[os.write(note, answer) :]
    finally:
        os._exit(code)


def watch(sock: socket.socket, pid: int) -> tuple[int | None, float, int, bool]:
    """Until it has ended and nothing of it is left: what the runner is told of that."""
    ending = os.pidfd_open(pid)
    orders = sock.fileno()
    while True:
        ready, _, _ = select.select([orders, ending], [], [])
        if ending in ready:
            os.close(ending)
            return reap(pid)
        order = sock.recv(1)
        from node.process import kill_descendants, kill_group

        if order == TERM:
            kill_group(pid, signal.SIGTERM)
        else:
            kill_group(pid, signal.SIGKILL)
            kill_descendants()
        if not order:
            os._exit(0)  # the runner is gone


def reap(pid: int) -> tuple[int | None, float, int, bool]:
    """Its number stays its own, and its group's, until this waits for it."""
    with contextlib.suppress(OSError):  # no group, or nobody in it that we may kill
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    cpu_seconds, max_rss_kb, all_gone = usage.ru_utime + usage.ru_stime, usage.ru_maxrss, True
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return os.waitstatus_to_exitcode(status), cpu_seconds, max_rss_kb, True
    from node.process import Usage, end_descendants  # orphans of it are now ours

    used = Usage(cpu_seconds, max_rss_kb)
    all_gone = end_descendants(used)
    return os.waitstatus_to_exitcode(status), used.cpu_seconds, used.max_rss_kb, all_gone

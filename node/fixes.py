"""What dispy 4.15.2 needs to be correct and safe; used by both ends, before dispy starts.

No UDP at all is the business of each end's own subclass (cluster/engine/link.py and
node/dispynode.py), as are the unique job ids, which are our bundle ids.
"""

from __future__ import annotations

import logging
import struct
import time
from collections import deque
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import dispy
import pycos

from node import tls, unpickling
from node.unpickling import FRAME_LIMIT

DISPY_VERSION = "4.15.2"
PYCOS_VERSION = "4.12.2"
PIECE = 256 * 1024
LENGTH = struct.Struct(">L")  # every message of dispy is preceded by its length

# A dispatcher's sign begins so, a node's is forty hex digits. A node proves that it knows the
# secret by hashing it with the sign of whoever asks; would it do so for a node's sign, anybody
# could have that node's password made for him.
SIGN_PREFIX = "dispatcher-"

Steps = Generator[Any, Any, Any]  # a pycos task: every wait is a yield


class UnsupportedDispy(RuntimeError):
    """dispy is not the version that our fixes were written for."""


def check_versions() -> None:
    found = (dispy.__version__, pycos.__version__)
    if found != (DISPY_VERSION, PYCOS_VERSION):
        raise UnsupportedDispy(
            f"needs dispy {DISPY_VERSION} and pycos {PYCOS_VERSION}, found {found[0]} and "
            f"{found[1]}: pip install dispy=={DISPY_VERSION} pycos=={PYCOS_VERSION}"
        )


def patch_source(text: str, patches: list[tuple[str, str]]) -> str:
    """Replace each old text, which must be there exactly once."""
    for old, new in patches:
        if text.count(old) != 1:
            line = old.strip().splitlines()[0]
            raise UnsupportedDispy(f"dispy is not as expected: {text.count(old)} times {line!r}")
        text = text.replace(old, new)
    return text


def apply(certfile: str | None = None, keyfile: str | None = None) -> None:
    """Make this process's dispy safe. May be called again."""
    check_versions()
    pycos.deserialize = unpickling.deserialize
    dispy.deserialize = unpickling.deserialize
    dispy.shelve = SimpleNamespace(open=lambda *args, **options: MemoryShelf())
    socket_class = pycos._AsyncSocket
    for name in ("_async_recv_msg", "_sync_recv_msg", "_async_recvall"):
        if not hasattr(socket_class, name):
            raise UnsupportedDispy(f"pycos has no {name}")
    socket_class._async_recv_msg = receive_message
    socket_class._sync_recv_msg = receive_message_blocking
    if certfile:
        tls.apply(certfile, keyfile)
    route_logger(pycos.logger, "dispy.pycos")
    route_logger(dispy.logger, "dispy")


class MemoryShelf(dict[str, Any]):
    """In place of dispy's recovery file, which we do not use (and 3.13 cannot open in threads)."""

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def route_logger(logger: Any, name: str) -> None:
    """Let one of dispy's own loggers, which write to stdout, speak through Python's logging."""
    target = logging.getLogger(name)
    target.addFilter(is_news)
    for method in ("debug", "info", "warning", "error", "critical"):
        setattr(logger, method, getattr(target, method))
    logger.warn, logger.fatal = target.warning, target.critical
    logger.setLevel = lambda level: None
    logger.flush = logger.shutdown = lambda: None


def is_news(record: logging.LogRecord) -> bool:
    """dispy logs each vain attempt to connect as an error, and each message of a stranger."""
    message = record.getMessage()
    if message.startswith(("Invalid", "Ignoring")):
        return may_complain()
    return not message.startswith("Could not connect to")


def complain(message: str, *args: Any) -> None:
    """Log what a stranger did; not so often that he could fill the disk with it."""
    if may_complain():
        logging.getLogger("strangers").warning(message, *args)


def may_complain() -> bool:
    now = time.monotonic()
    if len(COMPLAINTS) == COMPLAINTS.maxlen and now - COMPLAINTS[0] < 60:
        return False
    COMPLAINTS.append(now)
    return True


COMPLAINTS: deque[float] = deque(maxlen=20)  # when the last ones were made


def receive_message(self: Any, limit: int = FRAME_LIMIT) -> Steps:
    """_AsyncSocket.recv_msg, with the announced length checked before anything is allocated."""
    head = yield self.recvall(LENGTH.size)
    length = message_length(head, limit)
    body = bytearray()
    while len(body) < length:  # in pieces: whoever announces much and sends nothing gets nothing
        part = yield self.recvall(min(length - len(body), PIECE))
        if not part:
            return b""
        body += part
    return body


def receive_message_blocking(self: Any, limit: int = FRAME_LIMIT) -> bytes:
    length = message_length(self._sync_recvall(LENGTH.size), limit)
    return self._sync_recvall(length) if length else b""


def message_length(head: bytes, limit: int) -> int:
    if len(head) != LENGTH.size:
        return 0
    (length,) = LENGTH.unpack(head)
    if length > limit:
        complain("refused a message of %d bytes (at most %d)", length, limit)
        return 0
    return int(length)


def give_back(conn: Any, **answers: Any) -> None:
    """Let the next call of each named method of this connection answer what was read already."""

    def once(name: str, value: Any) -> None:
        real = getattr(conn, name)

        def answer(*args: Any) -> Any:
            setattr(conn, name, real)
            return value

        setattr(conn, name, answer)

    for name, value in answers.items():
        once(name, value)


def safely(steps: Iterator[Any], conn: Any, peer: Any) -> Steps:
    """Run one connection's steps; stock dispy leaks the connection when they fail."""
    try:
        yield steps
    except GeneratorExit:
        raise
    except Exception as error:
        complain("connection from %s dropped: %r", peer[0], error)
        conn.close()

"""Receiving one file by dispy's file transfer, with size and content checked."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from typing import Any

import pycos

from node.fixes import Steps

log = logging.getLogger("node.transfer")

PIECE = 1_024_000  # what dispy sends before it waits for our count
FILE_LIMIT = 4 * 1024**3
ARTIFACT_LIMIT = 1024**3
INPUT_NAME = re.compile(r"sha256-([0-9a-f]{64})")
ARTIFACT_NAME = re.compile(r"[0-9]{1,20}-[0-9]{1,6}-([0-9a-f]{64})")  # attempt, index, digest


def digest_in(name: str) -> str | None:
    """The digest that an input file's flat name promises, None for any other name."""
    match = INPUT_NAME.fullmatch(name)
    return match.group(1) if match else None


def artifact_digest(name: str) -> str | None:
    match = ARTIFACT_NAME.fullmatch(name)
    return match.group(1) if match else None


def receive(conn: Any, xfer: Any, target: Path, digest: str, limit: int = FILE_LIMIT) -> Steps:
    """Write the file and put it in place once it is whole and is what its digest says.

    dispy's sender takes the last count we send for the answer: the size, or it failed.
    """
    size = xfer.stat_buf.st_size
    if target.exists() or size > limit:
        yield conn.send_msg(pycos.serialize(size if target.exists() else -1))
        return
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        right = yield write_part(conn, part, size, digest)
        if right:
            part.replace(target)
        yield conn.send_msg(pycos.serialize(size if right else -1))
    except OSError as error:
        log.warning("could not receive %s: %s", target.name, error)
        yield conn.send_msg(pycos.serialize(-1))
    finally:
        part.unlink(missing_ok=True)


def write_part(conn: Any, part: Path, size: int, digest: str) -> Steps:
    """True if what came has that size and digest. The last count is left to the caller."""
    received, hashed = 0, hashlib.sha256()
    with part.open("xb") as file:
        os.chmod(part, 0o600)
        while received < size:
            yield conn.send_msg(pycos.serialize(received))
            data = yield conn.recvall(min(size - received, PIECE))
            if not data:
                return False
            file.write(data)
            hashed.update(data)
            received += len(data)
    return hashed.hexdigest() == digest

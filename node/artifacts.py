"""The files a member leaves behind that its spec asked to keep."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from node.scratch import digest_of, open_plainly

MAX_FILES = 100
MAX_BYTES = 64 * 1024 * 1024
MAX_LISTED = 20  # of those left out, beyond MAX_FILES
MAX_SEEN = 10_000  # matches looked at
MAX_NAME = 500

Artifact = dict[str, Any]


def _matches(work: Path, patterns: list[str]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            yield from work.glob(pattern)
        except (OSError, ValueError, NotImplementedError, RecursionError):
            continue


def find(work: Path, patterns: list[str], ours: Path | None) -> dict[str, Path]:
    """Name -> real path of each plain file in work that matches; links out of it do not count."""
    inside = Path(os.path.realpath(work))
    found: dict[str, Path] = {}
    for path in itertools.islice(_matches(work, patterns), MAX_SEEN):
        real = Path(os.path.realpath(path))
        if path != ours and real.is_relative_to(inside) and real.is_file():
            found[path.relative_to(work).as_posix()] = real
    return dict(sorted(found.items()))


def _left_out(name: str, size: int, error: str) -> Artifact:
    return {"name": name[:MAX_NAME], "size": size, "digest": "", "error": error}


def _send(attempt: Any, index: int, name: str, path: Path, send_file: Sender) -> Artifact:
    try:
        with open_plainly(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                error = f"left out: {size:,} bytes are more than the {MAX_BYTES:,} that are kept"
                return _left_out(name, size, error)
            if len(name) > MAX_NAME:
                return _left_out(name, size, "left out: its name is too long")
            digest = digest_of(file)
    except OSError as error:
        return _left_out(name, 0, f"could not be read: {error.strerror}")
    flat = f"{attempt}-{index}-{digest.removeprefix('sha256:')}"
    if not (_try(send_file, path, flat) or _try(send_file, path, flat)):
        return _left_out(name, size, "could not be sent to the control room")
    return {"name": name, "size": size, "digest": digest, "error": ""}


Sender = Callable[[Path, str], bool]


def _try(send_file: Sender, path: Path, flat: str) -> bool:
    try:
        return send_file(path, flat)
    except Exception:
        return False


def collect(
    attempt: Any,
    found: dict[str, Path],
    send_file: Sender,
    cancelled: Callable[[], bool],
) -> list[Artifact]:
    """Send them, and list them with those that were left out and why."""
    kept: list[Artifact] = []
    for index, (name, path) in enumerate(found.items()):
        if index >= MAX_FILES + MAX_LISTED:
            break
        if index >= MAX_FILES:
            error = f"left out: only {MAX_FILES} files are kept, and {len(found):,} match"
            kept.append(_left_out(name, 0, error))
        elif cancelled():
            kept.append(_left_out(name, 0, "left out: the job was cancelled"))
        else:
            kept.append(_send(attempt, index, name, path, send_file))
    return kept

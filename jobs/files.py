"""Bytes kept once per content: what users upload and what attempts leave behind."""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from jobs.models import File

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class TooLarge(Exception):
    """More bytes than UPLOAD_LIMIT_MB allows."""


def path(digest: str) -> Path:
    """Where the bytes of that digest lie, there or not. ValueError if it is no digest."""
    if not DIGEST.fullmatch(digest):
        raise ValueError(f"not a digest: {digest!r}")
    name = digest.removeprefix("sha256:")
    return Path(settings.FILES) / name[:2] / name


def store(chunks: Iterable[bytes], owner: Any, now: datetime) -> File:
    """Keep these bytes and return their row; the same content is kept once."""
    digest, size = keep(chunks, settings.UPLOAD_LIMIT)
    defaults = {"size": size, "owner": owner, "created_at": now}
    return File.objects.get_or_create(digest=digest, defaults=defaults)[0]


def keep(chunks: Iterable[bytes], limit: int) -> tuple[str, int]:
    """Write the bytes under their digest, whole or not at all. Returns digest and size."""
    folder = Path(settings.FILES)
    draft = folder / f".{os.getpid()}.{secrets.token_hex(8)}"
    sha, size = hashlib.sha256(), 0
    try:
        with open(draft, "xb") as file:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"more than {limit // 2**20} MB")
                sha.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        digest = f"sha256:{sha.hexdigest()}"
        target = path(digest)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return digest, size


def adopt(source: Path, digest: str, size: int, owner_id: int, now: datetime) -> File:
    """Take in a file that a node sent, after checking that it is what it says."""
    with open(source, "rb") as file:
        if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != digest:
            raise ValueError("its bytes are not those announced")
    target = path(digest)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    os.replace(source, target)
    defaults = {"size": size, "owner_id": owner_id, "created_at": now}
    return File.objects.get_or_create(digest=digest, defaults=defaults)[0]

"""Checks over uploaded files."""

import hashlib
from pathlib import Path


def checksum(file: Path, algorithm: str = "sha256") -> dict[str, str | int]:
    """The checksum and size of a file; any algorithm that hashlib knows."""
    if algorithm not in hashlib.algorithms_available:
        raise ValueError(f"unknown algorithm {algorithm}; for example sha256, sha1, md5, blake2b")
    with open(file, "rb") as stream:
        digest = hashlib.file_digest(stream, algorithm).hexdigest()
    return {
        "file": file.name,
        "algorithm": algorithm,
        "digest": digest,
        "size": file.stat().st_size,
    }

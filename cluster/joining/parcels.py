"""What a node fetches: the agent's source and the cluster's secrets, each as one tar archive."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from django.conf import settings


def pack(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """Equal files make an equal archive: no times, no owners, in order of their names."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), mode
            archive.addfile(entry, io.BytesIO(files[name]))
    return made.getvalue()


@cache
def agent() -> bytes:
    """The folder node/ of this very source, as tar.gz; read once, as the running code was."""
    folder = settings.BASE_DIR / "node"
    files = {f"node/{path.name}": path.read_bytes() for path in folder.glob("*.py")}
    return gzip.compress(pack(files), mtime=0)


def secrets() -> bytes:
    """What a node must know to be one of ours, readable by its owner alone."""
    files = {"secret": f"{settings.DISPY_SECRET}\n".encode()}
    for name, path in (("cert.pem", settings.DISPY_CERTFILE), ("key.pem", settings.DISPY_KEYFILE)):
        if path:
            files[name] = Path(path).read_bytes()
    return pack(files, 0o600)

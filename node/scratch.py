"""The folder a member works in: made, filled with its input files, taken away again."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

from node.report import RESULT_LIMIT, MemberError, checked_result, too_large

FICLONE = 0x40049409  # shares the blocks until one side writes, where the file system can
READ_ONLY = 0o500  # and executable: an input may well be the program

_verified: set[Path] = set()


def flat_name(digest: str) -> str:
    return digest.replace(":", "-")


def digest_of(file: BinaryIO) -> str:
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def verified(files: Path, digest: str, what: str) -> Path:
    """The content-addressed file, hashed when this process uses it for the first time."""
    path = files / flat_name(digest)
    if path in _verified:
        return path
    try:
        with path.open("rb") as file:
            found = digest_of(file)
    except OSError:
        raise MemberError("missing_file", f"{what} is not on this node") from None
    if found != digest:
        raise MemberError("missing_file", f"{what} is damaged on this node")
    _verified.add(path)
    return path


def copy(source: Path, target: Path) -> None:
    """A copy, never a link: what a job does to its input must not change the original."""
    with source.open("rb") as before, target.open("xb") as after:
        try:
            fcntl.ioctl(after, FICLONE, before.fileno())
        except OSError:
            shutil.copyfileobj(before, after, 1 << 20)
    target.chmod(READ_ONLY)


class Scratch:
    """`work` is where the member starts. What is ours lies beside it, not in it."""

    def __init__(self, folder: Path, attempt: object) -> None:
        self.room = Path(tempfile.mkdtemp(prefix=f"attempt-{attempt}-", dir=folder))
        self.work = self.room / "scratch"
        self.result = self.room / "result.json"
        self.script: Path | None = None
        self.work.mkdir(0o700)

    def fill(self, files: Path, wanted: dict[str, str]) -> None:
        for name, digest in wanted.items():
            source = verified(files, digest, f"the input file {name!r}")
            target = self.work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(source, target)

    def write_script(self, source: str) -> None:
        """In scratch, so that a script can import the modules among its input files."""
        name = "script.py"
        while (self.work / name).exists():
            name = f"_{name}"
        self.script = self.work / name
        self.script.write_text(source, encoding="utf-8", errors="surrogateescape")

    def result_text(self) -> str | None:
        """What a program left in DISPYCLUSTER_RESULT."""
        try:
            with open_plainly(self.result) as file:
                data = file.read(RESULT_LIMIT + 1)
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MemberError("result_not_json", f"the result is not readable: {error}") from None
        if size > RESULT_LIMIT:
            raise too_large(size)
        try:
            return checked_result(data.decode()) if data.strip() else None
        except UnicodeDecodeError:
            raise MemberError("result_not_json", "the result is not UTF-8 text") from None

    def remove(self) -> None:
        remove_tree(self.room)


def open_plainly(path: Path) -> BinaryIO:
    """Open a file for reading that is one: not a link, and no pipe that would make us wait."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a plain file")
    return os.fdopen(fd, "rb")


def remove_tree(folder: Path) -> None:
    """Remove it, also where a member took the rights away from its folders or nested them deep."""
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
        return
    for here, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            for entry in os.scandir(here):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
    with contextlib.suppress(OSError):
        pid = os.posix_spawn("/bin/rm", ["rm", "-rf", "--", str(folder)], {})
        os.waitpid(pid, 0)

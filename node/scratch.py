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
from typing import IO

from node.errors import RESULT_LIMIT, MemberError, too_large
from node.report import checked_result

FICLONE = 0x40049409  # shares the blocks until one side writes, where the file system can
READ_ONLY = 0o500  # and executable: an input may well be the program

_verified: set[Path] = set()


def flat_name(digest: str) -> str:
    return digest.replace(":", "-")


def digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 18):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def verified(files: Path, digest: str, what: str) -> Path:
    """The content-addressed file, hashed when this process uses it for the first time."""
    path = files / flat_name(digest)
    if path in _verified and path.exists():
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

    def __init__(self, folder: Path) -> None:
        self.room = Path(tempfile.mkdtemp(prefix="member-", dir=folder))
        self.work = self.room / "scratch"
        self.result = self.room / "result.json"
        self.script: Path | None = None
        self.work.mkdir(0o700)
        made = os.stat(self.work)
        self._made = made.st_ino, made.st_mode, made.st_uid

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

    def is_untouched(self) -> bool:
        """Whether it is as it was made, empty: then the next member may have it as well."""
        try:
            now = os.stat(self.work, follow_symlinks=False)
            same = (now.st_ino, now.st_mode, now.st_uid) == self._made
            return (
                same
                and not self.script
                and os.listdir(self.room) == ["scratch"]
                and not os.listdir(self.work)
            )
        except OSError:
            return False

    def remove(self) -> None:
        remove_tree(self.room)


def open_plainly(path: Path) -> IO[bytes]:
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
    nothing = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    for words in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        with contextlib.suppress(OSError):
            line = [*words, "--", str(folder)]
            os.waitpid(os.posix_spawnp(words[0], line, os.environ, file_actions=nothing), 0)

"""The home folder: is it there, ours alone, on a disk that locks, with room? And its secrets."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dispycluster.doctor.finding import BAD, OK, WARN, Finding

NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs")
LITTLE, TOO_LITTLE = 10**9, 64 * 2**20  # bytes; below the latter nothing is claimed
SHORTEST_SECRET = 32


def folder(path: Path, uid: int) -> Iterator[Finding]:
    try:
        facts = path.stat()
    except FileNotFoundError:
        yield Finding("home", WARN, _("%s is not there yet") % path, _("The first start makes it."))
        return
    except OSError as error:
        yield Finding("home", BAD, f"{path}: {error.strerror}", _("Choose DISPYCLUSTER_HOME anew."))
        return
    if not stat.S_ISDIR(facts.st_mode):
        yield Finding("home", BAD, _("%s is no folder") % path, _("Choose DISPYCLUSTER_HOME anew."))
        return
    found = list(ours_alone("home", path, facts, uid, 0o700))
    for part in (path, *(path / name for name in ("secrets", "files", "engine"))):
        if part.exists() and not os.access(part, os.W_OK | os.X_OK):
            advice = _("Run as the user who owns it, or make that %s.") % part
            found.append(Finding("home", BAD, _("cannot write into %s") % part, advice))
    yield from found or [Finding("home", OK, str(path))]


def ours_alone(
    name: str, path: Path, facts: os.stat_result, uid: int, mode: int
) -> Iterator[Finding]:
    if facts.st_uid != uid:
        words = _("%(path)s belongs to user %(owner)s, we run as user %(uid)s") % {
            "path": path, "owner": facts.st_uid, "uid": uid,
        }  # fmt: skip
        advice = _("Run as its owner, or: chown -R %(uid)d %(path)s") % {"uid": uid, "path": path}
        yield Finding(name, BAD, words, advice)
    if facts.st_mode & 0o077:
        words = _("%(path)s is open to others (mode %(mode)s)") % {
            "path": path, "mode": f"{facts.st_mode & 0o777:04o}",
        }  # fmt: skip
        yield Finding(name, BAD, words, f"chmod {mode:o} {path}")


def filesystem(kind: str, sqlite: bool, path: Path) -> Iterator[Finding]:
    if sqlite and kind in NETWORK_FILESYSTEMS:
        words = _("%(path)s is on %(kind)s, where SQLite loses data") % {"path": path, "kind": kind}
        advice = _("Set DISPYCLUSTER_HOME to a local disk, or DATABASE_URL to PostgreSQL.")
        yield Finding("disk", BAD, words, advice)


def space(free: int) -> Iterator[Finding]:
    words = _("%.1f GB free") % (free / 1e9)
    if free < TOO_LITTLE:
        advice = _("Free some: below 64 MB nothing is started. manage.py cleanup helps.")
        yield Finding("disk", BAD, words, advice)
    elif free < LITTLE:
        advice = _("Free some before it runs out: manage.py cleanup.")
        yield Finding("disk", WARN, words, advice)
    else:
        yield Finding("disk", OK, words)


def secrets(folder: Path, uid: int) -> Iterator[Finding]:
    """Every file in it, whatever its name."""
    if not folder.is_dir():
        yield Finding("secrets", WARN, _("none yet"), _("The first start draws them."))
        return
    found: list[Finding] = []
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths:
        found += ours_alone("secrets", path, path.stat(), uid, 0o600)
        if path.name in ("secret_key", "dispy_secret"):
            found += strength(path)
    words = ngettext("%d file, readable by us alone", "%d files, readable by us alone", len(paths))
    words = words % len(paths)
    yield from found or [Finding("secrets", OK, words)]


def strength(path: Path) -> Iterator[Finding]:
    try:
        length = len(path.read_text().strip())
    except OSError as error:
        yield Finding("secrets", BAD, f"{path}: {error.strerror}", _("Run as its owner."))
        return
    if length < SHORTEST_SECRET:
        words = _("%(path)s holds %(length)d characters: too few") % {
            "path": path, "length": length,
        }  # fmt: skip
        yield Finding("secrets", BAD, words, _("Delete it; the next start draws a new one."))

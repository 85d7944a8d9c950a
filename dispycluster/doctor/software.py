"""Versions, the clock, certificates, and the user's functions."""

import ast
import os
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dispycluster.doctor.finding import BAD, OK, WARN, Finding

OLDEST, NEWEST = (3, 11), (3, 13)
ENGINE = ("dispy", "pycos")  # our fixes are for these very versions
SOON = timedelta(days=30)


def python(found: tuple[int, ...]) -> Iterator[Finding]:
    words = "Python " + ".".join(map(str, found[:3]))
    if OLDEST <= found[:2] <= NEWEST:
        yield Finding("versions", OK, words)
    else:
        level = BAD if found[:2] < OLDEST else WARN
        yield Finding("versions", level, words, _("It is tried with 3.11 to 3.13."))


def pins(text: str) -> dict[str, str]:
    """Package -> version, as a requirements file has them, where they are meant for everybody."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+) \\$", text, re.MULTILINE))


def installed(names: Mapping[str, str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def packages(wanted: Mapping[str, str], found: Mapping[str, str | None]) -> Iterator[Finding]:
    advice = "pip install --require-hashes -r requirements.txt"
    other = {name: found[name] for name in wanted if found[name] != wanted[name]}
    for name, there in sorted(other.items()):
        words = _("%(name)s %(there)s, not %(wanted)s") % {
            "name": name, "there": there or _("is missing"), "wanted": wanted[name],
        }  # fmt: skip
        level = BAD if name in ENGINE or there is None else WARN
        yield Finding("versions", level, words, advice)
    if not other:
        engine = ", ".join(f"{name} {wanted[name]}" for name in ENGINE if name in wanted)
        words = _("%(engine)s and %(n)d other packages as pinned") % {
            "engine": engine, "n": len(wanted) - len(ENGINE),
        }  # fmt: skip
        yield Finding("versions", OK, words)


def ask_timedatectl() -> str:
    """yes or no; empty where nobody can say."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def clock(said: str) -> Iterator[Finding]:
    if said == "no":
        words = _("this machine's clock is not set by NTP")
        yield Finding("clock", WARN, words, "timedatectl set-ntp true")
    elif said == "yes":
        yield Finding("clock", OK, _("set by NTP"))
    else:
        yield Finding("clock", OK, _("whether it is set by NTP cannot be told here"))


def tls(certfile: str, keyfile: str, now: datetime) -> Iterator[Finding]:
    if not certfile:
        if keyfile:
            words = _("DISPY_KEYFILE is set without DISPY_CERTFILE, so there is no TLS")
            yield Finding("tls", BAD, words, _("Set both, or neither."))
        return
    try:
        ends = expiry(certfile)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certfile, keyfile or None, password=lambda: b"")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        words = (
            f"{certfile}, {keyfile}: {error.strerror or error}"
            if isinstance(error, OSError)
            else f"{certfile}: {error}"
        )
        advice = _("Both must be PEM files that we can read and that belong together.")
        yield Finding("tls", BAD, words, advice)
        return
    if keyfile and os.stat(keyfile).st_mode & 0o077:
        yield Finding("tls", BAD, _("%s is open to others") % keyfile, f"chmod 600 {keyfile}")
    words = _("the certificate is good until %s") % f"{ends:%Y-%m-%d}"
    if ends <= now:
        words = _("the certificate ran out on %s") % f"{ends:%Y-%m-%d}"
        yield Finding("tls", BAD, words, _("Make a new one and give it to every node."))
    elif ends - now < SOON:
        yield Finding("tls", WARN, words, _("Make a new one and give it to every node."))
    else:
        yield Finding("tls", OK, words)


def expiry(certfile: str) -> datetime:
    """The first certificate's end. The standard library has no public door to it."""
    decoded = ssl._ssl._test_decode_cert(certfile)  # type: ignore[attr-defined]
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(decoded["notAfter"]), UTC)


def tasks(folder: Path) -> Iterator[Finding]:
    """Read, never run: each file must be Python."""
    if not folder.is_dir():
        advice = _("Make it, or set DISPYCLUSTER_TASKS to where your functions are.")
        yield Finding("tasks", WARN, _("there is no folder %s") % folder, advice)
        return
    found, count = [], 0
    for path in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(path.read_bytes(), str(path))
            functions = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
            count += sum(not function.name.startswith("_") for function in functions)
        except (SyntaxError, ValueError) as error:
            line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            words = f"{path}{line}: {getattr(error, 'msg', error)}"
            found.append(Finding("tasks", BAD, words, _("Its functions cannot be used as it is.")))
        except OSError as error:
            found.append(Finding("tasks", BAD, f"{path}: {error.strerror}", _("Make it readable.")))
    yield from found
    words = ngettext("%(n)d function in %(folder)s", "%(n)d functions in %(folder)s", count)
    yield Finding("tasks", OK, words % {"n": count, "folder": folder})

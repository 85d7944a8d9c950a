"""What makes two failures one: a digest of what stays the same, and a title to show. Pure."""

import hashlib
import re
from typing import NamedTuple

ANY = "…"  # stands for what differs from one failure to the next
MOST_READ = 1000  # characters of a message
MOST_TITLE = 200
LENGTH = 16  # hexadecimal digits
TIMED_OUT, LOST = "timed_out", "lost"
FAILURES = ("failed", TIMED_OUT, LOST)  # outcomes

STATUS = re.compile(r"exited with status \d+")
FRAME = re.compile(r'^[ \t]*File "([^"\n]{1,400})", line \d+, in (\S.{0,200})', re.MULTILINE)
NOT_THEIRS = re.compile(r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib[\\/]python\d|^<")
URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://\S+", re.IGNORECASE)
UUID = re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE)
QUOTED = re.compile(r"""(?<!\w)(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`)(?!\w)""")
MOMENT = re.compile(
    r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|[+-]\d\d:?\d\d)\b)?)?"
    r"|\b\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?\b"
)
PATH = re.compile(r"(?<![\w.~\\/-])(?:[A-Za-z]:(?=\\))?[\w.~-]*(?:[\\/][\w.~@+=%-]+)+[\\/]?")
HEX = re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?", re.IGNORECASE)
REPEATED = re.compile(f"{ANY}(?:[\\s,;:x×*-]*{ANY})+")


class Cause(NamedTuple):
    """Why an attempt failed, as a group of failures."""

    digest: str
    title: str


def cause(outcome: str, error_type: str, error: str, traceback: str) -> Cause:
    """The group of one failed attempt; outcome: one of FAILURES."""
    message = normal(error)
    if outcome == LOST:
        kind, title, where = LOST, f"lost: {message.removeprefix('node lost: ')}", ""
    elif outcome == TIMED_OUT:
        kind, title, where = TIMED_OUT, message or "timed out", ""
    else:
        kind, where = error_type, frame(traceback)
        title = f"{message or error_type or 'failed'}{f' ({where})' if where else ''}"
    text = "\n".join((kind, message, where))
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:LENGTH]
    return Cause(digest, title if len(title) <= MOST_TITLE else f"{title[: MOST_TITLE - 1]}…")


def normal(message: str) -> str:
    """Its first line without what changes each time: numbers, moments, paths, quoted words …

    A status that a program left with stays: 2 is not 1.
    """
    line = message[:MOST_READ].strip().split("\n", 1)[0]
    status = STATUS.search(line)
    if status is None:
        return blurred(line)
    head, tail = blurred(line[: status.start()]), blurred(line[status.end() :])
    return " ".join(f"{head} {status[0]}{tail}".split())


def blurred(text: str) -> str:
    for pattern in (URL, UUID, QUOTED, MOMENT):
        text = pattern.sub(ANY, text)
    text = PATH.sub(path, text)
    for pattern in (HEX, NUMBER, REPEATED):
        text = pattern.sub(ANY, text)
    return " ".join(text.split())


def path(found: re.Match[str]) -> str:
    """A path for certain; "I/O" and "and/or" are words."""
    text = found[0].replace("\\", "/")
    last = text.rstrip("/").rpartition("/")[2]
    sure = text.startswith(("/", ".", "~")) or text[1:2] == ":" or text.count("/") > 1
    return ANY if sure or "." in last else found[0]


def frame(traceback: str) -> str:
    """The innermost frame of the user's own code: file and function, without the line."""
    frames = FRAME.findall(traceback)
    theirs = [found for found in frames if not NOT_THEIRS.search(found[0])]
    if not frames:
        return ""
    file, function = (theirs or frames)[-1]
    name = re.split(r"[\\/]", file)[-1]
    return f"{name[:80]}, {' '.join(function.split())[:80]}"

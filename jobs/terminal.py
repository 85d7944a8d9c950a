"""What a program wrote, safe and readable: colours kept, other controls taken out. Pure."""

import re
from collections.abc import Iterator
from html import escape

# Marks that turn the reading direction: text could show another order than it has.
TURNS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
CONTROL = re.compile(
    "\x1b\\[([0-9;:?]*)([ -/]*[@-~])"  # CSI; SGR (colours) ends with m
    "|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?"  # OSC: titles, links
    "|\x1b[PX^_][^\x1b]*(?:\x1b\\\\)?"  # DCS and kin
    "|\x1b[ -/]*[0-~]?"
    f"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{TURNS}]"
)
COLOURS = {*range(30, 38), *range(90, 98)}
LONGEST = 4000  # characters of one line that are shown


def plain(text: str) -> str:
    """Without controls; line ends and tabs stay."""
    return CONTROL.sub("", text.replace("\r\n", "\n"))


def as_html(line: str) -> str:
    """One line as HTML: escaped, its colours as classes."""
    line = line.removesuffix("\r")
    line = line.rsplit("\r", 1)[-1]  # a progress bar: what a terminal would show last
    left_out = len(line) - LONGEST
    if left_out > 0:
        line = line[:LONGEST]
    html = "".join(pieces(line))
    return f"{html} … (+{left_out:,})" if left_out > 0 else html


def pieces(line: str) -> Iterator[str]:
    classes: set[str] = set()
    position = 0
    for match in CONTROL.finditer(line):
        yield dressed(line[position : match.start()], classes)
        position = match.end()
        if match[2] == "m":
            classes = after(classes, match[1])
    yield dressed(line[position:], classes)


def dressed(text: str, classes: set[str]) -> str:
    if not text or not classes:
        return escape(text)
    return f'<span class="{" ".join(sorted(classes))}">{escape(text)}</span>'


def after(classes: set[str], codes: str) -> set[str]:
    """The classes once these SGR codes were read; those we do not draw are skipped."""
    found = set(classes)
    numbers = [int(code) if code.isdecimal() else 0 for code in codes.split(";")[:16]]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            found = set()
        elif code == 1:
            found.add("ansi-bold")
        elif code == 22:
            found.discard("ansi-bold")
        elif code in COLOURS or code == 39:
            found = {name for name in found if name == "ansi-bold"}
            found |= {f"ansi-{code}"} if code in COLOURS else set()
        elif code in (38, 48):
            numbers = numbers[4 if numbers[:1] == [2] else 2 :]
    return found

"""An attempt's output as numbered lines, with an honest mark where some was left out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.utils.safestring import SafeString

from jobs import output, terminal
from jobs.models import Attempt

TAIL = 500  # lines on the job's page
MOST = 5000  # lines on a page of its own
READ = 8 << 20  # bytes: twice the highest cap
PREFIX = {"stdout": "L", "stderr": "E"}


@dataclass(frozen=True)
class Line:
    """A line of text, or a gap of that many bytes."""

    label: str = ""
    anchor: str = ""
    html: SafeString = field(default_factory=SafeString)
    gap: int = 0


@dataclass(frozen=True)
class Console:
    """The lines of one stream; offset and number say where to go on reading."""

    stream: str
    lines: list[Line]
    earlier: int  # lines before the first one shown
    total: int  # bytes written
    offset: int
    number: int
    rest: SafeString  # a last line without its end, while the attempt runs

    @property
    def silent(self) -> bool:
        return not self.lines and not self.rest


class Liner:
    """Cuts bytes into lines and numbers them; after a gap nobody knows the numbers."""

    def __init__(self, stream: str, offset: int = 0, number: int = 0) -> None:
        self.prefix = PREFIX[stream]
        self.position, self.number, self.after_gap = offset, number, 0
        self.carry = b""
        self.lines: list[Line] = []

    def feed(self, start: int, data: bytes) -> None:
        if start > self.position:
            self.gap(start - self.position)
        self.position = start + len(data)
        *whole, self.carry = (self.carry + data).split(b"\n")
        for text in whole:
            self.add(text)

    def gap(self, size: int) -> None:
        self.flush()
        self.after_gap += 1
        self.number = 0
        self.lines.append(Line(gap=size))

    def flush(self) -> None:
        if self.carry:
            self.add(self.carry)
            self.carry = b""

    def add(self, text: bytes) -> None:
        self.number += 1
        sign = "+" * self.after_gap
        anchor = f"{self.prefix}{'x' * self.after_gap}{self.number}"
        self.lines.append(Line(f"{sign}{self.number}", anchor, html_of(text)))


def html_of(text: bytes) -> SafeString:
    return SafeString(terminal.as_html(text.decode("utf-8", "replace")))  # escaped there


def console(attempt: Attempt, stream: str, most: int = TAIL, first: int | None = None) -> Console:
    """The last lines of a stream, or `most` lines from the one numbered `first` on."""
    liner = Liner(stream)
    return cut(liner, attempt, stream, output.read(attempt.pk, stream, limit=READ), most, first)


def more(attempt: Attempt, stream: str, offset: int, number: int) -> Console:
    """What came since, while the attempt runs."""
    liner = Liner(stream, offset, number)
    return cut(liner, attempt, stream, output.read(attempt.pk, stream, offset, READ), MOST, None)


def cut(
    liner: Liner, attempt: Attempt, stream: str, pieces: Iterable[tuple[int, bytes]],
    most: int, first: int | None,
) -> Console:  # fmt: skip
    for start, data in pieces:
        liner.feed(start, data)
    wrote = attempt.stdout_bytes if stream == "stdout" else attempt.stderr_bytes
    if attempt.finished_at:
        if wrote and wrote > liner.position:
            liner.gap(wrote - liner.position)
        liner.flush()
    skip = max(0, len(liner.lines) - most) if first is None else max(0, first - 1)
    return Console(
        stream=stream,
        lines=liner.lines[skip : skip + most],
        earlier=skip,
        total=max(wrote or 0, liner.position),
        offset=liner.position - len(liner.carry),
        number=liner.number,
        rest=html_of(liner.carry) if liner.carry else SafeString(),
    )


def last_lines(attempt: Attempt, stream: str, most: int = 12) -> str:
    """The end of a stream as plain text: what a failure is shown with."""
    data = b"".join(piece for _, piece in output.read(attempt.pk, stream, limit=READ))
    lines = terminal.plain(data[-8192:].decode("utf-8", "replace")).rstrip("\n").split("\n")
    return "\n".join(lines[-most:])

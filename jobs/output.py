"""What attempts wrote, piece by piece."""

from collections.abc import Iterable, Iterator
from typing import Any

from jobs.models import Output
from jobs.rows import insert_rows

FIELDS = ["attempt", "stream", "offset", "data"]


def read(
    attempt_id: int, stream: str, offset: int = 0, limit: int = 1 << 20
) -> list[tuple[int, bytes]]:
    """The pieces from `offset` on, cut to `limit` bytes; a jump between two was left out."""
    pieces: list[tuple[int, bytes]] = []
    left = limit
    rows = Output.objects.filter(attempt=attempt_id, stream=stream).order_by("offset")
    for start, data in rows.values_list("offset", "data").iterator():
        data = bytes(data)
        if start < offset:
            start, data = offset, data[offset - start :]
        if data and left > 0:
            pieces.append((start, data[:left]))
            left -= len(data)
        if left <= 0:
            break
    return pieces


def add_live(pieces: Iterable[dict[str, Any]], open_attempts: set[int]) -> None:
    """Pieces that arrive while an attempt runs. Early news: its report brings everything again."""
    rows = [
        (piece["attempt"], piece["stream"], piece["offset"], to_bytes(piece["text"]))
        for piece in pieces
        if piece["attempt"] in open_attempts
    ]
    Output.objects.bulk_create(
        [Output(attempt_id=a, stream=s, offset=o, data=d) for a, s, o, d in rows],
        ignore_conflicts=True,
    )


def settle(reports: list[dict[str, Any]]) -> None:
    """Replace what came early with the whole, as the report has it."""
    wrote = [r["attempt"] for r in reports if any(r[s]["total"] for s in ("stdout", "stderr"))]
    if wrote:
        Output.objects.filter(attempt__in=wrote).delete()
        insert_rows(Output, FIELDS, (row for report in reports for row in rows_of(report)))


def rows_of(report: dict[str, Any]) -> Iterator[tuple[int, str, int, bytes]]:
    for stream in ("stdout", "stderr"):
        piece = report[stream]
        data = to_bytes(piece["text"])
        if not data:
            continue
        cut, gap = piece.get("left_out_at", 0), piece.get("left_out", 0)
        if not gap:
            yield report["attempt"], stream, 0, data
            continue
        if cut:
            yield report["attempt"], stream, 0, data[:cut]
        if data[cut:]:
            yield report["attempt"], stream, cut + gap, data[cut:]


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def whole_characters(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The pieces without a UTF-8 character cut at the very end: its rest is still to come."""
    if not pieces:
        return pieces
    start, data = pieces[-1]
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue  # in the middle of a character
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        if length > back:
            return [*pieces[:-1], (start, data[:-back])] if back < len(data) else pieces[:-1]
        break
    return pieces


def text(pieces: list[tuple[int, bytes]], offset: int = 0) -> str:
    """The pieces as text, with a mark where something was left out."""
    parts, at = [], offset
    for start, data in pieces:
        if start > at:
            parts.append(f"\n[… {start - at:,} bytes left out …]\n")
        parts.append(data.decode("utf-8", "replace"))
        at = start + len(data)
    return "".join(parts)

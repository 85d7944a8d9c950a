"""What a member wrote, kept within bounds: the beginning, the end, and how much there was."""

from __future__ import annotations

from typing import Any

LIVE_BYTES = 256 * 1024  # of one stream in one progress message


def whole_length(data: bytes | bytearray) -> int:
    """How many bytes of data to take so that it does not end inside a UTF-8 character."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:  # the middle of a character: look further back
            continue
        needs = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if needs > back else len(data)
    return len(data)


def without_broken_start(data: bytes) -> bytes:
    """data without the tail of a character that was cut off in front of it."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


def text_of(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "surrogateescape")


class Stream:
    """Keeps three quarters of the limit from the start and one quarter from the end."""

    __slots__ = ("head", "head_limit", "limit", "tail", "tail_limit", "total")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.head_limit = limit * 3 // 4
        self.tail_limit = limit - self.head_limit
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.head_limit - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        if data:
            self.tail += data
            if len(self.tail) > self.tail_limit + 65536:  # trimmed now and then, not each time
                del self.tail[: len(self.tail) - self.tail_limit]

    def finish(self, keep: int | None = None) -> dict[str, Any]:
        """The report's form of it, with at most `keep` bytes of text."""
        keep = self.limit if keep is None else min(keep, self.limit)
        if not self.total:
            return {"text": "", "total": 0, "left_out": 0, "left_out_at": 0}
        if self.total <= keep:
            text = text_of(self.head + self.tail)
            return {"text": text, "total": self.total, "left_out": 0, "left_out_at": self.total}
        start = keep * 3 // 4
        head = self.head[:start]
        head = head[: whole_length(head)]
        kept = self.head + self.tail
        tail = without_broken_start(bytes(kept[len(kept) - (keep - start) :]))
        return {
            "text": text_of(head) + text_of(tail),
            "total": self.total,
            "left_out": self.total - len(head) - len(tail),
            "left_out_at": len(head),
        }

    def live(self, offset: int) -> tuple[str, int]:
        """The text that came after `offset`, and where it ends. Live output stops at the head."""
        new = self.head[offset : offset + LIVE_BYTES]
        new = new[: whole_length(new)]
        return text_of(new), offset + len(new)

    def last_line(self) -> str:
        """The last line that is not blank, for error messages."""
        end = bytes((self.head + self.tail)[-2000:]).decode("utf-8", "replace")
        lines = [line.strip() for line in end.splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""

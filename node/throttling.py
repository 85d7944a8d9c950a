"""What a Raspberry Pi says of its power and its heat."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from node.asking import Program

FILE = "sys/devices/platform/soc*/soc*:firmware/get_throttled"  # soc, on a Pi 5 soc@107c000000
COMMAND = ("vcgencmd", "get_throttled")  # where the kernel has no such file
WORDS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
SINCE_BOOT = 16  # the same bits, this much higher: it was so at some time since the start


class Throttling:
    def __init__(self, root: Path, command: tuple[str, ...] = COMMAND) -> None:
        self.file = next(iter(sorted(root.glob(FILE))), None)
        self.program = Program(command) if not self.file and shutil.which(command[0]) else None

    def read(self, now: float) -> dict[str, list[str]]:
        """What holds the machine back now, and what did since it started; {}: cannot tell."""
        text = None
        if self.file:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                text = self.file.read_text()
        elif self.program:
            text = self.program.answer(now)
        bits = None if text is None else bits_in(text)
        if bits is None:
            return {}
        return {"throttled": words(bits), "throttled_since_boot": words(bits >> SINCE_BOOT)}


def bits_in(text: str) -> int | None:
    """50005 as the kernel says it, throttled=0x50005 as vcgencmd does."""
    try:
        bits = int(text.strip().removeprefix("throttled="), 16)
    except ValueError:
        return None
    return bits if 0 <= bits < 1 << 32 else None


def words(bits: int) -> list[str]:
    return [word for bit, word in enumerate(WORDS) if bits >> bit & 1]

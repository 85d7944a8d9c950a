"""Words of uploaded texts."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def word_count(file: Path, top: int = 20) -> dict[str, Any]:
    """Count the words of a UTF-8 text: how many, how many different, the most frequent."""
    counts: Counter[str] = Counter()
    lines = 0
    with open(file, encoding="utf-8", errors="replace") as text:
        for line in text:
            lines += 1
            counts.update(word.lower() for word in WORD.findall(line))
    return {
        "lines": lines,
        "words": counts.total(),
        "different": len(counts),
        "top": counts.most_common(top),
    }

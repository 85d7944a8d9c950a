"""Values for a spreadsheet, which takes some texts for formulas and runs them. Pure."""

import json
from typing import Any

# Those of other alphabets too: some programs read them as the plain ones.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def cell(value: Any) -> Any:
    """The value as it goes into a CSV: a text that might be a formula gets a ' in front."""
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULAS) else text

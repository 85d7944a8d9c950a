"""Amounts as people read them. Pure."""

UNKNOWN = "–"


def size(value: float | None) -> str:
    """Bytes in the unit a person would choose."""
    if value is None:
        return UNKNOWN
    number, unit = float(value), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 999.5 or unit == "TB":
            break
        number /= 1000
    whole = unit == "B" or abs(number) >= 9.95
    return f"{number:.0f} {unit}" if whole else f"{number:.1f} {unit}"

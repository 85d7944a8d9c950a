"""JSON values that others made: which may come in, and how any that is there is read and told."""

import json
import math
import re
from typing import Any

import orjson
from django.utils.translation import gettext as _

from node.errors import DEEPEST

HALVES = re.compile("[\ud800-\udfff]")  # of characters: no page and no database takes one alone
Trail = tuple[Any, ...]  # the way to a value: (the way to what holds it, its name or place there)


def complaint(value: Any) -> str:
    """What keeps it from being stored and told again, with its place; empty: nothing does."""
    level: list[tuple[Any, Trail]] = [(value, ())]
    for _depth in range(DEEPEST):
        inner: list[tuple[Any, Trail]] = []
        for one, trail in level:
            if isinstance(one, dict):
                for name in one:
                    if problem := wrong(name):
                        return placed(trail, problem)
                inner += ((each, (trail, name)) for name, each in one.items())
            elif isinstance(one, list):
                inner += ((each, (trail, place)) for place, each in enumerate(one))
            elif problem := wrong(one):
                return placed(trail, problem)
        if not inner:
            return ""
        level = inner
    return _("Nested more than %(most)s deep.") % {"most": DEEPEST}


def wrong(value: Any) -> str:
    if isinstance(value, str):
        if not value.isascii() and HALVES.search(value):
            return _("There is half of a character (a lone surrogate) in it.")
        return _("There is a zero byte in it.") if "\0" in value else ""
    if isinstance(value, float) and not math.isfinite(value):
        return _("Not a finite number.")
    return ""


def placed(trail: Trail, problem: str) -> str:
    place = ""
    while trail:
        trail, name = trail
        place = f"[{name}]{place}" if isinstance(name, int) else f".{name}{place}"
    where = whole(place.removeprefix("."))[:200]
    return f"{where}: {problem}" if where else problem


def whole(text: str) -> str:
    """With a mark where there is half of a character, or a zero byte."""
    return text if text.isascii() and "\0" not in text else HALVES.sub("�", text).replace("\0", "�")


def refused(body: Any) -> dict[str, list[str]]:
    """The fields of a body that cannot be taken, each with why; of another value, "body"."""
    fields = body if isinstance(body, dict) else {"body": body}
    found = {name: complaint({name: None}) or complaint(fields[name]) for name in fields}
    return {whole(name)[:200]: [problem] for name, problem in found.items() if problem}


def loads(text: str) -> Any:
    """Raises ValueError also where it is JSON that could not be told again."""
    try:
        # A test alone: of a whole number of more than 64 bits it makes a float.
        orjson.dumps(orjson.loads(text))
        return json.loads(text)
    except (TypeError, ValueError):
        pass
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if problem := complaint(value):
        raise ValueError(problem)
    return value


def read(text: str) -> Any:
    """The value; the text itself where that could not be told as JSON again."""
    try:
        return loads(text)
    except ValueError:
        return text


def mended(value: Any, depth: int = 0) -> Any:
    """The same without what no answer can hold."""
    if depth > DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {mended(name): mended(each, depth + 1) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [mended(each, depth + 1) for each in value]
    if isinstance(value, str):
        return HALVES.sub("�", value)
    return None if isinstance(value, float) and not math.isfinite(value) else value

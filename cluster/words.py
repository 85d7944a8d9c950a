"""Sentences that are kept and said in the reader's language where they are shown. Pure."""

from collections.abc import Callable
from typing import Any

MOST = 200  # characters of a value that came from outside

Stored = str | dict[str, Any]  # text, and values where there are some


class Words(str):
    """English, with what is needed to say it in another language: values may be Words."""

    text: str
    values: dict[str, Any]

    def __new__(cls, text: str, **values: Any) -> "Words":
        self = super().__new__(cls, text % values)
        self.text, self.values = text, values
        return self

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.text,), self.values


def gettext_noop(text: str) -> str:
    """Marks a text for the translators."""
    return text


def said(words: str, translate: Callable[[str], str]) -> str:
    """In another language; what is plain text stays as it is, and so does what it names."""
    if not isinstance(words, Words):
        return words
    values = {
        name: said(value, translate) if isinstance(value, str) else value
        for name, value in words.values.items()
    }
    return translate(words.text) % values


def stored(words: str) -> Stored:
    """As JSON holds it; values that came from outside are cut."""
    if not isinstance(words, Words):
        return str(words)
    values = {name: kept(value) for name, value in words.values.items()}
    return {"text": words.text, "values": values} if values else {"text": words.text}


def kept(value: Any) -> Any:
    if isinstance(value, Words):
        return stored(value)
    if not isinstance(value, str):
        return value
    # Neither halves of a character nor zero bytes: no page and no database takes them.
    return value[:MOST].replace("\0", "?").encode("utf-8", "replace").decode()


def is_stored(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        return False
    return found.keys() <= {"text", "values"}


def recalled(found: Any) -> str:
    """What `stored` made; a plain text is a person's own, or of an older release."""
    if not is_stored(found):
        return str(found)
    try:
        given = found.get("values", {}).items()
        return Words(found["text"], **{n: recalled(v) if is_stored(v) else v for n, v in given})
    except (TypeError, ValueError, KeyError, AttributeError):
        return str(found["text"])


def told(value: Any, translate: Callable[[str], str]) -> Any:
    """A JSON value with all that `stored` made of Words said in another language."""
    if is_stored(value):
        return said(recalled(value), translate)
    if isinstance(value, dict):
        return {name: told(one, translate) for name, one in value.items()}
    return [told(one, translate) for one in value] if isinstance(value, list) else value

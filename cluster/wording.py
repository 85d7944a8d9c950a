"""Words (words.py) in a row, and in the reader's language."""

import json
from typing import Any

from django.db import models
from django.utils.translation import gettext

from cluster import words
from cluster.words import Words

LONGEST = 500  # characters of a plain text
MARK = '{"text"'  # what is kept of Words begins so


class WordsField(models.TextField):
    """Words as JSON, a plain text as it is. What is read is a str in both cases: English."""

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, Words) and value.startswith(MARK):
            value = Words("%(given)s", given=value)  # not to be taken for Words when it is read
        if isinstance(value, Words):
            return json.dumps(words.stored(value))
        return value[:LONGEST] if isinstance(value, str) else value

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return None if value is None else read(value)


def read(value: str) -> str:
    if not value.startswith(MARK):
        return value
    try:
        return words.recalled(json.loads(value))
    except ValueError:
        return value


def said(value: object) -> str:
    """In the reader's language, if it is ours; a person's or a machine's own words stay."""
    return words.said(value, gettext) if isinstance(value, str) else str(value)


def told(value: Any) -> Any:
    """A JSON value with the Words in it said in the reader's language."""
    return words.told(value, gettext)


def told_receipt(placement: dict[str, Any]) -> dict[str, Any]:
    """Why an attempt went where it went: the reasons alone are Words. A node may be called "text",
    and then what names the nodes looks like some."""
    reasons = {name: told(why) for name, why in placement.get("ruled_out", {}).items()}
    return placement | {"ruled_out": reasons} if "ruled_out" in placement else dict(placement)

"""What a check found: good or not, in words, and what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

OK, WARN, BAD = "ok", "warn", "bad"


@dataclass(frozen=True)
class Finding:
    name: str  # of the check
    level: str
    words: str
    advice: str = ""


def guarded(name: str, check: Callable[..., Iterable[Finding]], *args: Any) -> list[Finding]:
    """A check that breaks is a finding of its own and keeps no other from being made."""
    try:
        return list(check(*args))
    except Exception as error:
        words = _("the check itself broke: %s") % f"{type(error).__name__}: {error}"
        return [Finding(name, BAD, words, _("Please report this."))]

"""Sends a courier, and waits for its answer for a time."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy

from monitoring import targets

# What becomes of a notice, in our own words: kept with it, and translated where it is shown.
OFF = "the channel is switched off"
DIED = "the monitor ended each time while it was sent"
COURIER_DIED = "the courier died"
NO_MAIL = "no mail server is set: EMAIL_URL"
NO_SERVICE = "its service is not one that notices may go to"

TIMEOUT = 30.0
CHECK_TIMEOUT = 15.0
LONGEST = 300
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
LEVELS = {"critical": "failure", "warning": "warning", "resolved": "success"}
MAIL_SETTINGS = (
    "EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD",
    "EMAIL_USE_TLS", "EMAIL_USE_SSL", "EMAIL_FILE_PATH", "DEFAULT_FROM_EMAIL",
)  # fmt: skip


out_now: set[subprocess.Popen[str]] = set()  # couriers on their way


def end_all() -> None:
    for process in list(out_now):
        process.kill()


@dataclass(frozen=True)
class Notice:
    """All that is needed to send it: plain values, no row."""

    url: str
    allow_private: bool
    title: str
    body: str
    level: str = "info"  # Apprise's word: info, success, warning, failure


def send(notice: Notice, timeout: float = TIMEOUT) -> str:
    """Empty, or why it did not arrive, with nothing of the URL in it. Never raises."""
    words: dict[str, Any] = {"title": notice.title, "body": notice.body, "level": notice.level}
    if address := targets.mail_address(notice.url):
        if not settings.MAIL_IS_SET:
            return NO_MAIL
        given = {name: getattr(settings, name, None) for name in MAIL_SETTINGS}
        given = {name: value for name, value in given.items() if value is not None}
        given["EMAIL_TIMEOUT"] = max(1, timeout - 1)
        letter: dict[str, Any] = {"do": "mail", "address": address, "settings": given, **words}
        return carried(letter, notice.url, False, timeout)
    if not targets.is_known(notice.url):
        return NO_SERVICE
    wish: dict[str, Any] = {
        "do": "send", "url": notice.url, "allow_private": notice.allow_private,
        "closed": str(settings.HOME), **words,
    }  # fmt: skip
    return carried(wish, notice.url, notice.allow_private, timeout)


def check(url: str, allow_private: bool) -> str:
    """Why this URL cannot be a channel's; empty: it can."""
    wish = {
        "do": "check", "url": url, "host": targets.host(url), "allow_private": allow_private,
        "closed": str(settings.HOME),
    }  # fmt: skip
    return carried(wish, url, allow_private, CHECK_TIMEOUT)


def carried(wish: dict[str, Any], url: str, proxies: bool, timeout: float) -> str:
    names = (*KEPT, *PROXIES, *map(str.lower, PROXIES)) if proxies else KEPT
    env = {name: os.environ[name] for name in names if name in os.environ}
    # The wish goes by stdin: arguments and environments can be read by others.
    process = subprocess.Popen(
        [sys.executable, "-m", "monitoring.courier"],
        cwd=settings.BASE_DIR, env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    out_now.add(process)
    with process:
        try:
            out, _nothing = process.communicate(json.dumps(wish), timeout)
            error = json.loads(out)["error"]
        except subprocess.TimeoutExpired:
            error = f"no answer within {timeout:g} s"
        except (ValueError, KeyError, OSError):
            error = COURIER_DIED
        finally:
            process.kill()
            out_now.discard(process)
    return targets.without_secrets(str(error), url)[:LONGEST]


def in_words(error: str) -> str:
    """Errors of our own in the reader's language; a service's stay as they came."""
    for pattern, words in WORDS.items():
        if found := re.fullmatch(pattern, error):
            given = {name: KINDS.get(value, value) for name, value in found.groupdict().items()}
            return str(words) % given
    return error


KINDS: dict[str, Any] = {
    "loopback": gettext_lazy("a loopback address"),
    "private": gettext_lazy("a private address"),
    "link-local": gettext_lazy("a link-local address"),
    "multicast": gettext_lazy("a multicast address"),
    "reserved": gettext_lazy("a reserved address"),
}
WORDS = {
    r"(?:refused: )?(?P<address>\S+) is a (?P<kind>[a-z-]+) address": gettext_lazy(
        "refused: %(address)s is %(kind)s"
    ),
    r"no answer within (?P<time>.+)": gettext_lazy("no answer within %(time)s"),
    NO_MAIL: gettext_lazy("no mail server is set: say it in EMAIL_URL"),
    "its URL is not complete, or not of that service": gettext_lazy(
        "the URL is not complete, or not of that service"
    ),
    NO_SERVICE: gettext_lazy("its service is not one that notices may go to"),
    OFF: gettext_lazy("the channel is switched off"),
    COURIER_DIED: gettext_lazy("the process that carried it died"),
    DIED: gettext_lazy("the monitor ended each time while it was sent"),
}

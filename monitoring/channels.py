"""Channels: every write to one, and what is refused. The URL is a secret: none of it is said."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from cluster.nodes import Refused
from monitoring import carrying, targets
from monitoring.models import Channel, Severity

LONGEST_URL = 2000
MOST_TAGS = 50
TAG = re.compile(r"[a-z0-9][a-z0-9._:-]{0,99}")


def add(
    name: str, url: str, who: str, now: datetime, admin: bool,
    least: str = Severity.WARNING, tags: Iterable[str] = (), allow_private: bool = False,
    enabled: bool = True,
) -> Channel:  # fmt: skip
    if allow_private:
        demand_admin(admin)
    channel = Channel(
        name=checked_name(name), least=checked_least(least), tags=checked_tags(tags),
        url=checked_url(url, allow_private), allow_private=allow_private, enabled=enabled,
        created_at=now, created_by=who,
    )  # fmt: skip
    save(channel)
    return channel


def change(channel: Channel, admin: bool, **given: Any) -> None:
    """Only what is given. `admin`: whether a superuser asks."""
    allow_private = bool(given.get("allow_private", channel.allow_private))
    if allow_private and not channel.allow_private:
        demand_admin(admin)
    if "url" in given and channel.allow_private and allow_private and not admin:
        raise Refused(
            _("Only an admin may change where a channel sends to that may reach private targets."),
            "url",
        )
    if "name" in given:
        channel.name = checked_name(given["name"])
    if "least" in given:
        channel.least = checked_least(given["least"])
    if "tags" in given:
        channel.tags = checked_tags(given["tags"])
    if "url" in given:
        channel.url = checked_url(given["url"], allow_private)
    elif channel.allow_private and not allow_private:
        field = "allow_private"
        checked_url(channel.url, allow_private, field)
    channel.allow_private = allow_private
    channel.enabled = bool(given.get("enabled", channel.enabled))
    save(channel, [*given])


def save(channel: Channel, fields: list[str] | None = None) -> None:
    try:
        with transaction.atomic():
            channel.save(update_fields=fields)
    except IntegrityError:
        raise Refused(_("There is a channel of this name already."), "name") from None


def demand_admin(admin: bool) -> None:
    if not admin:
        raise Refused(_("Only an admin may allow private targets."), "allow_private")


def checked_name(name: str) -> str:
    name = " ".join(name.replace("\0", "").split())
    if not name:
        raise Refused(_("Give it a name."), "name")
    if len(name) > 100:
        raise Refused(_("At most 100 characters."), "name")
    return name


def checked_least(least: str) -> str:
    if least not in Severity.values:
        raise Refused(_("One of %s.") % ", ".join(Severity.values), "least")
    return least


def checked_tags(tags: Iterable[str]) -> list[str]:
    found = sorted({tag.strip() for tag in tags if tag.strip()})
    if len(found) > MOST_TAGS or not all(TAG.fullmatch(tag) for tag in found):
        raise Refused(_("Lower case letters, digits and . _ : -, at most 50 tags."), "tags")
    return found


def checked_url(url: str, allow_private: bool, field: str = "url") -> str:
    """The URL, once its service is known, takes it, and leads to where it may."""
    url = url.strip()
    if not url:
        raise Refused(_("Say where the notices go to."), field)
    if len(url) > LONGEST_URL or re.search(r"[\x00-\x20\x7f]", url):
        raise Refused(_("No spaces and line ends, and at most 2000 characters."), field)
    if targets.mail_address(url):
        if not settings.MAIL_IS_SET:
            raise Refused(
                _("No mail server is set: say which in EMAIL_URL, or give a mailto:// URL."), field
            )
        return url
    if targets.schema(url) in ("http", "https"):
        raise Refused(
            _("For a webhook write json:// in place of http://, jsons:// in place of https://."),
            field,
        )
    if not targets.is_known(url):
        raise Refused(
            _("An address such as mailto:you@example.org, or a URL of a service that is known."),
            field,
        )
    if error := carrying.check(url, allow_private):
        raise Refused(str(carrying.in_words(error)), field)
    return url

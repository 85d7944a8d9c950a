"""How a machine may be named to us: a host name or an IP address. Pure; nothing is looked up."""

import ipaddress
import re

from django.utils.translation import gettext as _

LONGEST = 253
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII | re.IGNORECASE)


class BadAddress(ValueError):
    """Says in a sentence what is wrong with it."""


def checked(text: str) -> str:
    """The address in the one way it is written. Raises BadAddress."""
    text = text.strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return host(text)
    if "%" in text:
        raise BadAddress(_("Give the address without its zone (what the percent sign begins)."))
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255":
        raise BadAddress(_("%(address)s is not the address of one machine.") % {"address": text})
    return str(address)


def host(text: str) -> str:
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > LONGEST or not all(LABEL.fullmatch(label) for label in labels):
        message = _(
            "Give a host name or an IP address alone, such as pi-4.local or 192.168.1.14: no "
            "port, no http://, no spaces."
        )
        raise BadAddress(message)
    if labels[-1].isdecimal():  # 10.0.0.256, or 10.1
        message = _("%(address)s is no IP address: those are four numbers from 0 to 255.")
        raise BadAddress(message % {"address": name})
    return name.lower()

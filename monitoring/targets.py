"""Where a channel sends to: what may be said of its URL, and which URLs are taken. Pure."""

import ipaddress
import re
from urllib.parse import unquote, unquote_plus

from monitoring.services import KNOWN, WITH_HOST

MAIL = re.compile(r"(?:mailto:)?([^\s@:/?#,;<>\"]{1,64}@[A-Za-z0-9.-]{1,255})", re.IGNORECASE)
URL = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]{0,30})://(.*)", re.DOTALL)
HIDDEN = "…"
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def mail_address(url: str) -> str:
    """Of `mailto:somebody@example.org` or a bare address; empty where it is a URL of Apprise's."""
    found = MAIL.fullmatch(url.strip())
    return found[1] if found else ""


def schema(url: str) -> str:
    found = URL.match(url.strip())
    return found[1].lower() if found else ""


def is_known(url: str) -> bool:
    return bool(mail_address(url)) or schema(url) in KNOWN


def host(url: str) -> str:
    """The host that a URL names; empty where its service does not take one."""
    if schema(url) not in WITH_HOST:
        return ""
    rest = url.strip().partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    if place.startswith("["):
        return place[1:].partition("]")[0].lower()
    return place.partition(":")[0].lower()


def masked(url: str) -> str:
    """What may be shown: the schema, and the host where it is one. Never what follows."""
    if address := mail_address(url):
        return f"mailto:{HIDDEN}@{address.rpartition('@')[2]}"
    place = host(url)
    if place and not re.fullmatch(r"[a-z0-9.:_-]+", place):
        place = ""
    return f"{schema(url) or HIDDEN}://{place + '/' if place else ''}{HIDDEN}"


def pieces(url: str) -> list[str]:
    """Whatever in a URL may be a secret, as it is written and decoded, the longest first."""
    rest = url.strip().partition(":")[2] or url.strip()
    raw = {url.strip(), rest, *re.split(r"[:/?#&=@,;\s]+", rest)}
    raw |= {unquote(one) for one in raw} | {unquote_plus(one) for one in raw}
    harmless = {"", host(url), "yes", "no", "true", "false"}
    found = {one for one in raw if len(one) >= 3 and one.lower() not in harmless}
    return sorted(found, key=len, reverse=True)


def without_secrets(text: str, url: str) -> str:
    """A message about a target, with nothing in it of the target's URL but schema and host."""
    for piece in pieces(url):
        text = text.replace(piece, HIDDEN)
    return re.sub(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'>]*", rf"\1{HIDDEN}", text)


def refusal(text: str, allow_private: bool) -> str:
    """Why nothing is sent to this IP address; empty: it may be."""
    try:
        address = inner(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "names must be resolved first"
    kind = kind_of(address)
    if not kind or (allow_private and kind in ("loopback", "private")):
        return ""
    return f"{address} is a {kind} address"


def inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, whichever way it is wrapped."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if wrapped is None and not int(address) >> 32 and int(address) > 1:
        return ipaddress.IPv4Address(int(address))  # ::a.b.c.d, of old
    return wrapped or address


def kind_of(address: Address) -> str:
    """loopback, private …; empty: anybody's."""
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified:
        return "reserved"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_global:
        return ""
    shared = isinstance(address, ipaddress.IPv4Address) and address in SHARED
    if not address.is_reserved and (
        shared or any(address in part for part in PRIVATE if part.version == address.version)
    ):
        return "private"
    return "reserved"


SHARED = ipaddress.ip_network("100.64.0.0/10")
PRIVATE = [
    ipaddress.ip_network(part)
    for part in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]

"""The nodes: does each name resolve, does its port answer, does the dispatcher use it?"""

import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.utils.translation import gettext as _

from cluster.wording import said
from dispycluster.doctor.environment import is_loopback
from dispycluster.doctor.finding import BAD, OK, WARN, Finding

CONNECT_SECONDS = 2.0
SKEW_SECONDS = 5


@dataclass(frozen=True)
class Machine:
    """A node, as its row says."""

    name: str
    address: str
    online: bool
    draining: bool = False
    quarantined: str = ""  # why
    trouble: str = ""
    skew_seconds: float | None = None


def unreachable(address: str, port: int) -> str:
    """Why we cannot connect; empty where we can."""
    try:
        with socket.create_connection((address, port), timeout=CONNECT_SECONDS):
            return ""
    except socket.gaierror as error:
        return _("the name does not resolve (%s)") % error.strerror
    except OSError as error:
        return error.strerror or str(error)


def ask(machines: Sequence[Machine], port: int) -> list[str]:
    """All of them at once, in order."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        return list(pool.map(lambda machine: unreachable(machine.address, port), machines))


def machine(one: Machine, error: str, port: int, dispatcher_up: bool) -> Iterator[Finding]:
    who = f"{one.name} ({one.address})" if one.name != one.address else one.name
    if error and not (one.online and dispatcher_up):
        words = _("%(who)s: port %(port)d does not answer: %(error)s") % {
            "who": who, "port": port, "error": error,
        }  # fmt: skip
        yield Finding("nodes", BAD, words, _("Start the agent there, or open the port."))
    elif error:
        words = _("%(who)s is online, but not to be reached from here: %(error)s") % {
            "who": who, "error": error,
        }  # fmt: skip
        yield Finding("nodes", WARN, words, _("Fine if the dispatcher runs elsewhere."))
    elif not dispatcher_up:
        yield Finding("nodes", OK, _("%s answers; there is no dispatcher to use it") % who)
    elif not one.online:
        words = _("%(who)s answers, but is not used: %(trouble)s") % {
            "who": who, "trouble": said(one.trouble) or _("the dispatcher has not reached it yet"),
        }  # fmt: skip
        advice = _("Its agent must have this cluster's secret and dispy's version.")
        yield Finding("nodes", BAD, words, advice)
    elif one.quarantined:
        words = _("%(who)s is quarantined: %(why)s") % {"who": who, "why": said(one.quarantined)}
        yield Finding("nodes", WARN, words, _("Its page says what was lost; reset it there."))
    else:
        words = _("%s is draining") if one.draining else _("%s is online")
        yield Finding("nodes", OK, words % who)
    if one.skew_seconds is not None and abs(one.skew_seconds) > SKEW_SECONDS:
        words = _("the clock of %(who)s is %(n)+d s off ours") % {
            "who": who, "n": one.skew_seconds,
        }  # fmt: skip
        yield Finding("clock", WARN, words, _("Have it set by NTP."))


def way_back(dispy_host: str, machines: Sequence[Machine]) -> Iterator[Finding]:
    """Nodes call the dispatcher at DISPY_HOST: a loopback address is themselves, to them."""
    away = [one.name for one in machines if not is_loopback(one.address)]
    if away and is_loopback(dispy_host):
        words = _("DISPY_HOST is %(host)s, which %(names)s cannot reach") % {
            "host": dispy_host, "names": ", ".join(away[:5]),
        }  # fmt: skip
        advice = _("Set it to this machine's address on the network.")
        yield Finding("nodes", BAD, words, advice)


def none_known() -> Iterator[Finding]:
    advice = _("Invite one on the page Nodes, or list machines in DISPY_NODES.")
    yield Finding("nodes", WARN, _("there are none"), advice)

"""The ports that we listen on: free, ours, or taken by somebody else?"""

import errno
import socket
from collections.abc import Collection, Iterator
from typing import Any

import psutil
from django.utils.translation import gettext as _

from dispycluster.doctor.finding import BAD, OK, Finding


def cannot_bind(host: str, port: int) -> OSError | None:
    """Why we could not listen there; None where we could."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        return error
    return None


def listener(port: int) -> int | None:
    """The process that listens on the port, as far as we may know."""
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in found:
        place: Any = connection.laddr
        if connection.status == psutil.CONN_LISTEN and connection.pid and place.port == port:
            return connection.pid
    return None


def port(
    what: str, host: str, number: int, setting: str, error: OSError | None, holder: int | None,
    ours: Collection[int],
) -> Iterator[Finding]:  # fmt: skip
    """`holder`: who listens there. `ours`: processes that are meant to; a 0 stands for an unknown
    one that has shown itself to be ours."""
    place = f"{what} {host}:{number}"
    if error is None:
        yield Finding("ports", OK, _("%s is free: it is not running") % place)
    elif error.errno != errno.EADDRINUSE:
        where = "DISPY_HOST" if setting == "DISPY_PORT" else "HOST"
        words = _("cannot listen on %(place)s: %(error)s") % {
            "place": place, "error": error.strerror or error,
        }  # fmt: skip
        yield Finding("ports", BAD, words, _("Check %(a)s and %(b)s.") % {"a": where, "b": setting})
    elif (holder or 0) in ours:
        by = _("process %d") % holder if holder else _("one of ours")
        yield Finding("ports", OK, _("%(place)s is held by %(by)s") % {"place": place, "by": by})
    else:
        by = _("process %d") % holder if holder else _("another program")
        words = _("%(place)s is taken by %(by)s, none of ours") % {"place": place, "by": by}
        yield Finding("ports", BAD, words, _("End that, or set %s to another port.") % setting)

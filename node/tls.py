"""TLS for pycos, which calls what Python 3.12 took away and never asks a client for its
certificate. One certificate is shared by all machines of a cluster and is its own authority."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import pycos


class Tls:
    """Stands in for the module ssl inside pycos; mutual authentication in both directions."""

    def __init__(self, certfile: str) -> None:
        self.certfile = certfile

    def __getattr__(self, name: str) -> Any:
        return getattr(ssl, name)

    def wrap_socket(
        self, sock: Any, keyfile: str | None = None, server_side: bool = False, **options: Any
    ) -> ssl.SSLSocket:
        handshake = options.get("do_handshake_on_connect", True)
        context = make_context(self.certfile, KEYFILES.get(self.certfile, keyfile), server_side)
        return context.wrap_socket(sock, server_side=server_side, do_handshake_on_connect=handshake)

    def create_default_context(self, purpose: Any = None) -> ssl.SSLContext:
        """pycos asks only for accepting; it then loads the certificate chain once more."""
        return make_context(self.certfile, KEYFILES.get(self.certfile), server_side=True)


KEYFILES: dict[str, str | None] = {}  # pycos forgets the key when it connects


@cache
def make_context(certfile: str, keyfile: str | None, server_side: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certfile)
    context.load_cert_chain(certfile, keyfile)
    return context


def apply(certfile: str, keyfile: str | None = None) -> None:
    if keyfile:
        KEYFILES[certfile] = keyfile
    pycos.ssl = Tls(certfile)
    pycos._AsyncSocket._async_accept = accept_plain


accept = pycos._AsyncSocket._async_accept


def accept_plain(self: Any) -> Any:
    """pycos shakes hands before it accepts the next: one silent caller would stop all others."""
    self._certfile = None
    return accept(self)


def handshake(conn: Any, certfile: str, keyfile: str | None) -> Any:
    """The server's half, for the task that serves this connection: to be yielded."""
    context = make_context(certfile, keyfile, server_side=True)
    conn._rsock = context.wrap_socket(conn._rsock, server_side=True, do_handshake_on_connect=False)
    task = pycos.Pycos.cur_task()

    def step() -> None:
        try:
            conn._rsock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # until more comes, or the connection's timeout
        except Exception as error:
            finish()
            task.throw(type(error), error)
        else:
            finish()
            conn._certfile = certfile  # from here on pycos treats it as its own kind
            task._proceed_(None)

    def finish() -> None:
        conn._read_fn = None
        conn._notifier.clear(conn, pycos._AsyncPoller._Read)

    conn._read_task = task
    task._await_()
    conn._read_fn = step
    conn._notifier.add(conn, pycos._AsyncPoller._Read)

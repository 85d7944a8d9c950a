"""TLS for pycos, which calls what Python 3.12 took away and never asks a client for its
certificate. One certificate is shared by all machines of a cluster and is its own authority."""

from __future__ import annotations

import ssl
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

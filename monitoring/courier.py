"""Carries one notice, in a process of its own: python -m monitoring.courier < wish > answer.

A process, so that what hangs can be killed, what Apprise loads (45 MB) is gone afterwards, and
the guard holds for whatever a plugin does: an audit hook sees every connection that Python opens
with the very address it goes to, whatever a name resolved to before and wherever a redirect led.
It knows nothing of the database and of the settings but what the wish says.
"""

import json
import logging
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from monitoring import targets

CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
STARTS = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty",
    "os.startfile", "pty.spawn", "syslog.openlog", "syslog.syslog",
}  # fmt: skip
READABLE = ("/etc/ssl", "/etc/pki", "/etc/mime.types", "/etc/resolv.conf", "/etc/hosts",
            "/usr/share/zoneinfo", "/etc/localtime", "/etc/nsswitch.conf", "/dev/urandom",
            "/dev/null")  # fmt: skip
MODULES = (".py", ".pyc", ".so", ".pem", ".json", ".mo", ".png", ".txt", ".crt")


class Guard:
    """Refuses addresses that are not for notices, programs, and files that are not Python's own."""

    def __init__(self, allow_private: bool, scratch: Path, closed: str) -> None:
        self.allow_private = allow_private
        self.refused: list[str] = []
        self.scratch = str(scratch)
        self.closed = closed and os.path.realpath(closed)  # the home: secrets, the database
        roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, *filter(None, sys.path)}
        self.readable = [os.path.realpath(root) for root in (*roots, *READABLE)]
        self.certificates = [
            os.path.realpath(os.environ[name])
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
            if os.environ.get(name)
        ]

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        if event in CONNECTS:
            self.connecting(values[0], values[1])
        elif event in STARTS:
            self.refuse("it may not start programs")
        elif event == "open" and isinstance(values[0], str | bytes):
            self.opening(os.fsdecode(values[0]), values[1], values[2])

    def connecting(self, sock: socket.socket, address: Any) -> None:
        if address is None:
            return  # sendmsg on what is connected already
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            self.refuse("it may not use local sockets")
        if reason := targets.refusal(str(address[0]), self.allow_private):
            self.refuse(reason)

    def opening(self, path: str, mode: Any, flags: int) -> None:
        real = os.path.realpath(path)
        if within(real, self.scratch) or real == "/dev/null":
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        allowed = real in self.certificates or (
            any(within(real, root) for root in self.readable)
            and (real.endswith(MODULES) or within(real, "/etc") or within(real, "/usr/share"))
        )
        if writes or not allowed or (self.closed and within(real, self.closed)):
            self.refuse("it may not read or write files here")

    def refuse(self, reason: str) -> None:
        if reason not in self.refused:
            self.refused.append(reason)
        raise PermissionError(f"refused: {reason}")


def within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


class Heard(logging.Handler):
    """What Apprise has to say about it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    wish = json.load(sys.stdin)
    # The answer's own way out: whatever a library prints goes nowhere.
    out = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    with tempfile.TemporaryDirectory(prefix="courier-") as scratch:
        os.environ["HOME"] = tempfile.tempdir = scratch
        try:
            error = carry(wish, Path(scratch))
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
    json.dump({"error": error}, out)
    out.close()


def carry(wish: dict[str, Any], scratch: Path) -> str:
    """Do as wished; empty, or why it did not work."""
    if wish["do"] == "mail":
        return mail(wish)
    return by_apprise(wish, scratch)


def mail(wish: dict[str, Any]) -> str:
    """By the operator's own mail server: nobody else has chosen it, so nothing is guarded."""
    from django.conf import settings

    settings.configure(USE_I18N=False, **wish["settings"])
    from django.core.mail import EmailMessage

    message = EmailMessage(wish["title"], wish["body"], to=[wish["address"]])
    try:
        message.send()
    except Exception as failed:
        return f"{type(failed).__name__}: {failed}"
    return ""


def by_apprise(wish: dict[str, Any], scratch: Path) -> str:
    heard = Heard()
    import apprise
    from apprise.logger import logger

    logger.addHandler(heard)
    logger.propagate = False
    # A POST that is redirected would arrive empty; who wants it writes ?redirect=yes.
    asset = apprise.AppriseAsset(
        app_id="DispyCluster", app_desc="DispyCluster", app_url="", image_url_mask="",
        image_url_logo="", async_mode=False, secure_logging=True, plugin_paths=[],
        http_redirects=False,
    )  # fmt: skip
    guard = Guard(wish["allow_private"], scratch, wish["closed"])
    sys.addaudithook(guard)
    try:
        plugin = apprise.Apprise.instantiate(wish["url"], asset=asset)
    except Exception:
        plugin = None
    if not isinstance(plugin, apprise.NotifyBase):
        return "; ".join(guard.refused) or "its URL is not complete, or not of that service"
    if wish["do"] == "check":
        return refused_host(wish["host"], wish["allow_private"])
    worked = apprise.Apprise(plugin, asset=asset).notify(
        body=wish["body"], title=wish["title"], notify_type=wish["level"], body_format="text"
    )
    if guard.refused:
        return "refused: " + "; ".join(guard.refused)
    return "" if worked else (heard.lines[-1] if heard.lines else "the service did not take it")


def refused_host(host: str, allow_private: bool) -> str:
    """Of all the addresses of a name, the first that is not for notices."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return ""  # unknown today: it is asked again whenever something is sent
    refusals = (targets.refusal(str(row[4][0]), allow_private) for row in found)
    return next(filter(None, refusals), "")


if __name__ == "__main__":
    main()

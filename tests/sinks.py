"""Real places for notices to arrive at: a mail server and a web server on free loopback ports.

    with smtp_sink() as mail, http_sink() as web:
        …  # mail.url is smtp://127.0.0.1:port, web.url is http://127.0.0.1:port
        [letter] = mail.wait(1, seconds=5)

Each keeps what arrived, in order, and can be told to refuse or to hang.
"""

import email
import email.policy
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from typing import Any, Generic, TypeVar


@dataclass(frozen=True)
class Letter:
    sender: str
    recipients: list[str]
    message: EmailMessage
    raw: bytes

    @property
    def subject(self) -> str:
        return str(self.message["subject"])

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain", "html"))
        return part.get_content() if part else ""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]  # names in small letters
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Arrival = TypeVar("Arrival")


@dataclass
class Sink(Generic[Arrival]):
    scheme: str
    host: str = "127.0.0.1"
    port: int = 0
    arrived: list[Arrival] = field(default_factory=list)
    connections: int = 0
    refuse: int = 0  # so many of the next arrivals are turned away; negative: all
    hang: bool = False  # take the connection and say nothing
    redirect: str = ""  # http: answer 302 to there
    going: threading.Event = field(default_factory=threading.Event)  # set: the sink goes
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def keep(self, arrival: Arrival) -> None:
        with self.changed:
            self.arrived.append(arrival)
            self.changed.notify_all()

    def connected(self) -> None:
        with self.changed:
            self.connections += 1
            self.changed.notify_all()
        if self.hang:
            self.going.wait()

    def refuses(self) -> bool:
        """Whether this one is turned away; counts it."""
        with self.changed:
            refused = self.refuse != 0
            self.refuse -= self.refuse > 0
            return refused

    def wait(self, count: int, seconds: float = 10) -> list[Arrival]:
        """What arrived, once there are at least so many."""
        self.wait_until(lambda: len(self.arrived) >= count, seconds, f"{count} arrivals")
        return list(self.arrived)

    def wait_connected(self, count: int = 1, seconds: float = 10) -> None:
        self.wait_until(lambda: self.connections >= count, seconds, f"{count} connections")

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise AssertionError(
                    f"{what} not seen within {seconds} s by {self.url}: "
                    f"{len(self.arrived)} arrived, {self.connections} connected"
                )

    def quiet(self, seconds: float) -> bool:
        """Whether nothing more arrives for so long."""
        count, until = len(self.arrived), time.monotonic() + seconds
        with self.changed:
            while (left := until - time.monotonic()) > 0 and len(self.arrived) == count:
                self.changed.wait(left)
            return len(self.arrived) == count


class SMTPHandler(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to hand over a letter."""

    timeout = 30
    sink: Sink[Letter]

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.sink.connected()
        if self.sink.going.is_set():
            return
        self.say("220 sink ready")
        sender, recipients = "", list[str]()
        while line := self.rfile.readline(4096):
            words = line.decode("utf-8", "replace").strip()
            verb = words[:4].upper()
            if verb == "QUIT":
                self.say("221 bye")
                return
            if verb in ("EHLO", "HELO", "RSET", "NOOP"):
                sender, recipients = "", []
                self.say("250 ok")
            elif verb == "MAIL":
                sender = between(words)
                self.say("250 ok")
            elif verb == "RCPT":
                recipients.append(between(words))
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go on, end with a dot")
                raw = self.letter()
                if self.sink.refuses():
                    self.say("451 not now")
                    continue
                message = email.message_from_bytes(raw, policy=email.policy.default)
                self.sink.keep(Letter(sender, recipients, message, raw))
                self.say("250 taken")
            else:
                self.say("502 not here")

    def letter(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


def between(words: str) -> str:
    return words.partition("<")[2].partition(">")[0]


class HTTPHandler(BaseHTTPRequestHandler):
    """Takes whatever is sent, and answers {} with 200."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    sink: Sink[Request]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.sink.connected()
        if self.sink.going.is_set():
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        if self.sink.refuses():
            return self.reply(503)
        self.sink.keep(request)
        return self.reply(302 if self.sink.redirect else 200)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def reply(self, status: int) -> None:
        self.send_response(status)
        if self.sink.redirect:
            self.send_header("Location", self.sink.redirect)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, address: Any) -> None:
        """A client that went away is none of the sink's business."""


@contextmanager
def served(sink: Sink[Any], handler: type[socketserver.BaseRequestHandler]) -> Iterator[None]:
    server = Server((sink.host, sink.port), type("Handler", (handler,), {"sink": sink}))
    sink.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sink.going.set()
        server.shutdown()
        server.server_close()  # waits for nobody: the threads are daemons
        thread.join(5)


@contextmanager
def smtp_sink(host: str = "127.0.0.1", port: int = 0) -> Iterator[Sink[Letter]]:
    sink = Sink[Letter]("smtp", host, port)
    with served(sink, SMTPHandler):
        yield sink


@contextmanager
def http_sink(host: str = "127.0.0.1", port: int = 0) -> Iterator[Sink[Request]]:
    sink = Sink[Request]("http", host, port)
    with served(sink, HTTPHandler):
        yield sink

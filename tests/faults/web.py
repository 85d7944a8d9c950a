"""The web as a real process, and requests to it."""

import http.client
import json
import signal
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

from django.contrib.auth.models import User
from knox.models import AuthToken

from tests.live.fleet import Fleet, free_ports, wait_for


class Web:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.port = free_ports()
        self.token = ""
        self.cookies = CookieJar()  # of a browser

    def sign_in(self, user: User) -> None:
        self.token = AuthToken.objects.create(user)[1]

    def start(self, **environment: str) -> None:
        self.fleet.start(
            "web", "-m", "gunicorn", "-c", "python:dispycluster.web", "dispycluster.wsgi",
            HOST="127.0.0.1", PORT=str(self.port), **environment,
        )  # fmt: skip
        wait_for(self.answers, 15, f"the web\n{self.fleet.logs()}")

    def stop(self) -> None:
        self.fleet.signal("web", signal.SIGKILL)
        self.fleet.processes["web"].wait()

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON where it is some, and the headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            more = {name.replace("_", "-"): value for name, value in headers.items()}
            if self.token:
                more["Authorization"] = f"Bearer {self.token}"
            data = body if body is None or isinstance(body, bytes) else json.dumps(body)
            more.setdefault("Content-Type", "application/json")
            connection.request(method, path, data, more)
            answer = connection.getresponse()
            text = answer.read()
            kind = answer.headers.get_content_type()
            parsed = json.loads(text) if kind == "application/json" else text
            return answer.status, parsed, dict(answer.headers)
        finally:
            connection.close()

    def submit(self, body: dict[str, Any], key: str) -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", "/api/jobs", body, Idempotency_Key=key)

    def upload(self, data: bytes) -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", "/api/files", data, Content_Type="application/octet-stream")

    def sign_in_by_page(self, name: str, password: str) -> None:
        """By the login page, as a browser does."""
        assert self.page("/login")[0] == 200  # it needs collected static files
        mark = next(cookie.value for cookie in self.cookies if "csrf" in cookie.name)
        form = {"username": name, "password": password, "csrfmiddlewaretoken": mark}
        assert self.page("/login", form)[0] == 200
        assert any("csrf" not in cookie.name for cookie in self.cookies), f"{name} is not signed in"

    def page(self, path: str, form: dict[str, Any] | None = None) -> tuple[int, Message]:
        """Status and headers of a page, for a browser that follows redirects."""
        browser = build_opener(HTTPCookieProcessor(self.cookies))
        data = urlencode(form).encode() if form else None
        try:
            with browser.open(f"http://127.0.0.1:{self.port}{path}", data, 60) as answer:
                return answer.status, answer.headers
        except HTTPError as error:
            with error:
                return error.code, error.headers

"""The sinks take what real clients send."""

import smtplib
import urllib.error
import urllib.request

import pytest

from tests.sinks import http_sink, smtp_sink

LETTER = "Subject: Héllo\r\nTo: a@example.org\r\n\r\nOne\r\n.two\r\n"


def test_a_letter_arrives() -> None:
    with smtp_sink() as sink:
        with smtplib.SMTP(sink.host, sink.port, timeout=5) as client:
            client.sendmail("me@example.org", ["a@example.org", "b@example.org"], LETTER.encode())
        [letter] = sink.wait(1)
    assert letter.sender == "me@example.org"
    assert letter.recipients == ["a@example.org", "b@example.org"]
    assert letter.text.split() == ["One", ".two"]


def test_a_letter_is_refused_once() -> None:
    with smtp_sink() as sink, smtplib.SMTP(sink.host, sink.port, timeout=5) as client:
        sink.refuse = 1
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("me@example.org", ["a@example.org"], LETTER.encode())
        client.sendmail("me@example.org", ["a@example.org"], LETTER.encode())
        assert len(sink.wait(1)) == 1


def post(url: str) -> int:
    request = urllib.request.Request(url + "/hook", data=b'{"a": 1}', method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status


def test_a_request_arrives() -> None:
    with http_sink() as sink:
        assert post(sink.url) == 200
        [request] = sink.wait(1)
    assert (request.method, request.path, request.json()) == ("POST", "/hook", {"a": 1})


def test_a_request_is_refused_once() -> None:
    with http_sink() as sink:
        sink.refuse = 1
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(sink.url)
        refused.value.close()
        assert post(sink.url) == 200
        assert len(sink.arrived) == 1 and sink.connections == 2


def test_a_hanging_sink_lets_its_client_wait() -> None:
    with http_sink() as sink:
        sink.hang = True
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(sink.url, timeout=0.3)
        sink.wait_connected(1)
        assert sink.quiet(0.1)

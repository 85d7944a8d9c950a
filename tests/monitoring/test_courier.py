"""What the courier carries and what it refuses, with real sinks and a real process."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from monitoring import carrying
from monitoring.carrying import Notice
from tests.sinks import http_sink, smtp_sink

SECRET = "s3cr3t-t0ken"


def to(url: str, allow_private: bool = True) -> Notice:
    return Notice(url, allow_private, "Warning: pi-3 is down", "Line one\nLine two", "warning")


def json_url(sink: Any, more: str = "") -> str:
    return f"json://{sink.host}:{sink.port}/{SECRET}{more}"


def test_a_webhook_gets_the_notice() -> None:
    with http_sink() as sink:
        assert carrying.send(to(json_url(sink))) == ""
        [request] = sink.wait(1)
    assert request.path == f"/{SECRET}"
    sent = request.json()
    assert (sent["title"], sent["message"], sent["type"]) == (
        "Warning: pi-3 is down", "Line one\nLine two", "warning",
    )  # fmt: skip


def test_a_plain_address_goes_by_the_mail_settings(settings: Any) -> None:
    settings.MAIL_IS_SET = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.DEFAULT_FROM_EMAIL = "cluster@example.org"
    with smtp_sink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT = sink.host, sink.port
        assert carrying.send(to("mailto:ops@example.org", False)) == ""
        [letter] = sink.wait(1)
    assert letter.recipients == ["ops@example.org"] and letter.sender == "cluster@example.org"
    assert letter.subject == "Warning: pi-3 is down" and "Line two" in letter.text


def test_mail_without_a_server_says_so(settings: Any) -> None:
    settings.MAIL_IS_SET = False
    assert "EMAIL_URL" in carrying.send(to("ops@example.org"))


def test_a_server_that_refuses_the_letter_is_told_without_the_address(settings: Any) -> None:
    settings.MAIL_IS_SET = True
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with smtp_sink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, sink.refuse = sink.host, sink.port, -1
        error = carrying.send(to("mailto:operator@example.org"))
    assert "451" in error and "operator" not in error


def test_mail_by_a_server_of_its_own() -> None:
    with smtp_sink() as sink:
        url = f"mailto://{sink.host}:{sink.port}/?from=a@example.org&to=b@example.org&mode=insecure"
        assert carrying.send(to(url)) == ""
        [letter] = sink.wait(1)
        assert letter.recipients == ["b@example.org"]
        assert "loopback" in carrying.send(to(url, allow_private=False))


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
    "10.1.2.3", "192.168.0.9", "172.16.4.4", "100.64.0.1", "224.0.0.1", "240.0.0.1",
    "2130706433", "0x7f.1",
])  # fmt: skip
def test_targets_at_home_are_refused(host: str) -> None:
    with http_sink() as sink:
        error = carrying.send(to(f"json://{host}:{sink.port}/{SECRET}", allow_private=False))
        assert error and SECRET not in error
        assert not sink.arrived and not sink.connections


def test_metadata_services_are_refused_even_where_private_targets_are_allowed() -> None:
    assert "link-local" in carrying.send(to("json://169.254.169.254/latest"))


def test_a_redirect_is_not_followed_unless_asked_for() -> None:
    with http_sink() as sink, http_sink("127.0.0.2") as other:
        sink.redirect = f"{other.url}/elsewhere"
        assert carrying.send(to(json_url(sink))) != ""
        assert not other.connections
        assert carrying.send(to(json_url(sink, "?redirect=yes"))) == ""
        assert len(other.wait(1)) == 1


def test_a_redirect_to_what_is_refused_is_refused() -> None:
    with http_sink() as sink:
        sink.redirect = "http://169.254.169.254/latest"
        assert "link-local" in carrying.send(to(json_url(sink, "?redirect=yes")))


def test_a_target_that_hangs_is_given_up_and_its_courier_ended() -> None:
    with http_sink() as sink:
        sink.hang = True
        begin = time.monotonic()
        error = carrying.send(to(json_url(sink, "?rto=60")), timeout=4)
        assert error == "no answer within 4 s" and time.monotonic() - begin < 8
        assert not carrying.out_now


def test_an_error_holds_nothing_of_the_url() -> None:
    with http_sink() as sink:
        sink.refuse = -1
        error = carrying.send(
            to(f"json://user:{SECRET}@{sink.host}:{sink.port}/{SECRET}?+x={SECRET}")
        )
        assert "503" in error and SECRET not in error and "user" not in error


def test_a_template_may_not_read_files_of_ours(tmp_path: Path) -> None:
    kept = Path(settings.HOME) / "secret_of_ours.json"
    kept.write_text('{"text": "the key"}')
    for path in (kept, Path("/etc/passwd")):
        with http_sink() as sink:
            url = f"workflows://{sink.host}:{sink.port}/abcd/efgh/?template={path}"
            error = carrying.send(to(url))
            assert "files" in error, error
            assert not any(b"the key" in one.body or b"root:" in one.body for one in sink.arrived)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "exec://ls", "syslog://", "dbus://", "windows://", "gnome://", "glib://",
    "macosx://", "https://example.org/x", "nonsense", "", "python://x", "unknown://x",
])  # fmt: skip
def test_other_services_are_refused(url: str) -> None:
    assert "service" in carrying.send(to(url))


def test_what_is_saved_is_checked_first() -> None:
    assert carrying.check("tgram://nonsense", False)
    assert "loopback" in carrying.check(f"json://localhost:9/{SECRET}", False)
    assert carrying.check(f"json://localhost:9/{SECRET}", True) == ""
    assert carrying.check("json://93.184.215.14/x", False) == ""


def test_the_words_of_our_own_errors_are_translated() -> None:
    from django.utils import translation

    with translation.override("en"):
        said = carrying.in_words("refused: 10.0.0.1 is a private address")
        assert said == "refused: 10.0.0.1 is a private address"
        assert carrying.in_words("Failed: 404") == "Failed: 404"

"""What is said of a URL, and where nothing is sent to."""

import pytest

from monitoring import targets
from monitoring.services import KNOWN


@pytest.mark.parametrize(("url", "shown"), [
    ("jsons://user:pass@hook.example.org:8443/tok/en?+x=1", "jsons://hook.example.org/…"),
    ("json://[::1]:80/x", "json://::1/…"),
    ("slack://TokenA/TokenB/TokenC/#c", "slack://…"),
    ("tgram://123456:ABC/42", "tgram://…"),
    ("ntfy://secret-topic", "ntfy://…"),
    ("discord://id/token", "discord://…"),
    ("mailto:somebody@example.org", "mailto:…@example.org"),
    ("somebody@example.org", "mailto:…@example.org"),
    ("mailtos://me:pw@mail.example.org?to=x@y.z", "mailtos://mail.example.org/…"),
    ("json://a<b>c/", "json://…"),
    ("json://user:p@ss@host/x", "json://host/…"),
    ("what is this", "…://…"),
    ("", "…://…"),
])  # fmt: skip
def test_a_url_is_shown_by_schema_and_host_alone(url: str, shown: str) -> None:
    assert targets.masked(url) == shown


def test_messages_lose_whatever_the_url_holds() -> None:
    url = "jsons://us%40er:p%2Fw@hook.example.org/t0ken/abc?key=v4lue"
    said = targets.without_secrets(
        f"POST {url} to hook.example.org failed: us@er p/w p%2Fw t0ken v4lue; "
        "see https://elsewhere.example/t/x?y",
        url,
    )
    for secret in ("us@er", "p/w", "p%2Fw", "t0ken", "v4lue", "abc", "/t/x"):
        assert secret not in said, said
    assert "hook.example.org failed" in said and "https://…" in said


@pytest.mark.parametrize(("address", "kind"), [
    ("8.8.8.8", ""), ("2606:4700::1111", ""), ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"),
    ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"), ("64:ff9b::7f00:1", "loopback"),
    ("2002:7f00:1::", "loopback"), ("::127.0.0.1", "loopback"),
    ("10.0.0.1", "private"), ("172.31.0.1", "private"), ("192.168.1.1", "private"),
    ("100.64.0.1", "private"), ("fd00::1", "private"), ("::ffff:10.0.0.1", "private"),
    ("64:ff9b::a00:1", "private"), ("169.254.169.254", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("224.0.0.1", "multicast"), ("ff02::1", "multicast"), ("0.0.0.0", "reserved"),
    ("::", "reserved"), ("255.255.255.255", "reserved"), ("240.0.0.1", "reserved"),
    ("192.0.2.1", "reserved"), ("198.18.0.1", "reserved"), ("0.1.2.3", "reserved"),
])  # fmt: skip
def test_addresses_are_told_apart(address: str, kind: str) -> None:
    refusal = targets.refusal(address, allow_private=False)
    assert bool(refusal) == bool(kind) and kind in refusal
    allowed = targets.refusal(address, allow_private=True)
    assert bool(allowed) == (kind not in ("", "loopback", "private"))


def test_a_name_is_no_address() -> None:
    assert targets.refusal("localhost", allow_private=True)


def test_no_service_is_known_that_acts_on_this_machine() -> None:
    local = {"dbus", "kde", "qt", "glib", "gio", "gnome", "macosx", "windows", "syslog", "blink1",
             "file", "exec", "rsyslog", "ssh"}  # fmt: skip
    assert not local & KNOWN and len(KNOWN) > 150

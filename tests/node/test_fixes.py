from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dispy
import pytest

from node import fixes, transfer


def test_another_version_of_dispy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispy, "__version__", "4.15.3")
    with pytest.raises(fixes.UnsupportedDispy, match=r"needs dispy 4\.15\.2 .* found 4\.15\.3"):
        fixes.apply()


def test_a_line_that_is_not_where_it_was_is_refused() -> None:
    assert fixes.patch_source("a = 1\n", [("a = 1", "a = 2")]) == "a = 2\n"
    for text in ("b = 1\n", "a = 1\na = 1\n"):
        with pytest.raises(fixes.UnsupportedDispy, match="dispy is not as expected"):
            fixes.patch_source(text, [("a = 1", "a = 2")])


def test_dispynode_is_as_our_patches_expect() -> None:
    from node import dispynode

    module: Any = dispynode.load()
    assert dispynode.make_class(module, Path("work"))


def test_the_length_of_a_message_is_checked_before_it_is_read() -> None:
    pack = fixes.LENGTH.pack
    assert fixes.message_length(pack(5), limit=10) == 5
    assert fixes.message_length(pack(11), limit=10) == 0
    assert fixes.message_length(b"abc", limit=10) == 0


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "sha256-xyz", "", ".", "sha256-" + "A" * 64, "sha256-" + "0" * 65]
)
def test_names_of_files_are_exact(name: str) -> None:
    assert transfer.digest_in(name) is None
    assert transfer.artifact_digest(name) is None


def test_good_names_say_their_digest() -> None:
    assert transfer.digest_in("sha256-" + "0" * 64) == "0" * 64
    assert transfer.artifact_digest(f"17-0-{'f' * 64}") == "f" * 64


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    said: list[bytes] = []
    conn = SimpleNamespace(send_msg=said.append)
    xfer = SimpleNamespace(stat_buf=SimpleNamespace(st_size=11))
    steps = transfer.receive(conn, xfer, tmp_path / "x", "0" * 64, limit=10)
    assert list(steps) == [None]
    assert dispy.deserialize(said[0]) == -1
    assert not list(tmp_path.iterdir())

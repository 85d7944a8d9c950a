"""Tags and addresses: values in, values out."""

from typing import Any

import pytest

from cluster import addresses, condition, tags

PI = {
    "arch": "aarch64", "os": "Debian GNU/Linux 12 (bookworm)", "python": "3.11.2",
    "board": "Raspberry Pi 4 Model B Rev 1.5", "gpu": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("passport", "platform", "found"),
    [
        (
            PI, "Linux-6.6.31+rpt-rpi-v8-aarch64-with-glibc2.36",
            ["arch:aarch64", "os:linux", "os:debian", "py:3.11", "board:raspberry-pi-4"],
        ),
        ({}, "Linux-6.1.0-18-amd64-x86_64-with-glibc2.36", ["arch:x86_64", "os:linux"]),
        ({}, "macOS-14.4-arm64-arm-64bit", ["arch:arm64", "os:macos"]),
        ({"gpu": "NVIDIA T4", "os_id": "nixos"}, "Linux", ["os:linux", "os:nixos", "gpu"]),
        ({"gpu": [{"name": "x"}], "python": "3.13.0rc1"}, "", ["py:3.13", "gpu"]),
        ({"gpu": ["v3d", "vc4"]}, "Linux", ["os:linux"]),  # a display, no more
        ({"gpu": ["i915", "amdgpu"]}, "Linux", ["os:linux", "gpu"]),
        ({}, "", []),
        # A node may say anything.
        (None, "x" * 10_000, []),
        ([1, 2], "\0\n", []),
        ({"arch": ["aarch64"], "os": {}, "python": 3.11, "board": None, "gpu": 0}, "", []),
        ({"arch": "<script>", "python": "3.11\n9", "board": "../../é"}, "", ["py:3.11"]),
        ({"arch": "a" * 500, "python": "9" * 500, "os_id": "a b"}, "Linux", ["os:linux"]),
        ({"arch": "٣", "python": "٣.١"}, "", []),
    ],
)  # fmt: skip
def test_a_passport_makes_tags(passport: Any, platform: str, found: list[str]) -> None:
    assert tags.auto_tags(passport, platform) == found


@pytest.mark.parametrize(
    ("model", "tag"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", "board:raspberry-pi-5"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "board:raspberry-pi-zero-2-w"),
        ("Raspberry Pi 400 Rev 1.1", "board:raspberry-pi-400"),
        ("Raspberry Pi Compute Module 4 Rev 1.0", "board:raspberry-pi-compute-module-4"),
        ("NVIDIA Jetson Orin Nano Developer Kit (8GB)", "board:nvidia-jetson-orin-nano-developer"),
        ("Xunlong Orange Pi 5 Plus", "board:xunlong-orange-pi-5-plus"),
    ],
)
def test_a_board_has_a_short_name(model: str, tag: str) -> None:
    [found] = tags.auto_tags({"board": model}, "")
    assert found == tag[: tags.LONGEST].rstrip("-")


def test_a_persons_tags_are_sorted_and_told_once() -> None:
    assert tags.checked([" ssd", "camera", "ssd", "", "rack:2.b_1-x"]) == [
        "camera", "rack:2.b_1-x", "ssd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["Camera"], "lower case"),
        (["two words"], "lower case"),
        (["é"], "lower case"),
        (["<b>"], "lower case"),
        (["x" * 41], "40 characters"),
        (["arch:arm"], "begin with arch:"),
        (["py:2.7"], "begin with py:"),
        (["os:linux"], "automatically"),
        (["board:x"], "automatically"),
        ([f"t{number}" for number in range(51)], "At most 50"),
    ],
)
def test_other_tags_are_refused_with_the_reason(given: list[str], words: str) -> None:
    with pytest.raises(tags.BadTag, match=words):
        tags.checked(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("192.168.1.14", "192.168.1.14"),
        (" Pi-4.Local. ", "pi-4.local"),
        ("node_7", "node_7"),
        ("::1", "::1"),
        ("FE80:0:0:0:0:0:0:1", "fe80::1"),
    ],
)
def test_an_address_is_kept_in_one_way_of_writing(given: str, kept: str) -> None:
    assert addresses.checked(given) == kept


@pytest.mark.parametrize(
    "given",
    ["", " ", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "10.0.0.256", "10.1", "1234",
     "http://pi", "pi:51348", "pi 4", "-pi", "pi-", "a..b", "x" * 64, "a." * 140 + "b", "pi\n4",
     "fe80::1%eth0", "<script>", "pi/../x", "é"],
)  # fmt: skip
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(addresses.BadAddress):
        addresses.checked(given)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([], []), (["throttled", "under_voltage"], ["under_voltage", "throttled"]),
        (["soft_temperature_limit", "<b>", 3, {}], ["soft_temperature_limit"]),
        (None, None), ("throttled", None), (5, None), (True, None), ({"throttled": 1}, None),
    ],
)  # fmt: skip
def test_what_holds_a_machine_back(said: Any, words: list[str] | None) -> None:
    assert condition.throttled({"throttled": said}) == words


@pytest.mark.parametrize(
    "nonsense", [None, "7", True, float("nan"), float("inf"), 10**400, [], -200]
)
def test_a_figure_that_cannot_be_is_unknown(nonsense: Any) -> None:
    assert condition.number({"temperature": nonsense}, "temperature") is None
    assert condition.number(nonsense, "temperature") is None
    assert condition.number({"temperature": 61.5}, "temperature") == 61.5

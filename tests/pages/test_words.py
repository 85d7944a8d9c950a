"""How values look, and what becomes of control characters and axes. No database."""

import pytest

from jobs import axes, terminal
from jobs.templatetags import show


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), ("", "–"), (0.0004, "0 ms"), (0.0994, "99 ms"), (0.0996, "0.1 s"),
        (9.94, "9.9 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599.7, "1 h 00 min"),
        (7384, "2 h 03 min"), (200_000, "2 d 7 h"), (-3, "0 ms"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    assert show.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_960, "10 kB"), (5e9, "5.0 GB")],
)
def test_sizes(value: int | None, text: str) -> None:
    assert show.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0 %"), (87.6, "88 %"), (99.99, "99 %"), (100, "100 %")]
)
def test_only_everything_is_a_hundred_percent(value: float | None, text: str) -> None:
    assert show.percent(value) == text


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("\x1b[1;31mred\x1b[0m off", '<span class="ansi-31 ansi-bold">red</span> off'),
        ("\x1b[38;5;196mx\x1b[38;2;1;2;3my", "xy"),
        ("10%\r50%\r100%\r", "100%"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link", "alink"),
        ("\x1b[2J\x1b[Hcleared\x00\x07\x08", "cleared"),
        ("a\u202eevil\u2066b", "aevilb"),
        ("\x1b[31m<script>", '<span class="ansi-31">&lt;script&gt;</span>'),
        ("\x1b[", ""),
        ("\x1b[999999999999999999999m\x1b[;;mok", "ok"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(line: str, html: str) -> None:
    assert terminal.as_html(line) == html


def test_a_line_that_is_too_long_says_how_much_is_missing() -> None:
    assert terminal.as_html("x" * 5000).endswith("x … (+1,000)")


def test_axes_as_people_type_them() -> None:
    text = 'seed: 0..500\nstep = 10..0..-2\nsize: 1, 2.5, big\nflag: [true, null]\n\nname: "a,b"'
    assert axes.read(text, "grid") == {
        "seed": {"range": [0, 500]},
        "step": {"range": [10, 0, -2]},
        "size": [1, 2.5, "big"],
        "flag": [True, None],
        "name": ['"a', 'b"'],
    }
    assert axes.read('{"a": 1}\n{"a": 2}', "list") == [{"a": 1}, {"a": 2}]
    for wrong in ("seed", "seed:", "1x: 2", "a: [1"):
        with pytest.raises(axes.BadAxis):
            axes.read(wrong, "grid")
    over = {"seed": {"range": [0, 5]}, "size": [1, "x"]}
    assert axes.read(axes.write(over, "grid"), "grid") == over

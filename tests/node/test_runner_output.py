"""What members write: kept within bounds, counted exactly, told while they run."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from node.output import Stream, whole_length
from node.progress import Progress
from tests.node.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_flood_is_cut_with_exact_totals_and_flat_memory(bench: Bench) -> None:
    line = "echo begin; yes 2>/dev/null | head -c 300000000; echo end; exit 3"
    report = bench.shell(line, output_limit=100_000)
    out = report["stdout"]
    assert out["total"] == 300_000_010
    assert len(out["text"]) == 100_000
    assert out["left_out"] == 300_000_010 - 100_000
    assert out["left_out_at"] == 75_000
    assert out["text"].startswith("begin\ny\n")
    assert out["text"].endswith("y\nend\n")
    assert report["exit_code"] == 3
    assert bench.answer["peak_kb"] < 60_000


def test_both_streams_at_once_are_read_to_the_end(bench: Bench) -> None:
    line = "head -c 5000000 /dev/zero & head -c 4000000 /dev/zero >&2; wait"
    report = bench.shell(line, output_limit=1000)
    assert (report["stdout"]["total"], report["stderr"]["total"]) == (5_000_000, 4_000_000)


def test_bytes_that_are_no_text_come_back_as_they_were(bench: Bench) -> None:
    report = bench.shell(r"printf 'a\377\000\303\251\303'; printf '\303' >&2; exit 1")
    assert report["stdout"]["text"].encode("utf-8", "surrogateescape") == b"a\xff\0\xc3\xa9\xc3"
    assert report["error"] == "exited with status 1: \ufffd"
    json.dumps(report).encode("ascii")


def test_a_report_that_would_not_fit_a_message_keeps_less_output(bench: Bench) -> None:
    line = "head -c 4000000 /dev/zero; head -c 4000000 /dev/zero >&2"
    spec = {"kind": "command", "command": line, "output_limit": 4_000_000}
    reports = bench.run_many(spec, [{}])
    assert len(json.dumps(reports)) < 7_000_000
    out = reports[0]["stdout"]
    assert out["total"] == 4_000_000
    assert out["left_out"] + len(out["text"]) == 4_000_000
    assert len(out["text"]) >= 250_000


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_keeps_its_head_and_tail_whatever_the_chunks(seed: int) -> None:
    dice = random.Random(seed)
    text = "".join(dice.choice("aé€😀\n") for _ in range(dice.randrange(300_000)))
    data = text.encode()
    limit = dice.choice([0, 1, 7, 1000, 100_000, 10_000_000])
    stream, at = Stream(limit), 0
    while at < len(data):
        size = dice.choice([1, 2, 1000, 65536, 200_000])
        stream.add(data[at : at + size])
        at += size
    found = stream.finish()
    kept = found["text"].encode()  # strictly: no character is cut in two
    where = found["left_out_at"]
    assert found["total"] == len(data) == len(kept) + found["left_out"]
    assert len(kept) <= limit
    assert kept[:where] == data[:where]
    assert data.endswith(kept[where:])
    if len(data) <= limit:
        assert found["left_out"] == 0
    else:
        assert len(kept) >= limit - 6


@pytest.mark.parametrize(
    ("data", "length"),
    [(b"", 0), (b"a", 1), (b"\xc3", 0), (b"\xc3\xa9", 2), (b"a\xe2\x82", 1), (b"\x80" * 5, 5)],
)
def test_where_whole_characters_end(data: bytes, length: int) -> None:
    assert whole_length(data) == length


def test_a_short_bundle_says_nothing_before_its_end(bench: Bench) -> None:
    bench.run_many({"kind": "command", "command": ["true"]}, [{}] * 3)
    assert bench.answer["told"] == [] or bench.answer["seconds"][0] > 0.2


def test_a_long_one_tells_what_started_and_ended_and_what_it_writes(bench: Bench) -> None:
    spec = {"kind": "command", "command": "echo {n}; sleep {n}; echo é"}
    reports = bench.run_many(spec, [{"n": 0.3}, {"n": 2.2}])
    told = bench.answer["told"]
    assert {each["bundle"] for each in told} == {7}
    assert [attempt for each in told for attempt in each["started"]] == [100, 101]
    assert [each["attempt"] for t in told for each in t["ended"]] == [100]
    assert told[0]["started"] == [100]
    chunks = [chunk for each in told for chunk in each["output"]]
    assert chunks == [{"attempt": 101, "stream": "stdout", "offset": 0, "text": "2.2\n"}]
    assert [each["stdout"]["text"] for each in reports] == ["0.3\né\n", "2.2\né\n"]
    assert len(told) <= 4


def test_what_was_not_acknowledged_is_told_again(bench: Bench) -> None:
    spec = {"kind": "command", "command": "sleep 0.25"}
    reports = bench.run_many(spec, [{}] * 4, answers=[False, False])
    told = bench.answer["told"]
    assert [each["started"][0] for each in told[:3]] == [100, 100, 100]
    assert 100 in [each["attempt"] for each in told[2]["ended"]]
    for kept in (
        [attempt for each in told[2:] for attempt in each["started"]],
        [report["attempt"] for each in told[2:] for report in each["ended"]],
    ):
        assert kept == list(range(100, 100 + len(kept)))  # from then on each one once
    assert len(reports) == 4


def test_progress_repeats_output_from_the_same_offset_until_it_is_acknowledged() -> None:
    texts: list[str] = []
    answers = iter([False, True, True])

    def report(text: str) -> bool:
        texts.append(text)
        return next(answers)

    progress, out, err = Progress(1, report), Stream(1000), Stream(1000)
    progress.watch(5, out, err)
    for data in (b"one", b"two", b"three"):
        out.add(data)
        progress.tell_at = progress.output_at = 0
        progress.tick()
    chunks = [json.loads(text)["output"][0] for text in texts]
    assert [(each["offset"], each["text"]) for each in chunks] == [
        (0, "one"), (0, "onetwo"), (6, "three"),
    ]  # fmt: skip


def test_a_control_room_that_raises_or_is_slow_is_left_in_peace() -> None:
    def report(text: str) -> bool:
        time.sleep(0.1)
        raise ConnectionError

    progress = Progress(1, report)
    progress.start(5)
    progress.tell_at = 0
    assert progress.tick() > 0.4  # five times what it took, and not just 0.2 s
    assert progress.started == [5]


def test_a_bundle_stops_when_it_holds_more_than_a_message_takes(bench: Bench) -> None:
    spec = {
        "kind": "command",
        "command": "head -c 900000 /dev/urandom | base64 -w0 | head -c 900000",
    }
    [final] = bench.run_bundles(bench.bundle(spec, [{}] * 8))
    assert [each["attempt"] for each in final["ended"]] == [100, 101, 102, 103, 104]
    assert final["not_started"] == [105, 106, 107]

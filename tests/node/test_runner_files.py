"""Input files, and the files a member leaves behind."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path

import pytest

from node import artifacts
from node.runner import run_bundle
from tests.node.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_input_files_are_copies_that_a_job_cannot_change_the_original_by(bench: Bench) -> None:
    digest = bench.keep(b"#!/bin/sh\necho original")
    line = "stat -c %a%h x/run; x/run; rm x/run; echo changed > x/run; cat x/run"
    report = bench.shell(line, files={"x/run": digest})
    assert report["stdout"]["text"] == "5001\noriginal\nchanged\n"
    kept = bench.files / digest.replace(":", "-")
    assert kept.read_bytes() == b"#!/bin/sh\necho original"


def test_a_missing_input_file_fails_the_member(bench: Bench) -> None:
    report = bench.shell("true", files={"in.png": "sha256:" + "0" * 64})
    assert (report["outcome"], report["error_type"]) == ("failed", "missing_file")
    assert report["error"] == "the input file 'in.png' is not on this node"


def test_a_damaged_input_file_fails_the_member(bench: Bench) -> None:
    digest = bench.keep(b"original")
    (bench.files / digest.replace(":", "-")).write_bytes(b"damaged")
    report = bench.shell("true", files={"in.png": digest})
    assert report["error"] == "the input file 'in.png' is damaged on this node"


SELFISH = """
import os
os.remove("script.py")
os.system("ls -A . ..; stat -c %a .")
"""


def test_no_member_finds_what_another_left(bench: Bench) -> None:
    line = "ls -A . ..; stat -c %a .; {do}"
    dos = ["true", "touch .hidden", "chmod 777 .", "true", "echo 1 > $DISPYCLUSTER_RESULT"]
    dos += ["rmdir $PWD", "rmdir $PWD; ln -s / $PWD", "echo > ../beside", "true", "true"]
    bundle = bench.bundle(None, [])
    for number, do in enumerate(dos):
        bundle["specs"][str(number)] = {"kind": "command", "command": line.replace("{do}", do)}
        member = {"attempt": number, "spec": str(number), "args": {}, "job": 1, "number": 1}
        bundle["members"].append(member)
    bundle["specs"]["8"] = {"kind": "script", "source": SELFISH}
    [final] = bench.run_bundles(bundle)
    seen = {report["stdout"]["text"] for report in final["ended"]}
    assert seen == {".:\n\n..:\nscratch\n700\n"}
    assert [report["error"] for report in final["ended"]] == [""] * len(dos)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_to_be_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "No space left on device")

    monkeypatch.setattr("node.runner.Scratch", full)
    bench = Bench(tmp_path)
    text = run_bundle(
        json.dumps(bench.bundle({"kind": "command", "command": ["true"]}, [{}, {}])),
        folder=bench.scratch,
        files=bench.files,
        node="x",
        report=lambda text: True,
        send_file=lambda path, name: True,
    )
    first, second = json.loads(text)["ended"]
    assert (first["outcome"], first["error_type"]) == ("failed", "disk_full")
    assert second["error"] == "the node's disk is full: its folder could not be prepared"


def test_outputs_are_sent_and_listed(bench: Bench) -> None:
    line = "mkdir -p sub/deep; echo a > sub/a.png; echo b > sub/deep/b.png; echo c > c.txt; exit 1"
    report = bench.shell(line, outputs=["**/*.png", "c.txt", "c.*", "none*", "["])
    digest = hashlib.sha256(b"a\n").hexdigest()
    assert [each["name"] for each in report["artifacts"]] == [
        "c.txt",
        "sub/a.png",
        "sub/deep/b.png",
    ]
    assert report["artifacts"][1] == {
        "name": "sub/a.png", "size": 2, "digest": f"sha256:{digest}", "error": "",
    }  # fmt: skip
    assert bench.answer["sent"][f"100-1-{digest}"] == b"a\n".hex()
    assert report["outcome"] == "failed"


def test_nothing_from_outside_of_scratch_is_an_output(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    line = (
        f"ln -s {tmp_path}/secret.txt a.txt; ln -s {tmp_path} dir; ln -s / root; mkfifo p.txt;"
        "ln -s loop.txt loop.txt; ln -s ../result.json r.txt; echo 1 > $DISPYCLUSTER_RESULT;"
        "mkdir d.txt; echo fine > b.txt; ln -s b.txt inside.txt"
    )
    report = bench.shell(line, outputs=["*.txt", "dir/*", "**/secret.txt", "root/etc/passwd"])
    assert [(each["name"], each["error"]) for each in report["artifacts"]] == [
        ("b.txt", ""),
        ("inside.txt", ""),
    ]
    assert report["result"] == "1\n"


@pytest.mark.parametrize("pattern", ["../*", "/etc/passwd", "a/../../x", ""])
def test_a_pattern_that_leaves_scratch_is_refused(bench: Bench, pattern: str) -> None:
    report = bench.shell("true", outputs=[pattern])
    assert (report["outcome"], report["error_type"]) == ("failed", "runner")


def test_too_many_and_too_large_files_are_left_out_in_words(bench: Bench) -> None:
    line = (
        f"truncate -s {artifacts.MAX_BYTES + 1} 000; for i in $(seq -w 1 130); do echo > $i; done"
    )
    listed = bench.shell(line, outputs=["*"])["artifacts"]
    assert (
        listed[0]["error"]
        == "left out: 67,108,865 bytes are more than the 67,108,864 that are kept"
    )
    assert [each["error"] for each in listed[1:100]] == [""] * 99
    assert {each["error"] for each in listed[100:]} == {
        "left out: only 100 files are kept, and 131 match"
    }
    assert len(listed) == 120
    assert len(bench.answer["sent"]) == 99


def test_a_file_that_could_not_be_sent_says_so(bench: Bench) -> None:
    spec = {"kind": "command", "command": "echo > a", "outputs": ["a"]}
    [report] = bench.run_many(spec, [{}], sends=False)
    assert report["artifacts"][0]["error"] == "could not be sent to the control room"
    assert report["outcome"] == "succeeded"


def test_names_that_are_no_text_come_back_too(bench: Bench) -> None:
    report = bench.shell(r"touch $(printf '\377')", outputs=["*"])
    assert report["artifacts"][0]["name"] == "\udcff"


def test_the_script_itself_is_no_output(bench: Bench) -> None:
    report = bench.run(kind="script", source="open('made.py', 'w')", outputs=["*.py"])
    assert [each["name"] for each in report["artifacts"]] == ["made.py"]

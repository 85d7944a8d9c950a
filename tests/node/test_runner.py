"""The three kinds, what a member sees, and how its end is put into words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.runner import run_bundle
from node.spec import fill
from tests.node.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_command_by_words_gets_its_arguments_and_leaves_other_braces_alone(bench: Bench) -> None:
    words = ["printf", "%s|", "{name}", "{print}", "n={n}", "{list}", "{}"]
    args = {"name": "a {n} b", "n": 3, "list": [1, None]}
    report = bench.run(args, kind="command", command=words)
    assert report["stdout"]["text"] == "a {n} b|{print}|n=3|[1, null]|{}|"
    assert report["outcome"] == "succeeded"
    assert (report["attempt"], report["exit_code"], report["signal"]) == (100, 0, None)
    assert report["error"] == report["error_type"] == report["traceback"] == ""
    assert 0 < report["run_seconds"] < 5
    assert report["max_rss_kb"] > 0


def test_a_shell_line_gets_its_arguments_quoted(bench: Bench) -> None:
    args = {"name": "it's; echo hacked > $HOME"}
    report = bench.run(args, kind="command", command="printf %s {name} | tr a-z A-Z; echo ' {x}'")
    assert report["stdout"]["text"] == "IT'S; ECHO HACKED > $HOME {x}\n"


@pytest.mark.parametrize(
    ("text", "filled"),
    [("{a}", "1"), ("{{a}}", "{1}"), ("{ab}{a}", "{a}1"), ("{}", "{}"), ("{a.b}", "dot")],
)
def test_placeholders_are_filled_in_one_go(text: str, filled: str) -> None:
    assert fill(text, {"a": 1, "ab": "{a}", "a.b": "dot"}) == filled


def test_a_script_runs_and_can_import_its_input_files(bench: Bench) -> None:
    files = {"helper.py": bench.keep(b"answer = 42"), "script.py": bench.keep(b"mine")}
    source = "import helper, sys\nprint(helper.answer, open('script.py').read())\nsys.exit(0)"
    report = bench.run(kind="script", source=source, files=files)
    assert report["stderr"]["text"] == ""
    assert report["stdout"]["text"] == "42 mine\n"


def test_what_a_member_sees(bench: Bench) -> None:
    source = """
import json, os, resource, sys
print(json.dumps({
    "env": dict(os.environ), "cwd": os.getcwd(), "mode": os.stat(".").st_mode & 0o777,
    "stdin": sys.stdin.read(), "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "fds": len(os.listdir("/proc/self/fd")), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "blocked": [l for l in open("/proc/self/status") if l.startswith(("SigBlk", "SigIgn"))],
}))
"""
    process = bench.start(
        bench.bundle(
            {"kind": "script", "source": source, "env": {"LANG": "C", "MY": "ü"}}, [{"n": 1}]
        ),
        DISPY_SECRET="do not tell",
    )
    [report] = bench.finish(process)["finals"][0]["ended"]
    seen = json.loads(report["stdout"]["text"])
    env = seen["env"]
    assert "do not tell" not in report["stdout"]["text"]
    assert env["HOME"] == env["TMPDIR"] == seen["cwd"]
    assert seen["cwd"].startswith(str(bench.scratch))
    assert (env["LANG"], env["MY"], env["PYTHONUNBUFFERED"]) == ("C", "ü", "1")
    assert (env["DISPYCLUSTER_JOB"], env["DISPYCLUSTER_ATTEMPT"]) == ("9", "2")
    assert env["DISPYCLUSTER_NODE"] == "pi-4"
    assert json.loads(env["DISPYCLUSTER_ARGS"]) == {"n": 1}
    assert (seen["mode"], seen["stdin"], seen["leads"]) == (0o700, "", True)
    assert seen["fds"] == 4  # the three, and the listing itself
    assert seen["core"] == [0, 0]
    assert seen["blocked"][0].split()[1] == "0" * 16
    ignored = int(seen["blocked"][1].split()[1], 16) & 0x7FFFFFFF  # above are glibc's own
    assert ignored == 1 << 12 | 1 << 24  # SIGPIPE, SIGXFSZ: the script's own Python does that


def test_what_a_program_writes_to_the_result_file_is_the_result(bench: Bench) -> None:
    report = bench.shell("""echo '{"pi": 3.14}' > "$DISPYCLUSTER_RESULT" """, outputs=["*"])
    assert json.loads(report["result"]) == {"pi": 3.14}
    assert report["artifacts"] == []


def test_half_a_character_in_a_result_is_replaced_and_a_whole_one_is_not(bench: Bench) -> None:
    text = r'["\uDCe9", "\ud83d\ude00", "\\ud83d", "é", "\ude00\ud83d\u0041"]'
    report = bench.shell(f"""printf '%s' '{text}' > "$DISPYCLUSTER_RESULT" """)
    assert json.loads(report["result"]) == ["�", "😀", r"\ud83d", "é", "��A"]


@pytest.mark.parametrize(
    ("line", "error_type", "error"),
    [
        ("echo NaN >", "result_not_json", "NaN"),
        ("echo '{\"x\": [-1e999]}' >", "result_not_json", "-1e999 is too large a number"),
        ("printf '[%.0s' $(seq 300) >", "result_not_json", "JSON"),
        ('python3 -c \'print("[" * 300 + "]" * 300)\' >', "result_not_json", "200 deep"),
        ("echo '{' >", "result_not_json", "not JSON"),
        ("printf '\\377' >", "result_not_json", "UTF-8"),
        ("head -c 1000001 /dev/zero >", "result_too_large", "1,000,001 bytes"),
        ("mkfifo", "result_not_json", "not a plain file"),
        ("ln -s /etc/passwd", "result_not_json", "not readable"),
    ],
)
def test_a_bad_result_file_fails_the_member(
    bench: Bench, line: str, error_type: str, error: str
) -> None:
    report = bench.shell(f'touch kept; {line} "$DISPYCLUSTER_RESULT"', outputs=["kept"])
    assert (report["outcome"], report["error_type"]) == ("failed", error_type)
    assert error in report["error"]
    assert report["exit_code"] == 0
    assert [each["name"] for each in report["artifacts"]] == ["kept"]


def test_a_status_other_than_zero_is_a_failure_with_a_hint(bench: Bench) -> None:
    report = bench.shell("echo first >&2; echo 'no such pixel' >&2; echo >&2; exit 3")
    assert (report["outcome"], report["exit_code"], report["error_type"]) == ("failed", 3, "exit")
    assert report["error"] == "exited with status 3: no such pixel"


@pytest.mark.parametrize("name", ["SEGV", "KILL", "USR1"])
def test_a_signal_is_named(bench: Bench, name: str) -> None:
    report = bench.shell(f"kill -{name} $$")
    assert (report["outcome"], report["signal"]) == ("failed", f"SIG{name}")
    assert report["exit_code"] is None
    assert report["error_type"] == "signal"
    assert report["error"].startswith(f"killed by SIG{name}")


def test_an_unknown_program_is_said_to_be_missing(bench: Bench) -> None:
    report = bench.run(kind="command", command=["no-such-program", "x"])
    assert (report["outcome"], report["exit_code"]) == ("failed", 127)
    assert report["error"] == "there is no program 'no-such-program' on this node"


def test_a_file_that_is_no_program_is_said_to_be_none(bench: Bench) -> None:
    files = {"data": bench.keep(b"\0\1\2")}
    report = bench.run(kind="command", command=["./data"], files=files)
    assert report["error"] == "'./data' could not be started: Exec format error"
    assert bench.run(kind="command", command=["/etc"])["error"] == "'/etc' may not be executed"


def test_memory_beyond_the_limit_fails_with_a_hint(bench: Bench) -> None:
    report = bench.run(kind="script", source="x = bytearray(300 << 20)", memory_mb=200)
    words = "exited with status 1: MemoryError (its memory limit is 200 MB)"
    assert report["error"] == words
    assert bench.run(kind="script", source="x = bytearray(99 << 20)", memory_mb=200)["error"] == ""


def test_cpu_time_beyond_the_limit_ends_the_member(bench: Bench) -> None:
    report = bench.shell("while :; do :; done", cpu_seconds=0.5)
    assert report["error"] == "used more than its limit of 0.5 CPU seconds"
    assert 0.5 < report["cpu_seconds"] < 3


def test_arguments_too_large_for_a_program_are_refused_in_words(bench: Bench) -> None:
    report = bench.run({"x": "y" * 200_000}, kind="command", command=["true"])
    assert (report["outcome"], report["error_type"]) == ("failed", "args_too_large")


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {"kind": "magic"},
        {"kind": "command"},
        {"kind": "command", "command": ["true", 3]},
        {"kind": "script", "source": ""},
        {"kind": "function", "function": "a.b"},
        {"kind": "command", "command": ["true"], "timeout_seconds": -1},
        {"kind": "command", "command": ["true"], "env": {"A=B": "c"}},
        {"kind": "command", "command": ["true"], "files": {"../x": "sha256:" + "0" * 64}},
        {"kind": "command", "command": ["true"], "files": {"/x": "sha256:" + "0" * 64}},
        {"kind": "command", "command": ["true"], "files": {"x": "sha256:../../etc/passwd"}},
        {"kind": "command", "command": ["true"], "outputs": ["../*"]},
        {"kind": "command", "command": ["a\0b"]},
    ],
)
def test_a_spec_that_cannot_be_run_fails_its_members_and_only_those(
    bench: Bench, spec: object
) -> None:
    bundle = bench.bundle(spec, [{}])
    bundle["specs"]["13"] = {"kind": "command", "command": ["true"]}
    bundle["members"].append({"attempt": 5, "spec": "13", "args": {}, "job": 1, "number": 1})
    [final] = bench.run_bundles(bundle)
    bad, good = final["ended"]
    assert bad["outcome"] == "failed"
    assert bad["error_type"] in ("runner", "no_start")
    assert bad["error"]
    assert good["outcome"] == "succeeded"


def test_a_text_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        run_bundle(
            "{",
            folder=tmp_path,
            files=tmp_path,
            node="x",
            report=lambda text: True,
            send_file=lambda path, name: True,
        )

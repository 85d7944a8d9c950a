import json
import math
from typing import Any

import pytest

from cluster import canary
from cluster.speed import Measured, speeds


def runs(seconds: float, count: int = 10) -> Measured:
    return Measured(count, math.log(seconds))


def test_a_node_that_takes_half_as_long_is_twice_as_fast() -> None:
    found = speeds({7: {1: runs(1.0), 2: runs(2.0), 3: runs(4.0)}}, {})
    assert {node: round(s.speed, 6) for node, s in found.items()} == {1: 2.0, 2: 1.0, 3: 0.5}
    assert found[1].samples == 10
    assert found[1].evidence == [{"spec": 7, "runs": 10, "seconds": 1.0, "fleet_seconds": 2.0}]


def test_specs_weigh_by_their_runs_and_lengths_do_not_matter() -> None:
    long, short = {1: runs(100, 30), 2: runs(100, 30)}, {1: runs(0.01, 10), 2: runs(0.04, 10)}
    found = speeds({7: long, 8: short}, {})
    assert math.isclose(found[1].speed, 2.0 ** (10 / 40))


def test_the_test_job_decides_only_where_there_is_no_common_work() -> None:
    song = {1: runs(0.1), 2: runs(0.4)}
    assert math.isclose(speeds({7: {1: runs(1)}}, song)[1].speed, 2.0)
    with_work = speeds({7: {1: runs(1.0), 2: runs(1.0)}}, song)
    assert 1.0 < with_work[1].speed < 1.01


def test_a_node_that_shares_no_work_has_no_speed() -> None:
    assert speeds({7: {1: runs(1.0)}, 8: {2: runs(1.0)}}, {1: runs(0.1)}) == {}


def song(**more: Any) -> str:
    result = {"seconds": 0.1, "total": canary.total()}
    ended = {"outcome": "succeeded", "error": "", "result": json.dumps(result), "run_seconds": 0.2}
    return json.dumps({"ended": [{**ended, **more}]})


def test_a_canary_tells_how_long_it_took() -> None:
    assert canary.hear(song()) == canary.Song("", 0.1, 0.2)


def test_the_canarys_source_does_what_is_expected(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPYCLUSTER_RESULT", str(tmp_path / "result"))
    exec(compile(canary.SOURCE, "canary", "exec"), {})
    assert json.loads((tmp_path / "result").read_text())["total"] == canary.total()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "its answer made no sense"),
        ("[]", "its answer made no sense"),
        ("[" * 100_000, "its answer made no sense"),
        ('{"ended": [1]}', "its answer made no sense"),
        (song(outcome="failed", error="no space left"), "no space left"),
        (song(result='{"seconds": 0.1, "total": 5}'), "it calculates wrongly"),
        (song(run_seconds=-1), "its clock makes no sense"),
        (song(run_seconds="x"), "its answer made no sense"),
        (song(result="NaN"), "its answer made no sense"),
    ],
)
def test_a_canary_that_did_not_sing_is_heard(text: str | None, error: str) -> None:
    assert canary.hear(text).error == error

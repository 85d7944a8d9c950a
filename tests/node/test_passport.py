"""What a machine tells of itself, on this one and on the files of a Raspberry Pi."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.engine.desk import plain, read
from node import passport, reading


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("bits", "now", "since"),
    [
        ("0\n", [], []),
        ("50005\n", ["under_voltage", "throttled"], ["under_voltage", "throttled"]),
        ("0x80008\n", ["soft_temperature_limit"], ["soft_temperature_limit"]),
        ("20000\n", [], ["frequency_capped"]),
    ],
)
def test_a_raspberry_pi_tells_that_it_is_throttled(
    tmp_path: Path, bits: str, now: list[str], since: list[str]
) -> None:
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", bits)
    assert reading.throttling(tmp_path) == {"throttled": now, "throttled_since_boot": since}


def test_what_is_not_there_or_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    assert reading.throttling(tmp_path) == {}
    assert reading.temperature(tmp_path) is None
    write(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", "?")
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "no")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "999999999")
    assert reading.throttling(tmp_path) == {}
    assert reading.temperature(tmp_path) is None
    assert "throttled" not in reading.reading(tmp_path)


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "61000\n")
    assert reading.reading(tmp_path)["temperature"] == 61.0


def test_gpus_are_named_where_their_driver_names_them(tmp_path: Path) -> None:
    assert passport.gpus(tmp_path) == []
    write(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information",
          "Model: \t\t NVIDIA GeForce GTX 1080\nIRQ: 30\n")  # fmt: skip
    driver = tmp_path / "sys/bus/platform/drivers/v3d"
    driver.mkdir(parents=True)
    device = tmp_path / "sys/class/drm/renderD128/device"
    device.mkdir(parents=True)
    (device / "driver").symlink_to(driver)
    assert passport.gpus(tmp_path) == ["NVIDIA GeForce GTX 1080", "v3d"]


def test_this_machine_describes_itself_in_values_that_travel() -> None:
    facts = passport.describe()
    assert facts["packages"]["dispy"] == "4.15.2"
    assert {"arch", "os", "python", "cores", "memory_total"} <= facts.keys()
    assert plain(facts) == facts
    assert json.loads(json.dumps(facts)) == facts
    now = reading.reading()
    assert abs(now["clock"] - time.time()) < 5
    assert now["scratch_read_only"] is False


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=30,
)


@given(hostile)
def test_whatever_a_node_says_becomes_json_that_a_database_takes(values: Any) -> None:
    text = json.dumps(plain(values), allow_nan=False)
    text.encode("utf-8")
    assert "\\u0000" not in text


def test_a_node_that_tells_too_much_is_cut_short() -> None:
    found = plain({str(n): {str(m): "x" * 1000 for m in range(200)} for n in range(200)})
    assert len(found) == 60
    assert {len(inner) for inner in found.values()} == {60}
    assert len(found["0"]["0"]) == 300
    assert plain({"a": [1, [2], {"b": 3}, math.nan, "c\0d"], "e": 2**70}) == {"a": [1, "cd"]}


@pytest.mark.parametrize(
    ("off", "skew"), [(0, 0.0), (3600, 3600.0), (-86400, -86400.0), (1e300, 1e9)]
)
def test_a_nodes_clock_is_compared_with_ours(off: float, skew: float) -> None:
    info = SimpleNamespace(reading={"clock": time.time() + off})
    extras = read("a", info).extras
    assert extras["clock_skew_seconds"] == pytest.approx(skew, abs=2)
    assert "clock" not in extras
    assert "clock_skew_seconds" not in read("a", SimpleNamespace(reading={"clock": "x"})).extras

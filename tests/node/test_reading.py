"""How a machine is, by the files of a Raspberry Pi; and that no reading takes long."""

import os
import sys
import time
from pathlib import Path

import pytest

from node.asking import Program, ask_once
from node.reading import Reader, went_read_only
from node.throttling import Throttling, bits_in, words
from tests.node.boards import FIRMWARE_5, MOUNTS, PI_4, PI_5, plant

NOWHERE = ("no-such-program",)


def test_a_raspberry_pi_4_says_how_it_is(tmp_path: Path) -> None:
    said = Reader(tmp_path, plant(tmp_path, PI_4)).read(1.0, 1234.5)
    assert said["clock"] == 1234.5
    assert said["temperature"] == 48.199
    assert (said["cpu_frequency_mhz"], said["cpu_frequency_max_mhz"]) == (600, 1800)
    assert said["throttled"] == said["throttled_since_boot"] == ["under_voltage", "throttled"]
    assert said["memory_total"] > said["load_1"] >= 0


def test_a_raspberry_pi_5_says_how_it_is(tmp_path: Path) -> None:
    said = Reader(tmp_path, plant(tmp_path, PI_5)).read(1.0, 1234.5)
    assert said["temperature"] == 61.7
    assert (said["cpu_frequency_mhz"], said["cpu_frequency_max_mhz"]) == (1500, 2400)
    assert said["throttled"] == ["soft_temperature_limit"]
    assert said["throttled_since_boot"] == [
        "frequency_capped", "throttled", "soft_temperature_limit",
    ]  # fmt: skip


def test_a_reading_follows_what_changes(tmp_path: Path) -> None:
    reader = Reader(tmp_path, plant(tmp_path, PI_4))
    files = {**PI_4, "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n"}
    plant(tmp_path, {**files, "sys/class/thermal/thermal_zone0/temp": "-1000\n"})
    said = reader.read(2.0, 0.0)
    assert (said["throttled"], said["temperature"]) == ([], -1.0)
    assert said["throttled_since_boot"] == ["under_voltage", "throttled"]


def test_what_is_not_there_or_makes_no_sense_is_left_out(tmp_path: Path) -> None:
    unknown = {
        "temperature", "cpu_frequency_mhz", "cpu_frequency_max_mhz", "throttled",
        "throttled_since_boot",
    }  # fmt: skip
    reader = Reader(tmp_path, tmp_path)
    reader.throttling = Throttling(tmp_path, NOWHERE)
    assert unknown.isdisjoint(reader.read(1.0, 0.0))
    nonsense = {
        "sys/class/thermal/thermal_zone0/temp": "no",
        "sys/class/thermal/thermal_zone1/temp": "999999999",
        "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "0",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "<unknown>",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "?",
    }
    assert unknown.isdisjoint(Reader(tmp_path, plant(tmp_path, nonsense)).read(1.0, 0.0))


def test_the_hottest_zone_and_the_fastest_cores_count(tmp_path: Path) -> None:
    cores = "sys/devices/system/cpu/cpufreq/policy4"
    more = {
        "sys/class/thermal/thermal_zone1/temp": "61000\n",
        f"{cores}/cpuinfo_max_freq": "2208000\n",
        f"{cores}/scaling_cur_freq": "408000\n",
    }
    said = Reader(tmp_path, plant(tmp_path, {**PI_4, **more})).read(1.0, 0.0)
    assert said["temperature"] == 61.0
    assert (said["cpu_frequency_mhz"], said["cpu_frequency_max_mhz"]) == (408, 2208)


# The scratch folder's disk


@pytest.mark.parametrize(
    ("options", "is_so"),
    [
        ("rw", False),
        ("rw,errors=remount-ro", False),
        ("ro", True),
        ("ro,errors=remount-ro", True),
        ("rw,emergency_ro,errors=remount-ro", True),  # newer kernels
    ],
)
def test_a_file_system_that_went_read_only_is_found(options: str, is_so: bool) -> None:
    assert went_read_only(MOUNTS.format(options=options).splitlines(), "179:2") is is_so


def test_mounts_of_others_do_not_count() -> None:
    lines = ["", "broken", *MOUNTS.format(options="ro").splitlines()]
    assert not went_read_only(lines, "179:1")
    assert not went_read_only(lines, "0:30")  # mounted so on purpose
    assert not went_read_only(lines, "8:1")


def test_the_scratch_folder_says_when_its_card_fails(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    mounts = {
        name: {"proc/self/mountinfo": MOUNTS.format(options=name).replace("179:2", device)}
        for name in ("rw", "ro")
    }
    reader = Reader(tmp_path, plant(tmp_path, mounts["rw"]))
    assert reader.read(1.0, 0.0)["scratch_read_only"] is False
    plant(tmp_path, mounts["ro"])
    assert reader.read(12.0, 0.0)["scratch_read_only"] is True
    assert reader.read(12.0, 0.0)["disk_total"] > 0
    missing = Reader(tmp_path / "missing", tmp_path).read(1.0, 0.0)
    assert missing.keys().isdisjoint({"scratch_read_only", "disk_total"})


# Raspberry Pis whose kernel does not say


def script(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "vcgencmd").write_text(f"#!{sys.executable}\n{text}\n")
    (folder / "vcgencmd").chmod(0o755)
    return (str(folder / "vcgencmd"), "get_throttled")


def until_ended(program: Program, now: float) -> str | None:
    deadline = time.monotonic() + 10
    said = program.answer(now)
    while program.process and time.monotonic() < deadline:
        said = program.answer(now)
        time.sleep(0.01)
    assert not program.process
    return said


def test_vcgencmd_is_asked_where_there_is_no_file(tmp_path: Path) -> None:
    command = script(tmp_path, "print('throttled=0x50000')")
    throttling = Throttling(tmp_path, command)
    assert throttling.read(1.0) == {}  # it has not answered yet
    assert throttling.program
    until_ended(throttling.program, 1.0)
    since = ["under_voltage", "throttled"]
    assert throttling.read(2.0) == {"throttled": [], "throttled_since_boot": since}
    plant(tmp_path, {f"{FIRMWARE_5}/get_throttled": "0\n"})
    assert Throttling(tmp_path, command).program is None
    assert Throttling(tmp_path / "nothing", NOWHERE).program is None


def test_a_program_is_asked_once_a_minute(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = Program(script(tmp_path, f"open({str(log)!r}, 'a').write('x'); print('x')"))
    for now in (0.0, 1.0, 30.0, 59.0, 60.0, 61.0, 119.0):
        assert until_ended(program, now) == "x\n"
    assert log.read_text() == "xx"


@pytest.mark.parametrize("text", ["import sys; print('throttled=0x0'); sys.exit(1)", "print()"])
def test_a_program_that_fails_is_not_believed(tmp_path: Path, text: str) -> None:
    throttling = Throttling(tmp_path, script(tmp_path, text))
    assert throttling.program
    until_ended(throttling.program, 0.0)
    assert throttling.read(1.0) == {}


def test_an_answer_is_not_kept_after_a_failure(tmp_path: Path) -> None:
    program = Program(script(tmp_path, "print('x')"))
    assert until_ended(program, 0.0) == "x\n"
    (tmp_path / "vcgencmd").unlink()
    assert until_ended(program, 60.0) is None


@pytest.mark.parametrize("text", ["import time; time.sleep(600)", "while True: print('x' * 999)"])
def test_nobody_waits_for_a_program_that_hangs(tmp_path: Path, text: str) -> None:
    program = Program(script(tmp_path, text))
    started = time.monotonic()
    assert program.answer(0.0) is None
    for now in range(10):
        assert program.answer(now) is None
    assert time.monotonic() - started < 0.5
    assert until_ended(program, 11.0) is None
    assert program.answer(59.0) is None
    assert not program.process  # not asked again before its time


def test_one_that_leaves_its_output_open_is_not_waited_for(tmp_path: Path) -> None:
    text = "import os, time\nif os.fork() == 0: time.sleep(3); os._exit(0)"
    started = time.monotonic()
    assert until_ended(Program(script(tmp_path, text)), 0.0) == ""
    assert time.monotonic() - started < 2


def test_asked_once_a_program_has_so_long_and_no_longer(tmp_path: Path) -> None:
    assert ask_once(script(tmp_path, "print('a card')"), 5) == "a card\n"
    assert ask_once(NOWHERE, 5) == ""
    started = time.monotonic()
    assert ask_once(script(tmp_path, "import time; time.sleep(60)"), 0.2) == ""
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0\n", 0), ("0x80008\n", 0x80008), ("throttled=0x50005\n", 0x50005), ("50005\n", 0x50005),
     ("", None), ("throttled=", None), ("-1", None), ("f" * 9, None), ("error=1", None)],
)  # fmt: skip
def test_the_bits_are_read_as_either_says_them(text: str, bits: int | None) -> None:
    assert bits_in(text) == bits


def test_each_bit_has_its_word() -> None:
    assert [words(1 << bit) for bit in range(5)] == [
        ["under_voltage"], ["frequency_capped"], ["throttled"], ["soft_temperature_limit"], [],
    ]  # fmt: skip

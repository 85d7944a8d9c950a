"""What a machine tells of itself, on this one and by the files of others."""

import json
import os
from pathlib import Path

import pytest

from cluster.engine.hearsay import plain
from node import equipment, passport
from tests.node.boards import PI_4, PI_5, plant

X86 = "model name\t: Intel(R) N100\nflags\t\t: fpu vme sse2{more} ht\nmodel name\t: another\n"


@pytest.mark.parametrize(
    ("files", "board", "cpu", "megahertz"),
    [
        (PI_4, "Raspberry Pi 4 Model B Rev 1.5", "Cortex-A72", 1800),
        (PI_5, "Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76", 2400),
    ],
)
def test_a_raspberry_pi_knows_what_it_is(
    tmp_path: Path, files: dict[str, str], board: str, cpu: str, megahertz: int
) -> None:
    facts = passport.describe(plant(tmp_path, files))
    assert (facts["board"], facts["cpu_model"]) == (board, cpu)
    assert facts["cpu_frequency_max_mhz"] == megahertz
    assert (facts["os"], facts["os_id"]) == ("Debian GNU/Linux 12 (bookworm)", "debian")
    assert facts.keys().isdisjoint({"gpu", "container", "virtual"})


def test_what_cannot_be_told_is_left_out(tmp_path: Path) -> None:
    facts = passport.describe(tmp_path)
    assert facts.keys().isdisjoint({
        "board", "cpu_model", "cpu_frequency_max_mhz", "os_id", "gpu", "container", "virtual",
    })  # fmt: skip
    assert not {None, ""}.intersection(map(str, facts.values()))


@pytest.mark.parametrize(
    ("files", "container", "virtual"),
    [
        ({"proc/cpuinfo": X86.format(more="")}, "", ""),
        ({"proc/cpuinfo": X86.format(more=" hypervisor")}, "", "unknown"),
        ({".dockerenv": ""}, "docker", ""),
        ({"run/.containerenv": ""}, "podman", ""),
        ({"run/systemd/container": "lxc\n"}, "lxc", ""),
        ({"proc/1/cgroup": "11:cpu:/kubepods/pod1\n"}, "kubernetes", ""),
        ({"proc/1/cgroup": "0::/init.scope\n"}, "", ""),
        ({"proc/sys/kernel/osrelease": "5.15.1-microsoft-standard-WSL2\n"}, "", "wsl"),
        ({"sys/hypervisor/type": "xen\n"}, "", "xen"),
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "", "qemu"),
        ({"sys/class/dmi/id/product_name": "VirtualBox\n"}, "", "virtualbox"),
        ({"sys/class/dmi/id/sys_vendor": "Google\n", "proc/cpuinfo": X86.format(more="")}, "", ""),
    ],
)
def test_containers_and_virtual_machines(
    tmp_path: Path, files: dict[str, str], container: str, virtual: str
) -> None:
    facts = passport.describe(plant(tmp_path, files))
    assert (facts.get("container", ""), facts.get("virtual", "")) == (container, virtual)


def test_gpus_are_named_where_their_driver_names_them(tmp_path: Path) -> None:
    assert equipment.gpus(tmp_path) == []
    card = "Model: \t\t NVIDIA GeForce GTX 1080\nIRQ: 30\n"
    plant(tmp_path, {"proc/driver/nvidia/gpus/0000:01:00.0/information": card})
    for number, driver in enumerate(("v3d", "nvidia"), start=128):
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        device = tmp_path / f"sys/class/drm/renderD{number}/device"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(tmp_path / "drivers" / driver)
    assert equipment.gpus(tmp_path) == ["NVIDIA GeForce GTX 1080", "v3d"]


def test_programs_are_those_that_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, {"ffmpeg": "", "git": ""})
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert equipment.programs() == ["ffmpeg"]


def test_this_machine_describes_itself_in_values_that_travel() -> None:
    facts = passport.describe()
    assert facts["packages"]["dispy"] == "4.15.2"
    assert {"agent", "arch", "kernel", "python", "python_implementation"} <= facts.keys()
    assert facts["cores"] == os.cpu_count()
    assert plain(facts) == facts
    assert plain(json.dumps(facts)) == facts

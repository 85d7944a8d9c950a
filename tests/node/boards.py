"""What Raspberry Pis (and others) have in their files, as far as we read them."""

from pathlib import Path

CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 3

Revision\t: {revision}
Serial\t\t: 100000001a2b3c4d
Model\t\t: {model}
"""
DEBIAN = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
ID=debian
HOME_URL="https://www.debian.org/"
"""
PI_4 = {
    "etc/os-release": DEBIAN,
    "proc/cpuinfo": CPUINFO.format(
        part="0xd08", revision="c03115", model="Raspberry Pi 4 Model B Rev 1.5"
    ),
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48199\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "1800000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "600000\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
FIRMWARE_5 = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware"
PI_5 = {
    "etc/os-release": DEBIAN,
    "proc/cpuinfo": CPUINFO.format(
        part="0xd0b", revision="c04170", model="Raspberry Pi 5 Model B Rev 1.0"
    ),
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61700\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000\n",
    f"{FIRMWARE_5}/get_throttled": "e0008\n",
}
MOUNTS = """21 27 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 {options}
30 27 179:1 / /boot/firmware rw,relatime shared:29 - vfat /dev/mmcblk0p1 rw,fmask=0022,errors=remount-ro
31 27 0:30 / /run/credentials/x ro,nosuid shared:30 - ramfs none rw,mode=700
"""  # noqa: E501


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root

"""The packages of the agent as wheels, so that a node needs no Internet.

Those for machines like this one are made anew from what is installed here, in a moment and
without a network. For others `manage.py wheels` fetches them into the same folder.
"""

import base64
import csv
import hashlib
import io
import re
import secrets
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from django.conf import settings

from cluster.joining.parcels import pack

PACKAGES = ("dispy", "pycos", "psutil")
NOT_IN_WHEELS = ("INSTALLER", "REQUESTED", "direct_url.json")
OLDEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class NoWheel(Exception):
    """It cannot be made from what is installed: why."""


def folder() -> Path:
    return Path(settings.HOME) / "wheels"


def pins() -> dict[str, tuple[str, list[str]]]:
    """Version and allowed hashes of each package, as requirements.txt has them."""
    text = (settings.BASE_DIR / "requirements.txt").read_text()
    found = {}
    for name in PACKAGES:
        match = re.search(rf"^{name}==(\S+)((?:\s+\\\n\s+--hash=\S+)+)", text, re.MULTILINE)
        if match:
            found[name] = (match[1], re.findall(r"--hash=(\S+)", match[2]))
    return found


def stored() -> list[Path]:
    """The wheels at hand of the versions that we pin, in order of their names."""
    wanted = {(name, version) for name, (version, _) in pins().items()}
    found = sorted(folder().glob("*.whl"))
    return [path for path in found if tuple(path.name.lower().split("-")[:2]) in wanted]


def make_missing() -> list[str]:
    """Wheels of what is installed here, where they are not at hand. Returns what could not be."""
    trouble = []
    folder().mkdir(mode=0o700, exist_ok=True)
    for name, (version, _) in pins().items():
        try:
            installed = distribution(name)
            if installed.version != version:
                raise NoWheel(f"{name} {installed.version} is installed, not {version}")
            if not (folder() / filename(installed)).exists():
                write(folder() / filename(installed), wheel(installed))
        except PackageNotFoundError:
            trouble.append(f"{name} is not installed")
        except (NoWheel, OSError) as error:
            trouble.append(str(error))
    return trouble


def archive() -> bytes:
    """All wheels at hand and the requirements that go with them, as one tar."""
    make_missing()
    files = {path.name: path.read_bytes() for path in stored()}
    files["requirements.txt"] = requirements(files).encode()
    return pack(files)


def requirements(wheels: dict[str, bytes]) -> str:
    """Our pins, each also satisfied by the wheels that we serve."""
    lines = []
    for name, (version, hashes) in pins().items():
        ours = [
            f"sha256:{hashlib.sha256(data).hexdigest()}"
            for file, data in wheels.items()
            if file.lower().startswith(f"{name}-{version}-")
        ]
        allowed = " ".join(f"--hash={digest}" for digest in dict.fromkeys([*hashes, *ours]))
        lines.append(f"{name}=={version} {allowed}\n")
    return "".join(lines)


def filename(installed: Distribution) -> str:
    """As the wheel was called that it was installed from."""
    tags = re.findall(r"^Tag: (\S+)$", installed.read_text("WHEEL") or "", re.MULTILINE)
    if not tags:
        raise NoWheel(f"{installed.name} was not installed from a wheel")
    parts = zip(*(tag.split("-") for tag in tags), strict=True)
    joined = "-".join(".".join(sorted(set(part))) for part in parts)
    return f"{installed.name}-{installed.version}-{joined}.whl"


def wheel(installed: Distribution) -> bytes:
    """The installed files as a wheel again; each must still be what its record says."""
    files: dict[str, bytes] = {}
    info = f"{installed.name}-{installed.version}.dist-info"
    for path in installed.files or []:
        name = path.as_posix()
        if path.hash is None or name.startswith("..") or name.endswith(".pyc"):
            continue  # bytecode, commands in bin/, the record itself
        if name.startswith(f"{info}/") and path.name in (
            "INSTALLER",
            "REQUESTED",
            "direct_url.json",
        ):
            continue
        data = path.read_binary()
        if record_hash(data) != path.hash.value or path.hash.mode != "sha256":
            raise NoWheel(f"{name} was changed after its installation")
        files[name] = data
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, OLDEST_ZIP_DATE)
            zipped.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return made.getvalue()


def record(files: dict[str, bytes], own_name: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name in sorted(files):
        rows.writerow([name, f"sha256={record_hash(files[name])}", len(files[name])])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()


def record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.write_bytes(data)
    draft.replace(path)


def fetch(machine: str, python: str, index: str = "") -> None:
    """Download what is not pure Python for another kind of machine. Raises NoWheel.

    From another index than pip's own it may be a file that our pins do not know: piwheels.
    """
    version, hashes = pins()["psutil"]
    digests = "" if index else " ".join(f"--hash={digest}" for digest in hashes)
    folder().mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(f"psutil=={version} {digests}\n")
        wanted.flush()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder())]
        target = [f"--python-version={python}", *(f"--platform={tag}" for tag in tags_of(machine))]
        where = [f"--index-url={index}"] if index else []
        command = [*pip, *options, *target, *where, "-r", wanted.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise NoWheel(f"psutil for {machine}: {lines[-1]}")


def tags_of(machine: str) -> list[str]:
    """What wheels for it are called; the C library of most machines is younger than 2.17."""
    old = [f"manylinux2014_{machine}", f"manylinux_2_17_{machine}", f"manylinux_2_28_{machine}"]
    return [*old, f"linux_{machine}"]

"""The script, and the parcels that it fetches."""

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from cluster.joining import invitations, parcels, script, wheels
from tests.cluster.joining.words import NOW

SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_sound(chief: User, tmp_path: Path, shell: str, settings: Any) -> None:
    settings.DISPY_HOST = "10.0.0.1; rm -rf /"
    made, token = invitations.invite(chief, NOW, name="pi-9", slots=3)
    text = script.text(made, "http://control:8085", token)
    assert not re.search("@[A-Z_]+@", text)  # every blank is filled in
    assert "dispatcher='10.0.0.1; rm -rf /'\n" in text
    assert f"url=http://control:8085/join/{token}\n" in text
    assert "invited_name=pi-9\ninvited_slots=3\n" in text
    path = tmp_path / "join.sh"
    path.write_text(text)
    words = [shell, "sh"] if shell == "busybox" else [shell]
    done = subprocess.run([*words, "-n", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert text.rstrip().endswith('main "$@" < /dev/null')  # half of it does nothing


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_the_script_pleases_shellcheck(chief: User, tmp_path: Path) -> None:
    made, token = invitations.invite(chief, NOW)
    path = tmp_path / "join.sh"
    path.write_text(script.text(made, "http://control:8085", token))
    done = subprocess.run(["shellcheck", "-s", "sh", str(path)], capture_output=True, text=True)
    assert done.stdout == ""


def test_an_old_python_is_named_before_anything_is_made(chief: User, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\ncase $2 in *print*) echo 3.9.2 ;; *) exit 1 ;; esac\n")
    old.chmod(0o755)
    for name in ("curl", "python3.13", "python3.12", "python3.11"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    made, token = invitations.invite(chief, NOW)
    path = tmp_path / "join.sh"
    path.write_text(script.text(made, "http://control:8085", token))
    found = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["sh", str(path)], capture_output=True, text=True, env=found)
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed; found: 3.9.2" in done.stderr
    assert not (tmp_path / ".local").exists()


def test_equal_source_makes_an_equal_parcel() -> None:
    data = parcels.agent()
    parcels.agent.cache_clear()
    assert parcels.agent() == data
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    assert "node/agent.py" in names and "node/runner.py" in names
    assert all(name.startswith("node/") and name.endswith(".py") for name in names)


def test_the_certificate_goes_with_the_secret(tmp_path: Path, settings: Any) -> None:
    for name in ("CERT", "KEY"):
        (tmp_path / name).write_text(name)
        setattr(settings, f"DISPY_{name}FILE", str(tmp_path / name))
    with tarfile.open(fileobj=io.BytesIO(parcels.secrets())) as archive:
        assert {entry.name: entry.mode for entry in archive} == {
            "secret": 0o600, "cert.pem": 0o600, "key.pem": 0o600,
        }  # fmt: skip


def test_wheels_are_made_from_what_is_installed(tmp_path: Path, settings: Any) -> None:
    settings.HOME = tmp_path
    assert wheels.make_missing() == []
    names = [path.name.split("-")[0] for path in wheels.stored()]
    assert names == ["dispy", "psutil", "pycos"]
    with tarfile.open(fileobj=io.BytesIO(wheels.archive())) as archive:
        files = archive.getnames()
    assert files[-1] == "requirements.txt" and len(files) == 4
    assert wheels.archive() == wheels.archive()
    (tmp_path / "wheels" / "dispy-4.14.0-py3-none-any.whl").write_bytes(b"an old one")
    assert len(wheels.stored()) == 3


def test_a_package_that_somebody_changed_makes_no_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    settings.HOME = tmp_path
    monkeypatch.setattr(wheels, "record_hash", lambda data: "something else")
    trouble = wheels.make_missing()
    assert len(trouble) == 3 and "was changed after its installation" in trouble[0]
    assert wheels.stored() == []
    with tarfile.open(fileobj=io.BytesIO(wheels.archive())) as archive:
        assert archive.getnames() == ["requirements.txt"]  # the index has to help

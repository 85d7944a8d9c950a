"""Each check of the doctor in its good state and in its bad ones; the whole changes nothing."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone, translation

from cluster.models import Node
from dispycluster.doctor import (
    database,
    environment,
    examine,
    machines,
    place,
    ports,
    processes,
    software,
)
from dispycluster.doctor.finding import Finding, guarded
from dispycluster.doctor.machines import Machine
from dispycluster.doctor.processes import Beat
from tests.factories import hold_lease, make_node
from tests.live.fleet import free_ports

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = os.getuid()


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


def brief(found: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and words; whatever is not good comes with advice."""
    listed = list(found)
    assert all(finding.words for finding in listed)
    assert all(finding.advice for finding in listed if finding.level != "ok")
    return [(finding.level, finding.words) for finding in listed]


def levels(found: Iterable[Finding]) -> list[str]:
    return [level for level, _words in brief(found)]


# The settings


def test_every_setting_of_the_readme_is_known() -> None:
    table = (ROOT / "README.md").read_text().split("## Settings")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in row.replace("`", "").replace(",", " ").split()}
    assert len(named) > 15
    assert named <= environment.known_variables()


def test_names_that_are_nearly_ours_are_asked_about() -> None:
    known = environment.known_variables()
    fine = {"DISPY_NODES": "a", "DISPYCLUSTER_HOME": "/x", "PATH": "/bin", "HOSTNAME": "me",
            "LS_COLORS": "", "DATABASE_URL": "sqlite:///x", "DISPLAY": ":0"}  # fmt: skip
    assert brief(environment.names(fine, known)) == []
    wrong = {"DISPY_NODE": "a", "DISPYCLUSTER_HOMES": "/x", "RETENTION_DAY": "3", "DISPY_QQ": ""}
    found = list(environment.names(wrong, known))
    assert [(f.level, f.words.split()[0], f.advice) for f in found] == [
        ("warn", "DISPYCLUSTER_HOMES", "Did you mean DISPYCLUSTER_HOME?"),
        ("warn", "DISPY_NODE", "Did you mean DISPY_NODES?"),
        ("warn", "DISPY_QQ", "Take it out."),
        ("warn", "RETENTION_DAY", "Did you mean RETENTION_DAYS?"),
    ]


def test_every_wrong_value_is_named_not_the_first_only(tmp_path: Path) -> None:
    kinds = environment.settings_variables()
    fine = {"PORT": "9000", "DEBUG": "true", "TZ": "Europe/Paris", "HOST": "0.0.0.0"}
    assert brief(environment.values(fine, kinds)) == []
    wrong = {"PORT": "abc", "RETENTION_DAYS": "-1", "DISPY_LOGLEVEL": "loud", "DEBUG": "yess",
             "DATABASE_URL": "mysql://x", "TZ": "Mars"}  # fmt: skip
    found = brief(environment.values(wrong, kinds))
    assert len(found) == 6
    assert {words.split()[0] for level, words in found if level == "bad"} == {
        "PORT", "RETENTION_DAYS", "DISPY_LOGLEVEL", "DATABASE_URL", "TZ",
    }  # fmt: skip
    assert ("warn", "DEBUG is 'yess', which counts as no") in found


def test_asking_the_settings_makes_nothing(tmp_path: Path) -> None:
    from dispycluster import home

    before = dict(os.environ), home.home_folder
    assert environment.refusal({"DISPYCLUSTER_HOME": str(tmp_path / "not-there")}) == ""
    assert list(tmp_path.iterdir()) == []
    assert (dict(os.environ), home.home_folder) == before


def test_what_is_open_to_the_network() -> None:
    assert brief(environment.exposure(True, "127.0.0.1", "127.0.0.1", False)) == []
    assert brief(environment.exposure(False, "0.0.0.0", "10.0.0.1", True)) == []
    assert levels(environment.exposure(True, "0.0.0.0", "10.0.0.1", False)) == ["bad", "warn"]


# The home and its secrets


def test_a_home_is_ours_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert levels(place.folder(home, UID)) == ["warn"]  # not yet there
    home.mkdir(mode=0o700)
    assert brief(place.folder(home, UID)) == [("ok", str(home))]
    assert "belongs to user" in brief(place.folder(home, UID + 1))[0][1]
    home.chmod(0o755)
    [finding] = place.folder(home, UID)
    assert (finding.level, finding.advice) == ("bad", f"chmod 700 {home}")
    (tmp_path / "file").touch()
    assert levels(place.folder(tmp_path / "file", UID)) == ["bad"]


def test_a_home_that_we_cannot_write_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot write" in brief(place.folder(tmp_path, UID))[0][1]


def test_the_disk_has_room_and_locks(tmp_path: Path) -> None:
    assert levels(place.space(10**11)) == ["ok"]
    assert levels(place.space(10**8)) == ["warn"]
    assert levels(place.space(10**6)) == ["bad"]
    assert brief(place.filesystem("ext4", True, tmp_path)) == []
    assert brief(place.filesystem("nfs4", False, tmp_path)) == []
    assert levels(place.filesystem("nfs4", True, tmp_path)) == ["bad"]


def test_secrets_are_private_and_long(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert levels(place.secrets(folder, UID)) == ["warn"]
    folder.mkdir()
    (folder / "dispy_secret").write_text("s" * 64)
    (folder / "dispy_secret").chmod(0o600)
    assert brief(place.secrets(folder, UID)) == [("ok", "1 file, readable by us alone")]
    (folder / "dispy_secret").chmod(0o640)
    (folder / "secret_key").write_text("short")
    (folder / "secret_key").chmod(0o600)
    found = brief(place.secrets(folder, UID))
    assert [level for level, _ in found] == ["bad", "bad"]
    assert "mode 0640" in found[0][1] and "5 characters" in found[1][1]


# The database


@pytest.mark.django_db
def test_a_database_that_answers_and_is_whole() -> None:
    file = Path(connection.settings_dict["NAME"]) if connection.vendor == "sqlite" else None
    assert levels(database.reachable(connection, file)) == ["ok"]
    assert database.unapplied(connection) == ([], True)
    if file:
        assert brief(database.whole(connection)) == []


class Broken:
    """A connection to a database that is away, or says what it is told to."""

    def __init__(self, error: str = "", *answers: Any) -> None:
        self.error, self.answers = error, iter(answers)

    def ensure_connection(self) -> None:
        if self.error:
            raise OperationalError(self.error)

    def cursor(self) -> "Broken":
        return self

    def __enter__(self) -> "Broken":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def execute(self, statement: str) -> None:
        self.statement = statement

    def fetchone(self) -> Any:
        return next(self.answers)

    fetchall = fetchone


def test_a_database_that_is_away_damaged_or_empty(tmp_path: Path) -> None:
    away = Broken("connection refused\n\tIs it running?")
    assert brief(database.reachable(away, None)) == [
        ("bad", "does not answer: connection refused Is it running?")
    ]
    assert levels(database.reachable(away, tmp_path / "none")) == ["warn"]
    assert not (tmp_path / "none").exists()
    damaged = Broken("", [("row 3 missing",)], ("delete",))
    assert levels(database.whole(damaged)) == ["bad", "warn"]
    assert brief(database.migrated([], True)) == []
    assert levels(database.migrated(["jobs.0009_x"], True)) == ["bad"]
    assert levels(database.migrated(["jobs.0001_initial"], False)) == ["warn"]
    assert brief(database.clock(NOW, NOW + timedelta(seconds=2))) == []
    assert brief(database.clock(NOW, NOW + timedelta(minutes=2))) == [
        ("warn", "its clock is -120 s off ours")
    ]


# Ports and processes


def port(error: OSError | None, holder: int | None, ours: set[int]) -> list[str]:
    return levels(ports.port("web", "127.0.0.1", 8085, "PORT", error, holder, ours))


def test_a_port_is_free_ours_or_somebodys() -> None:
    taken = OSError(errno.EADDRINUSE, "in use")
    assert port(None, None, set()) == ["ok"]
    assert port(taken, 7, {7}) == ["ok"]
    assert port(taken, None, {7, 0}) == ["ok"]
    assert port(taken, 8, {7, 0}) == ["bad"]
    assert port(taken, None, set()) == ["bad"]
    assert port(OSError(errno.EADDRNOTAVAIL, "no such address"), None, {7}) == ["bad"]


def test_who_listens_is_found_out() -> None:
    number = free_ports()
    assert ports.cannot_bind("127.0.0.1", number) is None
    assert ports.listener(number) is None
    with socket.create_server(("127.0.0.1", number)):
        error = ports.cannot_bind("127.0.0.1", number)
        assert error is not None and error.errno == errno.EADDRINUSE
        assert ports.listener(number) == os.getpid()
    assert ports.cannot_bind("192.0.2.1", number) is not None


def test_a_heartbeat_is_fresh_stale_or_was_never_there() -> None:
    fresh = Beat("host:7:1", NOW, NOW + timedelta(seconds=10))
    assert brief(processes.heartbeat("dispatcher", fresh, NOW)) == [
        ("ok", "the dispatcher runs as host:7, heard of 0 s ago")
    ]
    assert levels(processes.heartbeat("monitor", None, NOW)) == ["warn"]
    assert levels(processes.heartbeat("monitor", fresh, NOW + timedelta(minutes=1))) == ["bad"]
    noted = Beat("host:7:1", NOW, NOW + timedelta(seconds=10), "only 3 MB free")
    assert brief(processes.heartbeat("dispatcher", noted, NOW))[1] == (
        "warn", "dispatcher: only 3 MB free",
    )  # fmt: skip


def test_a_process_started_with_other_settings_is_told_without_their_secrets() -> None:
    theirs = {"PORT": "9000", "DISPY_SECRET": "hush", "PATH": "/bin"}
    known = {"PORT", "DISPY_SECRET", "HOST"}
    assert brief(processes.differences("monitor", theirs, theirs, known)) == []
    [(level, words)] = brief(processes.differences("monitor", theirs, {"HOST": "::"}, known))
    assert level == "warn" and "PORT=9000" in words and "HOST not set" in words
    assert "DISPY_SECRET" in words and "hush" not in words
    assert "PATH" in processes.environment_of(os.getpid())
    assert processes.environment_of(2**30) == {}


# Nodes


def node(error: str = "", up: bool = True, **more: Any) -> list[tuple[str, str]]:
    one = Machine(**{"name": "pi-1", "address": "10.0.0.2", "online": True, **more})
    return brief(machines.machine(one, error, 51348, up))


def test_a_node_is_used_or_it_is_said_why_not() -> None:
    assert node() == [("ok", "pi-1 (10.0.0.2) is online")]
    assert node(draining=True) == [("ok", "pi-1 (10.0.0.2) is draining")]
    assert node(online=False, up=False)[0][0] == "ok"
    assert node("refused", online=False) == [
        ("bad", "pi-1 (10.0.0.2): port 51348 does not answer: refused")
    ]
    assert node("refused", up=False)[0][0] == "bad"  # online is old news then
    assert node("refused")[0][0] == "warn"
    assert node(online=False, trouble="another secret")[0] == (
        "bad", "pi-1 (10.0.0.2) answers, but is not used: another secret",
    )  # fmt: skip
    assert node(quarantined="5 losses")[0][0] == "warn"
    assert node(skew_seconds=2.0) == node()
    assert node(skew_seconds=-90.0)[1] == ("warn", "the clock of pi-1 (10.0.0.2) is -90 s off ours")
    assert levels(machines.none_known()) == ["warn"]


def test_nodes_elsewhere_need_a_way_back() -> None:
    near, far = (
        Machine("a", "127.0.0.2", online=True),
        Machine("b", "192.0.2.2", online=True),
    )
    assert brief(machines.way_back("127.0.0.1", [near])) == []
    assert brief(machines.way_back("192.0.2.1", [near, far])) == []
    assert brief(machines.way_back("127.0.0.1", [near, far])) == [
        ("bad", "DISPY_HOST is 127.0.0.1, which b cannot reach")
    ]


def test_nodes_are_asked_by_connecting() -> None:
    number = free_ports()
    with socket.create_server(("127.0.0.1", number)):
        found = machines.ask(
            [
                Machine("a", "127.0.0.1", online=True),
                Machine("b", "127.0.0.2", online=True),
                Machine("c", "no-such-host.invalid", online=True),
            ],
            number,
        )
    assert found[0] == "" and "refused" in found[1] and "does not resolve" in found[2]


# Versions, clock, certificates, tasks


def test_versions_are_those_that_we_pin() -> None:
    assert levels(software.python((3, 11, 2))) == ["ok"]
    assert levels(software.python((3, 10, 9))) == ["bad"]
    assert levels(software.python((3, 14, 0))) == ["warn"]
    pins = software.pins((ROOT / "requirements.txt").read_text())
    assert pins["dispy"] == "4.15.2" and "pycos" in pins and "tzdata" not in pins
    assert levels(software.packages(pins, software.installed(pins))) == ["ok"]
    wanted = {"dispy": "4.15.2", "pycos": "4.12.2", "django": "5.2.19", "psutil": "7.2.2"}
    found = {"dispy": "4.15.1", "pycos": "4.12.2", "django": "5.2.1", "psutil": None}
    assert brief(software.packages(wanted, found)) == [
        ("bad", "dispy 4.15.1, not 4.15.2"),
        ("warn", "django 5.2.1, not 5.2.19"),
        ("bad", "psutil is missing, not 7.2.2"),
    ]


def test_the_clock_as_timedatectl_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [levels(software.clock(said)) for said in ("yes", "no", "")] == [
        ["ok"], ["warn"], ["ok"],
    ]  # fmt: skip
    monkeypatch.setenv("PATH", "/nowhere")
    assert software.ask_timedatectl() == ""


def certificate(folder: Path, days: int) -> tuple[str, str]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=dispycluster", "-days", str(days), "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    key.chmod(0o600)
    return str(cert), str(key)


def test_certificates_belong_together_and_have_not_run_out(tmp_path: Path) -> None:
    now = timezone.now()
    assert brief(software.tls("", "", now)) == []
    assert levels(software.tls("", "key", now)) == ["bad"]
    assert levels(software.tls(str(tmp_path / "none"), "", now)) == ["bad"]
    cert, key = certificate(tmp_path, 100)
    assert levels(software.tls(cert, key, now)) == ["ok"]
    assert levels(software.tls(cert, key, now + timedelta(days=90))) == ["warn"]
    assert levels(software.tls(cert, key, now + timedelta(days=101))) == ["bad"]
    Path(key).chmod(0o644)
    assert levels(software.tls(cert, key, now)) == ["bad", "ok"]
    other = tmp_path / "other"
    other.mkdir()
    assert levels(software.tls(cert, certificate(other, 1)[1], now)) == ["bad"]
    Path(cert).write_text("no certificate")
    assert levels(software.tls(cert, key, now)) == ["bad"]


def test_tasks_are_read_and_never_run(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    assert levels(software.tasks(folder)) == ["warn"]
    folder.mkdir()
    (folder / "good.py").write_text("raise SystemExit('run!')\ndef f(): pass\ndef _g(): pass\n")
    assert brief(software.tasks(folder)) == [("ok", f"1 function in {folder}")]
    (folder / "bad.py").write_text("x = 1\ndef f(:\n")
    found = brief(software.tasks(folder))
    assert found[0][0] == "bad" and found[0][1].startswith(f"{folder}/bad.py:2: ")


# The whole


def test_a_check_that_breaks_is_a_finding() -> None:
    def breaks() -> list[Finding]:
        raise KeyError("x")

    [finding] = guarded("ports", breaks)
    assert (finding.level, finding.name) == ("bad", "ports") and "KeyError" in finding.words


@pytest.mark.django_db
def test_the_command_reports_the_rows(capsys: pytest.CaptureFixture[str], settings: Any) -> None:
    now = timezone.now()
    hold_lease(now)
    settings.PORT, settings.DISPY_PORT = free_ports(), free_ports()
    make_node("pi-1", address="127.99.98.97", reading={"clock_skew_seconds": 60.0})
    Node.objects.update(online=False)
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")
    assert ended.value.code == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["good"] is False and answer["bad"] >= 1
    words = [f"{finding['level']} {finding['words']}" for finding in answer["findings"]]
    assert any(text.startswith("bad pi-1 (127.99.98.97): port") for text in words), words
    assert any("ok the dispatcher runs as tests" in text for text in words), words
    assert "warn the monitor has never run" in words
    assert any("60 s off ours" in text for text in words)


def test_warnings_alone_fail_only_if_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Finding("a", "ok", "fine"), Finding("b", "warn", "hm", "do this")]
    assert examine.report(found, as_json=False, strict=False) == 0
    text = capsys.readouterr().out
    assert "warn  b          hm\n" in text and "→ do this" in text
    assert "0 things are wrong, 1 warning." in text
    assert examine.report(found, as_json=False, strict=True) == 1
    assert examine.report(found[:1], as_json=False, strict=True) == 0
    assert examine.report([Finding("c", "bad", "no", "x")], as_json=True, strict=False) == 1


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    found = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **variables}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor", *arguments],
        capture_output=True, text=True, env=found, timeout=60,
    )  # fmt: skip


def test_before_the_first_start_it_makes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = doctor(DISPYCLUSTER_HOME=str(home), PORT=str(free_ports()), DISPY_PORT=str(free_ports()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "not there yet" in done.stdout and "The first start makes it." in done.stdout
    assert not home.exists()


def test_it_works_where_the_settings_and_the_database_do_not(tmp_path: Path) -> None:
    wrong = doctor(DISPYCLUSTER_HOME=str(tmp_path), PORT="abc", DISPY_NODE="x")
    assert wrong.returncode == 1 and wrong.stderr == ""
    assert "PORT must be a number" in wrong.stdout and "Did you mean DISPY_NODES?" in wrong.stdout
    away = doctor(
        "--json", DISPYCLUSTER_HOME=str(tmp_path), DATABASE_URL="postgres://u:p@127.0.0.1:9/x",
        PORT=str(free_ports()), DISPY_PORT=str(free_ports()),
    )  # fmt: skip
    assert away.returncode == 1 and away.stderr == ""
    found = json.loads(away.stdout)["findings"]
    assert [f["level"] for f in found if f["name"] == "database"] == ["bad"]
    assert {f["name"] for f in found} >= {"ports", "tasks", "versions", "nodes"}
    (tmp_path / "dispycluster.sqlite3").write_bytes(b"not a database at all" * 100)
    broken = doctor(DISPYCLUSTER_HOME=str(tmp_path))
    assert broken.returncode == 1 and "not a database" in broken.stdout

import os
import socket
import stat
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders

from dispycluster import first_start, local_node, up


@pytest.fixture
def password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(first_start, "PASSWORD_FILE", tmp_path / "admin_password")
    return tmp_path / "admin_password"


@pytest.mark.django_db
def test_the_administrator_is_made_once_and_told_the_password_once(password_file: Path) -> None:
    name, sentence = first_start.ensure_admin()
    password = password_file.read_text().strip()
    assert name == "admin" and password in sentence
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    admin = User.objects.get()
    assert admin.is_superuser and admin.check_password(password)
    assert first_start.ensure_admin() == ("admin", f"the password is in {password_file}")
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_an_administrator_who_is_there_is_left_alone(
    password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.create_superuser("root", password="chosen by me")
    monkeypatch.setenv("DISPYCLUSTER_ADMIN", "admin")
    assert first_start.ensure_admin() == ("root", "with the password you chose")
    assert not password_file.exists()
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_the_administrator_may_have_another_name(
    password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPYCLUSTER_ADMIN", "anna")
    assert first_start.ensure_admin()[0] == "anna"


@pytest.mark.django_db
def test_a_new_database_under_an_old_home_gets_the_old_password(password_file: Path) -> None:
    first_start.ensure_admin()
    User.objects.all().delete()
    password = password_file.read_text().strip()
    assert password in first_start.ensure_admin()[1]
    assert User.objects.get().check_password(password)


def test_static_files_are_collected_again_only_when_one_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(first_start, "call_command", lambda name, **options: calls.append(name))
    monkeypatch.setattr(settings, "HOME", tmp_path)
    monkeypatch.setattr(settings, "STATIC_ROOT", tmp_path / "static")
    source = tmp_path / "source"
    source.mkdir()
    (source / "page.css").write_text("a {}")
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(settings, "STATICFILES_DIRS", [source])
    finders.get_finder.cache_clear()  # type: ignore[attr-defined]
    try:
        for _ in range(2):
            first_start.collect_static()
        assert calls == ["collectstatic"]
        (source / "page.css").write_text("a { color: red }")
        first_start.collect_static()
        assert calls == ["collectstatic"] * 2
    finally:
        finders.get_finder.cache_clear()  # type: ignore[attr-defined]


def test_the_node_gets_port_and_secret_of_this_home(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = local_node.agent_argv()
    options = dict(zip(argv[3::2], argv[4::2], strict=True))
    assert argv[1:3] == ["-m", "node.agent"]
    assert options["--host"] == "127.0.0.1"
    assert options["--slots"] == str(len(os.sched_getaffinity(0)))
    assert options["--dispy-port"] == str(settings.DISPY_PORT)
    assert Path(options["--secret-file"]).read_text().strip() == settings.DISPY_SECRET
    assert options["--scratch"] == str(settings.HOME / "node-127.0.0.1")
    assert settings.DISPY_SECRET not in argv


def test_a_secret_from_the_environment_goes_into_a_private_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_node.settings, "DISPY_SECRET", "from outside")
    path = local_node.secret_file()
    assert path.read_text() == "from outside\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_node_is_not_told_our_secrets_but_where_our_code_is() -> None:
    env = local_node.agent_environment(
        {"DISPY_SECRET": "x", "SECRET_KEY": "x", "DATABASE_URL": "x", "PATH": "/bin"}
    )
    assert env == {"PATH": "/bin", "PYTHONPATH": str(settings.BASE_DIR)}


def test_a_home_on_a_network_file_system_is_recognised(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        "server:/export /srv/my\\040share nfs4 rw 0 0\n"
        "tmpfs /srv/my\\040share/local tmpfs rw 0 0\n"
    )
    assert up.filesystem(Path("/srv/my share/home"), mounts) == "nfs4"
    assert up.filesystem(Path("/srv/my share/local/home"), mounts) == "tmpfs"
    assert up.filesystem(Path("/srv/my shared"), mounts) == "ext4"
    assert up.filesystem(Path("/srv"), tmp_path / "nowhere") == ""


def test_sqlite_on_a_network_file_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up, "filesystem", lambda folder: "nfs4")
    monkeypatch.setattr(settings, "SQLITE", True)
    with pytest.raises(SystemExit, match=r"network file system \(nfs4\), where SQLite loses data"):
        up.refuse_network_folder()
    monkeypatch.setattr(settings, "SQLITE", False)
    up.refuse_network_folder()


def test_a_taken_port_is_named_with_the_setting_that_moves_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(up, "PATIENCE_SECONDS", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"Port {port} on 127.0.0.1 is taken.*DISPY_PORT"):
            up.refuse_taken_port("127.0.0.1", port, "DISPY_PORT")
    up.refuse_taken_port("127.0.0.1", port, "DISPY_PORT")
    with pytest.raises(SystemExit, match="Cannot listen on 192.0.2.1.*check HOST and PORT"):
        up.refuse_taken_port("192.0.2.1", port, "PORT")

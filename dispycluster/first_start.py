"""What must be there before anything runs: tables, an administrator, static files."""

import contextlib
import hashlib
import os
import secrets

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import IntegrityError

from dispycluster.home import private_file, write_once

PASSWORD_FILE = settings.HOME / "secrets" / "admin_password"


def prepare() -> tuple[str, str]:
    """Set everything up. Returns how to sign in: a user name and a sentence about the password."""
    call_command("migrate", verbosity=0, interactive=False)
    collect_static()
    return ensure_admin()


def ensure_admin() -> tuple[str, str]:
    """Make an administrator where there is none; never touch one who is there."""
    users = get_user_model().objects
    name = os.environ.get("DISPYCLUSTER_ADMIN") or "admin"
    admins = users.filter(is_superuser=True, is_active=True).order_by("pk")
    if admin := admins.filter(username=name).first() or admins.first():
        stored = PASSWORD_FILE.read_text().strip() if PASSWORD_FILE.exists() else ""
        if stored and admin.check_password(stored):
            return admin.get_username(), f"the password is in {PASSWORD_FILE}"
        return admin.get_username(), "with the password you chose"
    # The file first: dying in between, the next start makes the user with the same password.
    write_once(PASSWORD_FILE, secrets.token_urlsafe(12))
    password = PASSWORD_FILE.read_text().strip()
    with contextlib.suppress(IntegrityError):  # another copy on the same database was first
        users.create_superuser(username=name, password=password)
    return name, f"the password is {password} (kept in {PASSWORD_FILE})"


def collect_static() -> None:
    """Collect the static files, unless nothing changed since the last time."""
    digest = hashlib.sha256(repr(settings.STORAGES["staticfiles"]).encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            facts = os.stat(storage.path(path))
            digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    stamp = settings.HOME / "static.stamp"
    if (
        stamp.exists()
        and stamp.read_text().strip() == digest.hexdigest()
        and settings.STATIC_ROOT.is_dir()
    ):
        return
    call_command("collectstatic", verbosity=0, interactive=False)
    private_file(stamp, digest.hexdigest())

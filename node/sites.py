"""What installed packages have done to Python at its start, beyond a longer sys.path."""

from __future__ import annotations

import contextlib
import functools
import os
import site
import sys

# Of all venvs before Python 3.12, and decides only between two distutils that are both there.
HARMLESS = ("distutils-precedence.pth",) if sys.version_info < (3, 12) else ()
CUSTOM = ("sitecustomize", "usercustomize")


@functools.cache
def with_code() -> list[str]:
    """The site folders in which a .pth file runs code: an editable install's finder, and others."""
    if sys.flags.no_site:
        return []
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE and site.USER_SITE:
        folders.append(site.USER_SITE)
    return [folder for folder in folders if runs_code(folder)]


def runs_code(folder: str) -> bool:
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(".pth") and name not in HARMLESS:
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read().removeprefix(b"\xef\xbb\xbf")
                if any(line.startswith((b"import ", b"import\t")) for line in text.splitlines()):
                    return True
    return False


def customized() -> list[str]:
    """The modules that site imports where they exist, and did."""
    return [name for name in CUSTOM if name in sys.modules]

"""Tags: what people may give to a node, and what follows from its passport. Pure."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.utils.translation import gettext as _

LONGEST = 40  # characters of a tag
MOST = 50  # tags of a node
GOOD = re.compile(r"[a-z0-9._:-]+", re.ASCII)
RESERVED = ("arch:", "os:", "py:", "board:")  # ours to give

FAMILIES = {"linux": "linux", "macos": "macos", "darwin": "macos", "windows": "windows",
            "freebsd": "freebsd", "openbsd": "openbsd", "netbsd": "netbsd"}  # fmt: skip
ARCHITECTURES = ("aarch64", "arm64", "armv7l", "armv6l", "x86_64", "amd64", "i686", "riscv64",
                 "ppc64le", "s390x")  # fmt: skip
DISTRIBUTIONS = ("debian", "raspbian", "ubuntu", "fedora", "alpine", "arch", "manjaro", "opensuse",
                 "rocky", "almalinux", "centos", "nixos", "gentoo", "dietpi")  # fmt: skip
DISPLAYS = ("v3d", "vc4", "i915", "xe", "lima", "panfrost", "etnaviv", "msm", "virtio_gpu",
            "virtio-pci", "ast", "mgag200", "bochs-drm", "vmwgfx", "nouveau")  # fmt: skip


class BadTag(ValueError):
    """Says in a sentence what is wrong with it."""


def checked(tags: Iterable[str]) -> list[str]:
    """A person's tags, each once, in order. Raises BadTag."""
    found = sorted({tag.strip() for tag in tags} - {""})
    for tag in found:
        shown = tag[:LONGEST] + ("…" if len(tag) > LONGEST else "")
        if len(tag) > LONGEST:
            raise BadTag(_("“%(tag)s” is too long: %(most)s characters at most.")
                         % {"tag": shown, "most": LONGEST})  # fmt: skip
        if not GOOD.fullmatch(tag):
            raise BadTag(_("“%(tag)s”: use lower case letters, digits and . _ : - alone.")
                         % {"tag": shown})  # fmt: skip
        if tag.startswith(RESERVED):
            raise BadTag(_("“%(tag)s”: tags that begin with %(begin)s are given automatically.")
                         % {"tag": shown, "begin": tag.partition(":")[0] + ":"})  # fmt: skip
    if len(found) > MOST:
        raise BadTag(_("At most %(most)s tags, not %(count)s.")
                     % {"most": MOST, "count": len(found)})  # fmt: skip
    return found


def auto_tags(passport: Any, platform: str) -> list[str]:
    """What a node is, as tags. Both come from the node: whatever makes no sense is left out."""
    passport = passport if isinstance(passport, dict) else {}
    words = re.split(r"[^a-z0-9_]+", platform[:200].lower())
    found = [
        _tag("arch", _text(passport, "arch") or _first(ARCHITECTURES, words)),
        _tag("os", FAMILIES.get(words[0], "")),
        _tag("os", _distribution(passport)),
        _tag("py", _minor(_text(passport, "python"))),
        _tag("board", _board(_text(passport, "board"))),
        "gpu" if _computes(passport.get("gpu")) else "",
    ]
    return list(dict.fromkeys(tag for tag in found if tag))


def _text(passport: dict[Any, Any], name: str) -> str:
    value = passport.get(name)
    return value[:200] if isinstance(value, str) else ""


def _computes(gpu: Any) -> bool:
    """More than a display: nearly every Raspberry Pi and laptop has a driver for that."""
    return bool([one for one in gpu if one not in DISPLAYS] if isinstance(gpu, list) else gpu)


def _first(known: Iterable[str], words: Collection[str]) -> str:
    return next((word for word in known if word in words), "")


def _tag(prefix: str, value: str) -> str:
    """A whole tag, or nothing where the value is not fit for one."""
    tag = f"{prefix}:{value.strip().lower()}"
    return tag if value and GOOD.fullmatch(tag) and len(tag) <= LONGEST else ""


def _distribution(passport: dict[Any, Any]) -> str:
    """Its short name: as the node says it, else as its long name begins."""
    words = re.split(r"[^a-z]+", _text(passport, "os").lower())
    return _text(passport, "os_id") or _first(DISTRIBUTIONS, words[:1])


def _minor(version: str) -> str:
    match = re.match(r"(\d{1,2}\.\d{1,3})(?!\d)", version, re.ASCII)
    return match[1] if match else ""


def _board(model: str) -> str:
    """Raspberry Pi 4 Model B Rev 1.5 as raspberry-pi-4."""
    short = re.split(r" rev(?:ision)?\b| model\b|\(", model.lower())[0]
    return re.sub(r"[^a-z0-9]+", "-", short).strip("-")[: LONGEST - len("board:")].strip("-")

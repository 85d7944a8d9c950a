"""The settings: are the variables ours, and do their values make sense? settings.py is asked."""

import ast
import contextlib
import difflib
import os
import re
import runpy
import zoneinfo
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from dispycluster import home
from dispycluster.doctor.finding import BAD, OK, WARN, Finding

SETTINGS = home.ROOT / "dispycluster" / "settings.py"
PRODUCT = ("dispycluster", "cluster", "jobs", "monitoring", "node")
OURS = re.compile(r"DISPY(CLUSTER)?_")
QUOTED = re.compile(r"[\"'](DISPY(?:CLUSTER)?_[A-Z0-9_]+)[\"']")
BOOLEANS = ("true", "on", "ok", "y", "yes", "1", "false", "off", "n", "no", "0", "")
SHORTEST_TO_GUESS = 8  # letters; shorter names are too near to anything


def settings_variables() -> dict[str, str]:
    """The names that settings.py reads, each with how: str, bool, list, number."""
    found = {}
    for call in ast.walk(ast.parse(SETTINGS.read_text())):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name, reader = call.args[0], call.func
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            if isinstance(reader, ast.Attribute) and isinstance(reader.value, ast.Name):
                if reader.value.id == "env":
                    found[name.value] = reader.attr
            elif isinstance(reader, ast.Name) and reader.id == "number":
                found[name.value] = "number"
    return found


def known_variables() -> set[str]:
    """Those, and every other name of ours that the product's sources mention."""
    found = set(settings_variables())
    for package in PRODUCT:
        for path in (home.ROOT / package).rglob("*.py"):
            found.update(QUOTED.findall(path.read_text()))
    return found


def names(environ: Mapping[str, str], known: set[str]) -> Iterator[Finding]:
    """Names that look like ours and are not."""
    for name in sorted(environ):
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8 if OURS.match(name) else 0.9)
        if OURS.match(name):
            advice = _("Did you mean %s?") % near[0] if near else _("Take it out.")
            yield Finding("settings", WARN, _("%s is no setting of ours") % name, advice)
        elif near and len(name) >= SHORTEST_TO_GUESS and not OURS.match(near[0]):
            words = _("%s is no setting of ours") % name
            yield Finding("settings", WARN, words, _("Did you mean %s?") % near[0])


def values(environ: Mapping[str, str], kinds: Mapping[str, str]) -> Iterator[Finding]:
    """Each variable alone, so that every wrong one is named and not the first only."""
    for name in sorted(set(environ) & set(kinds)):
        value = environ[name]
        if wrong := refusal({name: value}):
            yield Finding("settings", BAD, wrong, _("Set %s right or take it out.") % name)
        elif kinds[name] == "bool" and value.lower() not in BOOLEANS:
            words = _("%(name)s is %(value)s, which counts as no") % {
                "name": name, "value": repr(value),
            }  # fmt: skip
            yield Finding("settings", WARN, words, _("Say true or false."))
    zone = environ.get("TZ", "").removeprefix(":")
    try:
        zoneinfo.ZoneInfo(zone or "UTC")
    except (KeyError, ValueError, OSError):
        words = _("TZ is %s, which is no time zone") % repr(zone)
        yield Finding("settings", BAD, words, _("Name one such as Europe/Paris."))


def refusal(variables: Mapping[str, str]) -> str:
    """What settings.py says of them; empty where it is content. Makes no folder and no secret."""
    kept = {name: text for name, text in os.environ.items() if name in ("PATH", "HOME")}
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(kept | dict(variables))
    try:
        with only_looking():
            runpy.run_path(str(SETTINGS))
    except ImproperlyConfigured as error:
        return str(error)
    except Exception as error:
        return f"{', '.join(variables)}: {error}"
    finally:
        os.environ.clear()
        os.environ.update(before)
    return ""


@contextlib.contextmanager
def only_looking() -> Iterator[None]:
    """Settings, read in here, finds the home without making it and draws no secrets."""
    makers = {"home_folder": where, "secret": as_stored}
    before = {name: getattr(home, name) for name in makers}
    for name, reader in makers.items():
        setattr(home, name, reader)
    try:
        yield
    finally:
        for name, maker in before.items():
            setattr(home, name, maker)


def where() -> Path:
    """The home folder as home_folder() finds it."""
    named = os.environ.get("DISPYCLUSTER_HOME")
    return Path(named or home.ROOT / "var").expanduser().absolute()


def as_stored(folder: Path, name: str) -> str:
    with contextlib.suppress(OSError):
        return (folder / "secrets" / name).read_text().strip()
    return "not drawn yet"


def check(environ: Mapping[str, str]) -> Iterator[Finding]:
    kinds = settings_variables()
    found = [*names(environ, known_variables()), *values(environ, kinds)]
    yield from found
    if not found:
        given = sorted(name for name in environ if name in kinds or OURS.match(name))
        yield Finding("settings", OK, ", ".join(given) or _("all as they are by default"))


def exposure(debug: bool, host: str, dispy_host: str, tls: bool) -> Iterator[Finding]:
    """What is open to a network, and should not be as it is."""
    if debug and not is_loopback(host):
        words = _("DEBUG is on while HOST is %s: errors show our insides to everybody") % host
        yield Finding("exposure", BAD, words, _("Take DEBUG out."))
    if not tls and not is_loopback(dispy_host):
        words = _("nodes are reached at %s without TLS") % dispy_host
        advice = _("Set DISPY_CERTFILE and DISPY_KEYFILE where the network is not yours alone.")
        yield Finding("exposure", WARN, words, advice)


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")

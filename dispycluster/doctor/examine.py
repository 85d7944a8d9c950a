"""All checks in order, what they need read from where it is, and the report."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.functional import empty
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dispycluster.doctor import database, environment, machines, place, ports, processes, software
from dispycluster.doctor.finding import BAD, OK, WARN, Finding, guarded
from dispycluster.doctor.processes import Beat

COLOURS = {OK: "32", WARN: "33", BAD: "31"}
DUTIES = ("dispatcher", "monitor")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 where something is bad, or a warning with --strict."""
    parser = argparse.ArgumentParser(prog="manage.py doctor", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what goes wrong here is a finding
    return report(examine(), options.json, options.strict)


def add_arguments(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    parser.add_argument("--strict", action="store_true", help="a warning, too, makes the status 1")


def examine() -> list[Finding]:
    usable = load_settings()
    speak_as_asked(os.environ.get("LC_ALL") or os.environ.get("LANG") or "")
    found = guarded("settings", environment.check, os.environ)
    found += guarded("home", place.folder, environment.where(), os.getuid())
    found += guarded("secrets", place.secrets, environment.where() / "secrets", os.getuid())
    found += guarded("versions", versions)
    found += guarded("clock", lambda: software.clock(software.ask_timedatectl()))
    if not usable:
        advice = _("Correct the settings first.")
        return [*found, Finding("rest", BAD, _("could not be looked at"), advice)]
    found += guarded("disk", disk)
    found += guarded("exposure", lambda: environment.exposure(
        settings.DEBUG, settings.HOST, settings.DISPY_HOST, bool(settings.DISPY_CERTFILE)
    ))  # fmt: skip
    found += guarded("tls", software.tls, settings.DISPY_CERTFILE, settings.DISPY_KEYFILE, now())
    found += guarded("tasks", software.tasks, settings.TASKS)
    found += guarded("database", lambda: database.reachable(connection(), sqlite_file()))
    answers = found[-1].name == "database" and found[-1].level == OK
    tables = False
    if answers:
        missing, tables = database.unapplied(connection())
        found += guarded("database", database.migrated, missing, tables)
        found += guarded("database", database.whole if settings.SQLITE else apart, connection())
        tables = tables and not missing
    beats = read_beats() if tables else {}
    found += guarded("ports", listening, beats)
    if tables:
        found += guarded("processes", living, beats)
        found += guarded("nodes", nodes, beats)
    elif any(f.name == "database" and f.level == BAD for f in found):
        words = _("could not be looked at without the database")
        found += [Finding(name, WARN, words) for name in ("processes", "nodes")]
    return found


def load_settings() -> bool:
    """Django with our settings, or where they are wrong with none. Makes nothing."""
    if settings.configured:
        return True
    import django

    try:
        with environment.only_looking():
            django.setup()
    except Exception:  # said by the check of the settings
        settings._wrapped = empty
        settings.configure(USE_I18N=False)
        return False
    return True


def speak_as_asked(language: str) -> None:
    code = language.partition("_")[0].partition(".")[0]
    if settings.USE_I18N and code in dict(settings.LANGUAGES):
        translation.activate(code)


def now() -> datetime:
    return datetime.now(UTC)


def connection() -> Any:
    from django.db import connection

    return connection


def sqlite_file() -> Path | None:
    return Path(settings.DATABASES["default"]["NAME"]) if settings.SQLITE else None


def versions() -> Iterator[Finding]:
    wanted = software.pins((environment.home.ROOT / "requirements.txt").read_text())
    yield from software.python(sys.version_info[:3])
    yield from software.packages(wanted, software.installed(wanted))


def disk() -> Iterator[Finding]:
    import shutil

    from dispycluster.up import filesystem

    if settings.HOME.is_dir():
        yield from place.filesystem(filesystem(settings.HOME), settings.SQLITE, settings.HOME)
        yield from place.space(shutil.disk_usage(settings.HOME).free)


def apart(connected: Any) -> Iterator[Finding]:
    """How far PostgreSQL's clock is from ours."""
    with connected.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [theirs] = cursor.fetchone()
    yield from database.clock(theirs, now())


def read_beats() -> dict[str, Beat]:
    from jobs.models import Lease

    rows = Lease.objects.filter(name__in=DUTIES)
    return {r.name: Beat(r.holder, r.renewed_at, r.expires_at, r.note) for r in rows}


def pid_here(beat: Beat | None) -> int | None:
    """The process that holds the lease, where it is one of this machine and lives."""
    from jobs import lease

    if beat is None or ":" not in beat.holder:
        return None
    pid = beat.holder.split(":")[1]
    return int(pid) if pid.isdecimal() and lease.identity(int(pid)) == beat.holder else None


def listening(beats: dict[str, Beat]) -> Iterator[Finding]:
    from dispycluster.up import web_answers

    web = ports.listener(settings.PORT)
    ours = {web or 0} if web_answers(below=600) else set()
    error = ports.cannot_bind(settings.HOST, settings.PORT)
    yield from ports.port("web", settings.HOST, settings.PORT, "PORT", error, web, ours)
    host, number = settings.DISPY_HOST, settings.DISPY_PORT
    holder, dispatcher = ports.listener(number), pid_here(beats.get("dispatcher"))
    ours = {dispatcher, 0} if dispatcher else set()
    error = ports.cannot_bind(host, number)
    yield from ports.port("dispatcher", host, number, "DISPY_PORT", error, holder, ours)


def living(beats: dict[str, Beat]) -> Iterator[Finding]:
    known = set(environment.settings_variables())
    for name in DUTIES:
        yield from processes.heartbeat(name, beats.get(name), now())
        pid = pid_here(beats.get(name))
        theirs = processes.environment_of(pid) if pid else {}
        if theirs:
            yield from processes.differences(name, theirs, as_it_counts(os.environ), known)


def as_it_counts(environ: Any) -> dict[str, str]:
    """Ours, with the home as processes are given it."""
    return {**environ, "DISPYCLUSTER_HOME": str(settings.HOME)}


def nodes(beats: dict[str, Beat]) -> Iterator[Finding]:
    from cluster.models import Node

    rows = [
        machines.Machine(
            name=row.name, address=row.address, online=row.online, draining=row.draining,
            quarantined=row.breaker_reason if row.breaker_opened_at else "", trouble=row.trouble,
            skew_seconds=skew_of(row.reading),
        )
        for row in Node.objects.filter(removed_at=None)
    ]  # fmt: skip
    if not rows:
        yield from machines.none_known()
    beat, port = beats.get("dispatcher"), settings.DISPY_PORT + 1
    alive = beat is not None and beat.expires_at > now()
    for row, error in zip(rows, machines.ask(rows, port), strict=True):
        yield from machines.machine(row, error, port, alive)
    yield from machines.way_back(settings.DISPY_HOST, rows)


def skew_of(reading: Any) -> float | None:
    value = reading.get("clock_skew_seconds") if isinstance(reading, dict) else None
    return float(value) if isinstance(value, int | float) else None


def report(found: list[Finding], as_json: bool, strict: bool) -> int:
    bad, warnings = (sum(f.level == level for f in found) for level in (BAD, WARN))
    status = int(bad > 0 or (strict and warnings > 0))
    if as_json:
        rows = [asdict(finding) for finding in found]
        whole = {"good": not status, "bad": bad, "warnings": warnings, "findings": rows}
        sys.stdout.write(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
        return status
    for finding in found:
        sys.stdout.write(line(finding, sys.stdout.isatty()))
    sys.stdout.write(f"\n{summary(bad, warnings)}\n")
    return status


def line(finding: Finding, coloured: bool) -> str:
    mark = f"{finding.level:5}"
    if coloured:
        mark = f"\033[{COLOURS[finding.level]}m{mark}\033[0m"
    text = f"{mark} {finding.name:10} {finding.words}\n"
    return text + (f"{'':16} → {finding.advice}\n" if finding.advice else "")


def summary(bad: int, warnings: int) -> str:
    if not bad and not warnings:
        return _("Everything is as it should be.")
    wrong = ngettext("%d thing is wrong", "%d things are wrong", bad) % bad
    doubtful = ngettext("%d warning", "%d warnings", warnings) % warnings
    return f"{wrong}, {doubtful}."

"""How the dispatcher hears of new work without asking for it all the time.

A wake-up lost costs the loop's own second of patience and nothing else.
"""

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import cache

from django.db import connection, transaction

CHANNEL = "dispycluster"  # PostgreSQL's NOTIFY
POLL_SECONDS = 0.25  # for commits on SQLite that called nobody
LONGEST_WAIT = 1.0


def call() -> None:
    """Within a transaction: the dispatcher hears of it once it is committed."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    else:
        transaction.on_commit(ring)


def ring() -> None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.setblocking(False)
        bell.sendto(b"!", bell_of(str(connection.settings_dict["NAME"])))


@cache
def bell_of(database: str) -> str:
    """An abstract address for this database file, the same in every process of this machine."""
    digest = hashlib.sha256(os.path.realpath(database).encode()).hexdigest()
    return f"\0dispycluster-{digest[:32]}"


def watch(wake: Callable[[], None], stop: threading.Event) -> None:
    """Call `wake` after each commit that may matter, until `stop`."""
    ways = [listen] if connection.vendor == "postgresql" else [hear, poll]
    for way in ways:
        name = f"wake-{way.__name__}"
        threading.Thread(target=way, args=(wake, stop), daemon=True, name=name).start()


def hear(wake: Callable[[], None], stop: threading.Event) -> None:
    """SQLite: the bell. Where there is no such socket (macOS), or it is taken, polling must do."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        bell.settimeout(LONGEST_WAIT)
        address = bell_of(str(connection.settings_dict["NAME"]))
        while not stop.is_set():
            try:
                bell.bind(address)
                break
            except OSError:  # a predecessor that is just leaving
                stop.wait(LONGEST_WAIT)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                bell.recv(16)
                wake()


def poll(wake: Callable[[], None], stop: threading.Event) -> None:
    """SQLite: data_version moves when another connection commits."""
    last = None
    try:
        with connection.cursor() as cursor:
            while not stop.is_set():
                version = cursor.execute("PRAGMA data_version").fetchone()
                if version != last:
                    last = version
                    wake()
                stop.wait(POLL_SECONDS)
    finally:
        connection.close()


def listen(wake: Callable[[], None], stop: threading.Event) -> None:
    """PostgreSQL: LISTEN on a connection of its own; reconnects for ever."""
    while not stop.is_set():
        try:
            connection.ensure_connection()
            raw = connection.connection
            raw.execute(f"LISTEN {CHANNEL}")
            while not stop.is_set():
                if list(raw.notifies(timeout=LONGEST_WAIT, stop_after=1)):
                    wake()
        except Exception:
            connection.close()
            time.sleep(1)
    connection.close()

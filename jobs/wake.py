"""How the dispatcher hears of new rows without asking for them all the time."""

import threading
import time
from collections.abc import Callable

from django.db import connection

from jobs.submit import WAKE_CHANNEL

POLL_SECONDS = 0.02  # of a counter in SQLite's shared memory: microseconds each


def watch(wake: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Call `wake` after each commit that may matter, until `stop`. The loop's own second of
    patience remains the truth: a wake-up lost costs that second and nothing else."""
    target = listen if connection.vendor == "postgresql" else poll_version
    thread = threading.Thread(target=target, args=(wake, stop), daemon=True, name="wake")
    thread.start()
    return thread


def poll_version(wake: Callable[[], None], stop: threading.Event) -> None:
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
            raw.execute(f"LISTEN {WAKE_CHANNEL}")
            while not stop.is_set():
                if list(raw.notifies(timeout=1, stop_after=1)):
                    wake()
        except Exception:
            connection.close()
            time.sleep(1)
    connection.close()

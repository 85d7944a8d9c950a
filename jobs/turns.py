"""SQLite has one writer at a time, and who finds it busy sleeps and asks again: a process's own
threads wait for each other here instead, and are called when it is their turn."""

import contextlib
import threading
from collections.abc import Iterator

from django.db import connection

PATIENCE = 1.0  # seconds; then SQLite's own rules decide, its limit among them
lock = threading.Lock()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Around a transaction, never within one: who holds the database must not wait here."""
    mine = connection.vendor == "sqlite" and lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if mine:
            lock.release()

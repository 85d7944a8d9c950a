import threading
from typing import Any

import pytest
from django.db import connection

from jobs import turns

sqlite_only = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="PostgreSQL has many writers"
)


@sqlite_only
def test_one_at_a_time_and_an_error_lets_the_next_one_in() -> None:
    with pytest.raises(ZeroDivisionError), turns.turn():
        assert turns.lock.locked()
        raise ZeroDivisionError
    assert not turns.lock.locked()


@sqlite_only
def test_nobody_waits_for_ever_and_nobody_ends_anothers_turn(monkeypatch: Any) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    came = threading.Event()

    def impatient() -> None:
        with turns.turn():
            came.set()

    with turns.turn():
        thread = threading.Thread(target=impatient)
        thread.start()
        thread.join(5)
        assert came.is_set() and turns.lock.locked()
    assert not turns.lock.locked()

import contextlib
import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from jobs import lease
from monitoring.watch import LEASE, watch

logger = logging.getLogger(__name__)

STEP_SECONDS = 1.0


class Command(BaseCommand):
    help = "Watch the cluster: samples, alerts and notices, schedules, retention."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        epoch = self.take(stop)
        if epoch is None:
            return
        duties = watch(epoch)
        logger.info("watching")
        try:
            while not stop.is_set():
                started = time.monotonic()
                close_old_connections()
                duties.step(timezone.now(), started)
                stop.wait(max(0.05, STEP_SECONDS - (time.monotonic() - started)))
        except lease.LeaseLost:
            raise CommandError("Another monitor has taken over; this one leaves.") from None
        finally:
            with contextlib.suppress(Error):
                duties.close(timezone.now())
        with contextlib.suppress(Error):
            lease.give_back("monitor", epoch, timezone.now())

    def take(self, stop: threading.Event) -> int | None:
        """Wait for our turn: a second monitor stands by."""
        turn = lease.Turn("monitor", LEASE)
        while not stop.is_set():
            try:
                if epoch := turn.ask(timezone.now(), time.monotonic()):
                    return epoch
            except Error as error:
                logger.warning("the database does not answer: %s", error)
                connection.close()
            stop.wait(1)
        return None

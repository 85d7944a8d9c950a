import contextlib
import logging
import signal
import threading
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from jobs import lease
from jobs.cleanup import cleanup

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
LEASE_SECONDS = 20.0


class Command(BaseCommand):
    help = "Watch: heartbeat, and retention every DISPY_CLEANUP_INTERVAL seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        epoch = self.take(stop)
        next_cleanup = timezone.now()
        while epoch and not stop.is_set():
            close_old_connections()
            now = timezone.now()
            try:
                lease.renew("monitor", epoch, now, LEASE_SECONDS)
                if now >= next_cleanup and settings.RETENTION_DAYS:
                    next_cleanup = now + timedelta(seconds=settings.DISPY_CLEANUP_INTERVAL)
                    cleaned = cleanup(now, settings.RETENTION_DAYS)
                    if cleaned.jobs or cleaned.files:
                        logger.info("cleanup: %s", cleaned)
            except lease.LeaseLost:
                raise CommandError("Another monitor has taken over; this one leaves.") from None
            except Error as error:
                logger.warning("the database does not answer; trying again: %s", error)
                connection.close()
            stop.wait(BEAT_SECONDS)
        if epoch:
            with contextlib.suppress(Error):
                lease.give_back("monitor", epoch, timezone.now())

    def take(self, stop: threading.Event) -> int | None:
        """Wait for our turn: a second monitor stands by."""
        turn = lease.Turn("monitor", LEASE_SECONDS)
        while not stop.is_set():
            try:
                if epoch := turn.ask(timezone.now(), time.monotonic()):
                    return epoch
            except Error as error:
                logger.warning("the database does not answer: %s", error)
                connection.close()
            stop.wait(1)
        return None

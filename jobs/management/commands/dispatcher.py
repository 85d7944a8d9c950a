import logging
import os
import signal
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from cluster import nodes, strategies
from cluster.engine.client import Engine, EngineConfig
from jobs import dispatcher, lease, wake

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0


class Command(BaseCommand):
    help = "Own the dispy cluster: record results, place jobs, send them. One at a time."

    stopping = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-idle", action="store_true", help="leave when all is done")
        parser.add_argument(
            "--strategy", choices=sorted(strategies.STRATEGIES), default=strategies.DEFAULT
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        epoch = take_lease()
        engine = Engine(config())
        desk = dispatcher.Desk(epoch, strategy=options["strategy"])
        halt = threading.Event()
        self.engine = engine
        try:
            for address in engine.config.nodes:
                nodes.listed(address, timezone.now())
            nodes.all_offline()
            engine.start(dispatcher.open_bundles())
            wake.watch(engine.wake, halt)
            self.loop(engine, desk, options["until_idle"])
        finally:
            halt.set()
            engine.close(keep_running=True)
            lease.give_back("dispatcher", epoch, timezone.now())
        logging.shutdown()
        os._exit(0)  # dispy's own exit handlers wait for jobs, without a limit

    def stop(self, *_: Any) -> None:
        self.stopping = True
        engine = getattr(self, "engine", None)
        if engine:
            engine.wake()

    def loop(self, engine: Engine, desk: dispatcher.Desk, until_idle: bool) -> None:
        while not self.stopping:
            close_old_connections()
            try:
                if dispatcher.run_once(engine, desk, timezone.now()):
                    continue
                if until_idle and dispatcher.idle():
                    break
            except lease.LeaseLost:
                raise CommandError("Another dispatcher has taken over; this one leaves.") from None
            except DatabaseError:
                logger.exception("the database does not answer; trying again")
                time.sleep(0.5)
            engine.wait(PATIENCE_SECONDS)


def take_lease() -> int:
    """The new epoch. A holder that is alive is named at once; a silent one is waited out."""
    deadline = time.monotonic() + lease.SECONDS + 2
    renewed = None
    while time.monotonic() < deadline:
        now = timezone.now()
        epoch = lease.take_over_dead("dispatcher", lease.me(), now)
        if epoch is not None:
            return epoch
        held = lease.holder("dispatcher", now)
        if held and renewed and held.renewed_at > renewed:
            raise CommandError(f"A dispatcher is running already: {held.holder}.")
        renewed = renewed or (held and held.renewed_at)
        time.sleep(0.2)
    raise CommandError("Another dispatcher holds the lease.")


def config() -> EngineConfig:
    return EngineConfig(
        host=settings.DISPY_HOST,
        port=settings.DISPY_PORT,
        secret=settings.DISPY_SECRET,
        nodes=tuple(settings.DISPY_NODES or [settings.LOCAL_NODE]),
        home=settings.HOME / "engine",
        log_level=settings.DISPY_LOGLEVEL,
        certfile=settings.DISPY_CERTFILE or None,
        keyfile=settings.DISPY_KEYFILE or None,
    )

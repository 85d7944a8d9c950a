import contextlib
import logging
import os
import signal
import socket
import threading
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from cluster import nodes
from cluster.engine.client import Engine, EngineConfig, EngineDeaf
from cluster.words import Words, gettext_noop
from jobs import dispatcher, lease, runtimes, wake
from jobs.breath import Breath
from jobs.health import Health

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
LOOK_SECONDS = 0.25  # between two looks at somebody else's lease


class Command(BaseCommand):
    help = "Own the dispy cluster: record results, place jobs, send them. One at a time."

    stopping = False
    engine: Engine | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-idle", action="store_true", help="leave when all is done")
        parser.add_argument(
            "--standby", action="store_true", help="wait for our turn while another one works"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        epoch = self.take_lease(options["standby"])
        if epoch is None:
            return
        desk = dispatcher.Desk(epoch, Health(timezone.now()), times=runtimes.load())
        status = self.serve(desk, options["until_idle"])
        logging.shutdown()
        os._exit(status)  # dispy's threads would keep us for a while

    def stop(self, *_: Any) -> None:
        self.stopping = True
        if self.engine:
            self.engine.wake()

    def take_lease(self, standby: bool) -> int | None:
        """Our epoch. A holder that lives is named after seconds, a silent one is waited out."""
        turn = lease.Turn("dispatcher")
        while not self.stopping:
            try:
                epoch = turn.ask(timezone.now(), time.monotonic())
            except Error as error:
                logger.warning("the database does not answer: %s", error)
                connection.close()
                epoch = None
            if epoch is not None:
                return epoch
            if turn.holder_lives and turn.held and not standby:
                raise CommandError(f"A dispatcher is running already: {turn.held.holder}.")
            time.sleep(LOOK_SECONDS)
        return None

    def serve(self, desk: dispatcher.Desk, until_idle: bool) -> int:
        """Work until told to stop, or until somebody else holds the lease. The exit status."""
        engine, halt = Engine(config()), threading.Event()
        self.engine = engine
        try:
            if self.wait_for_port(desk.epoch):
                start(engine)
                desk.listed = set(engine.config.nodes)
                wake.watch(engine.wake, halt)
                self.loop(engine, desk, until_idle)
        except lease.LeaseLost:
            logger.error("another dispatcher has taken over; this one leaves")
            return 1
        except EngineDeaf as error:
            logger.error("%s; leaving, for a new dispatcher to take over", error)
            return 1
        finally:
            halt.set()
            engine.close(keep_running=True)
        with contextlib.suppress(Error):  # it runs out by itself
            lease.give_back("dispatcher", desk.epoch, timezone.now())
        return 0

    def wait_for_port(self, epoch: int) -> bool:
        """A frozen predecessor may still sit on it; it leaves as soon as it wakes."""
        place = (settings.DISPY_HOST, settings.DISPY_PORT)
        while not self.stopping:
            with contextlib.suppress(OSError), socket.create_server(place):
                return True
            note = port_taken(*place)
            logger.warning(note)
            lease.explain("dispatcher", epoch, note)
            lease.renew("dispatcher", epoch, timezone.now())
            time.sleep(PATIENCE_SECONDS)
        return False

    def loop(self, engine: Engine, desk: dispatcher.Desk, until_idle: bool) -> None:
        breath = Breath()
        while not self.stopping:
            close_old_connections()
            try:
                began = time.monotonic()
                done = dispatcher.run_once(engine, desk, timezone.now())
                if done:
                    ended = time.monotonic()
                    time.sleep(breath.after(done, ended - began, ended))
                    continue
                if until_idle and dispatcher.idle():
                    break
            except Error as error:
                logger.warning("the database does not answer, nothing is lost: %s", error)
                connection.close()
                time.sleep(0.5)
            engine.wait(PATIENCE_SECONDS)


def port_taken(host: str, port: int) -> Words:
    text = gettext_noop("port %(port)s at %(host)s is taken; waiting for it")
    return Words(text, port=port, host=host)


def start(engine: Engine) -> None:
    """Bring the engine up, with what an earlier dispatcher left running."""
    nodes.all_offline()
    engine.start(dispatcher.open_bundles())


def config() -> EngineConfig:
    """For the nodes of DISPY_NODES, and those that people added."""
    nodes.follow_settings(settings.DISPY_NODES or [settings.LOCAL_NODE], timezone.now())
    return EngineConfig(
        host=settings.DISPY_HOST,
        port=settings.DISPY_PORT,
        secret=settings.DISPY_SECRET,
        nodes=tuple(nodes.listed_addresses()),
        home=settings.HOME / "engine",
        log_level=settings.DISPY_LOGLEVEL,
        certfile=settings.DISPY_CERTFILE or None,
        keyfile=settings.DISPY_KEYFILE or None,
    )

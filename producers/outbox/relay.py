"""The relay's program: a thread per lane, an ear for what Postgres tells, and an eye on how many relays there are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from producers.outbox.database import Database
from producers.outbox.lane import Lane
from producers.outbox.locks import FileLock, Locks, PostgresLocks, fair_share
from producers.outbox.schemas import Schemas
from producers.outbox.topics import BOOKS
from tidemill.contracts.registry import Registry
from tidemill.destinations import Destinations, look_at
from tidemill.errors import OutboxUnavailable, TidemillError
from tidemill.outbox.ddl import LANES
from tidemill.outbox.targets import CHANNEL
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from producers.outbox.settings import OutboxSettings
    from tidemill.config import Settings

TURN_SECONDS = 1.0
"""How long is listened before it is looked whether the program is to end."""
SHARE_SECONDS = 2.0
"""How often the lanes are shared anew with other relays."""
REPORT_SECONDS = 30.0
FAREWELL_SECONDS = 10.0
PAUSE_SECONDS = 2.0


class Relay:
    """Empties one outbox into Kafka.

    Args:
        settings: Kafka's addresses, namespace.
        outbox_settings: The database, sizes and waits.
        on_ready: Called once the lanes are being asked for.

    Raises:
        ConfigError: The database's URL can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        outbox_settings: OutboxSettings,
        *,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._outbox_settings = outbox_settings
        self._on_ready = on_ready
        self._database = Database(outbox_settings)
        self._registry = Registry(settings)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lanes: list[Lane] = []
        self._reported, self._report_at = 0, time.monotonic() + REPORT_SECONDS
        self._log = get_logger("outbox")

    def stop(self) -> None:
        """Finish the batches under way and return from `run`."""
        self._stop.set()

    @property
    def moved(self) -> int:
        """Rows published and removed since the start."""
        return sum(lane.moved for lane in self._lanes)

    def run(self) -> None:
        """Move rows until told to stop.

        Raises:
            OutboxError: There is no outbox in the database.
            UnknownTopic: The books' topic isn't there.
            BrokerError, OutboxUnavailable: Kafka or the database doesn't answer at the start.
        """
        try:
            self._run()
        finally:
            self._stop.set()
            self._registry.close()
            self._database.close()
        if self._failure is not None:
            raise self._failure
        self._log.info("stopped", moved=self.moved)

    def _run(self) -> None:
        for problem in look_at(self._settings, [self._settings.qualified(BOOKS.name)]).values():
            raise problem
        identity = self._database.identity()
        locks: Locks = FileLock(self._database.file) if self._database.file else PostgresLocks(identity)
        schemas, destinations = Schemas(self._registry), Destinations.of(self._settings)
        self._lanes = [
            Lane(
                number,
                self._settings,
                self._outbox_settings,
                identity,
                self._database,
                locks,
                schemas,
                destinations,
                self._fail,
            )
            for number in range(LANES)
        ]
        self._log.info("started", database=self._database.shown, pid=os.getpid())
        for lane in self._lanes:
            lane.start()
        if self._on_ready is not None:
            self._on_ready()
        try:
            self._look_after(locks)
        finally:
            for lane in self._lanes:
                lane.halt()
            ends_at = time.monotonic() + FAREWELL_SECONDS
            left = [lane for lane in self._lanes if not lane.join(max(0.0, ends_at - time.monotonic()))]
            for lane in left:
                self._log.warning("a lane didn't end in time; its next owner aborts what it had open", lane=lane.number)
            locks.close()

    def _look_after(self, locks: Locks) -> None:
        while not self._stop.is_set():
            try:
                if isinstance(locks, PostgresLocks):
                    self._listen(locks)
                else:
                    self._stop.wait(TURN_SECONDS)
                    self._report()
            except OutboxUnavailable as error:
                # The lanes see for themselves; until there is somebody to listen to again, they look now and then.
                self._log.warning("can't listen to the database", error=str(error))
                self._stop.wait(PAUSE_SECONDS)

    def _listen(self, locks: PostgresLocks) -> None:
        """Wake lanes as Postgres tells of their rows, and share them out, until something is wrong or it is enough."""
        with self._database.connect() as ear, self._database.connect() as connection:
            locks.show_presence(connection)
            driver: Any = ear.connection.driver_connection
            driver.autocommit = True
            driver.execute(f"LISTEN {CHANNEL}")
            # What was told while nobody listened.
            for lane in self._lanes:
                lane.wake()
            share_at = 0.0
            while not self._stop.is_set():
                if time.monotonic() >= share_at:
                    share_at = time.monotonic() + SHARE_SECONDS
                    self._share_out(locks, connection)
                for notice in driver.notifies(timeout=TURN_SECONDS, stop_after=1):
                    self._wake(notice.payload)
                self._report()

    def _report(self) -> None:
        if time.monotonic() < self._report_at:
            return
        self._report_at = time.monotonic() + REPORT_SECONDS
        moved = self.moved
        if moved != self._reported:
            self._log.info(
                "moved", rows=moved - self._reported, lanes=sum(lane.is_owned.is_set() for lane in self._lanes)
            )
            self._reported = moved

    def _wake(self, payload: str) -> None:
        number = int(payload) if payload.isdecimal() else LANES
        if number < LANES:
            self._lanes[number].wake()

    def _share_out(self, locks: PostgresLocks, connection: Connection) -> None:
        share = fair_share(locks.relays(connection))
        owned = [lane for lane in self._lanes if lane.is_owned.is_set()]
        for lane in owned[share:]:
            lane.wanted.clear()
            lane.wake()
        if len(owned) < share:
            for lane in self._lanes:
                lane.wanted.set()
        elif len(owned) == share:
            # Enough: the others are left to other relays.
            for lane in self._lanes:
                if not lane.is_owned.is_set():
                    lane.wanted.clear()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        if not isinstance(error, TidemillError):
            self._log.critical("a lane ended by an error of the relay", exc_info=error)
        self._stop.set()

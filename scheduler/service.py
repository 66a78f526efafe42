"""The scheduler's program: a member of the group, keepers for the partitions it is given, an eye on the jobs' file."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from scheduler.delays.duty import DelaysDuty
from scheduler.jobs_file import JobsFile
from scheduler.log import partitions_of
from scheduler.ownership.keeper import Keeper
from scheduler.ownership.membership import Membership
from scheduler.ticks.duty import TicksDuty
from scheduler.ticks.emitting import Emitting
from scheduler.ticks.finished import Finished
from scheduler.topics import JOBS
from tidemill import delayed
from tidemill.codec import Codec
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.contracts.registry import Registry
from tidemill.destinations import Destinations
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from scheduler.ownership.duty import Duty
    from tidemill.config import Settings

GROUP = "tidemill.scheduler"


def instance_name() -> str:
    """Which instance this is, for people: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Service:
    """One instance of the scheduler.

    Args:
        settings: Addresses, limits, namespace.
        jobs_file: The schedule to put into force, now and whenever it changes; None to take what is in force.
        folder: Where it may keep files while it runs; None for the system's temporary folder.
        on_ready: Called once the group has answered.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        jobs_file: Path | None = None,
        folder: Path | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._on_ready = on_ready
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._by = instance_name()
        self._registry = Registry(settings)
        self._catalogue = Catalogue(installed_events())
        self._emitting = Emitting(settings, Codec(self._registry), self._catalogue, self._by, Destinations.of(settings))
        self._jobs_file = None if jobs_file is None else JobsFile(jobs_file, settings, self._catalogue, self._by)
        self._log = get_logger("scheduler")

    def stop(self) -> None:
        """Finish the transactions under way, leave the group and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Emit what is due until told to stop.

        Raises:
            JobsError: The schedule can't be used.
            UnknownTopic, SchemaNotRegistered, BrokerError, RegistryError: Something it needs isn't there.
        """
        try:
            self._run()
        finally:
            self._stop.set()
            self._registry.close()
        if self._failure is not None:
            raise self._failure
        self._log.info("stopped")

    def _run(self) -> None:
        for topic in (JOBS.name, delayed.TOPIC):
            partitions_of(self._settings, topic)
        self._emitting.prepare()
        if self._jobs_file is not None:
            self._jobs_file.apply()
        membership = Membership(self._settings, GROUP, [JOBS.name, delayed.TOPIC], self._make_keeper)
        self._log.info("started", instance=self._by, jobs_file=str(self._jobs_file) if self._jobs_file else None)
        watching = threading.Thread(target=self._watch, name="watch of the jobs' file", daemon=True)
        watching.start()
        is_ready = False

        def until() -> bool:
            nonlocal is_ready
            if not is_ready and membership.assigned.is_set():
                is_ready = True
                self._log.info("ready", partitions=len(membership.keepers), pid=os.getpid())
                if self._on_ready is not None:
                    self._on_ready()
            return self._stop.is_set()

        try:
            membership.run(until)
        finally:
            self._stop.set()
            watching.join(5.0)

    def _watch(self) -> None:
        if self._jobs_file is None:
            return
        try:
            self._jobs_file.watch(self._stop)
        except BaseException as error:  # noqa: BLE001 - the thread's end must end the program, with the reason
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stop.set()

    def _make_keeper(self, topic: str, partition: int) -> Keeper:
        make = self._make_ticks if topic == JOBS.name else self._make_delays
        return Keeper(self._settings, GROUP, topic, partition, lambda: make(partition), self._fail)

    def _make_ticks(self, partition: int) -> Duty:
        topic = self._settings.qualified(JOBS.name)
        return TicksDuty(topic, partition, self._emitting, Finished(self._settings))

    def _make_delays(self, partition: int) -> Duty:
        return DelaysDuty(self._settings, partition, by=self._by, folder=self._folder)

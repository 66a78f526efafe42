"""The negative control: a scheduler of ticks as one would write it in an afternoon. `-m tests.crash.clock.ticks_naive`.

It emits the same ticks of the same jobs and keeps its state in the same topic, but writes the state after the ticks,
without transactions, and trusts that the group tells in time whose partitions they are. Addresses and namespace come
from TIDEMILL_*. A storm in which it doubles and loses nothing is blind.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from scheduler.log import read_log
from scheduler.service import instance_name
from scheduler.ticks.books import Books, Page, State, key_of, to_bytes
from scheduler.ticks.emitting import Emitting
from scheduler.ticks.plan import plan
from scheduler.topics import JOBS
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.catalogue import Catalogue, installed_events
from tidemill.contracts.registry import Registry
from tidemill.telemetry import configure_logging, get_logger

LOOK_SECONDS = 0.1


class Naive:
    """Emits the ticks of the partitions that its group gives it.

    Args:
        settings: Where.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings)
        self._emitting = Emitting(settings, Codec(self._registry), Catalogue(installed_events()), instance_name())
        self._producer = Producer(broker.producer_config(settings))
        self._consumer = Consumer(broker.consumer_config(settings, "ticks-naive"))
        self._topic = settings.qualified(JOBS.name)
        self._books: dict[int, Books] = {}
        self._log = get_logger("naive")

    def run(self, stop: threading.Event) -> None:
        """Emit until told to stop."""
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        while not stop.is_set():
            self._emit()
            self._consumer.poll(0)
            time.sleep(LOOK_SECONDS)
        self._consumer.close()
        self._registry.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        for each in partitions:
            began = time.monotonic()
            self._books[each.partition] = Books()
            for message in read_log(self._settings, JOBS.name, [each.partition]):
                self._take(each.partition, message)
            seconds = round(time.monotonic() - began, 3)
            self._log.info("owns the partition", topic=self._topic, partition=each.partition, seconds=seconds)
        self._log.info("ready", pid=os.getpid())

    def _take(self, partition: int, message: Message) -> None:
        key = message.key()
        self._books[partition].take(key if isinstance(key, bytes) else None, message.value())

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._books.pop(each.partition, None)
        consumer.incremental_unassign(partitions)

    def _emit(self) -> None:
        now = datetime.now(UTC)
        states: list[tuple[int, str, State]] = []
        for partition, books in self._books.items():
            for page in books.pages.values():
                if page.definition is not None and (state := self._emit_job(page, now)) is not None:
                    page.state = state
                    states.append((partition, page.name, state))
        if not states:
            return
        self._producer.flush()
        for partition, name, state in states:
            self._producer.produce(self._topic, to_bytes(state), key_of("state", name), partition)
        self._producer.flush()

    def _emit_job(self, page: Page, now: datetime) -> State | None:
        made = plan(page, now, lambda: True)
        for tick in made.ticks:
            events = self._emitting.tick(made.job, tick, now)
            for event in (events.event, events.emit):
                if event is not None:
                    self._producer.produce(event.topic, event.value, event.key, headers=list(event.headers))
        if not made.ticks or made.settled is None:
            return None
        return State(made.settled, made.ticks[-1].sequence, 0)


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings()
    configure_logging(settings)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Naive(settings).run(stop)


if __name__ == "__main__":
    main()

"""The tracker's program: a member of a consumer group that folds what its partitions tell into the table of jobs.

Offsets lie in the same transaction as the rows, so each message counts once whatever is killed; none are committed to
Kafka. Two or more trackers share the partitions, and any of them may be lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Event as Flag
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from consumers.status.awaited import installed_awaited
from consumers.status.evidence import Batch, Evidence
from consumers.status.fold import delete_old, fold, forget_offset, generation, read_offsets
from consumers.status.topics import partitions_there, roles
from consumers.status.undecoded import Undecoded
from tidemill import broker
from tidemill.codec import Codec
from tidemill.contracts.registry import Registry
from tidemill.errors import RegistryError, StatusUnavailable, TidemillError, UnknownTopic
from tidemill.jobs.database import Database
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from consumers.status.facts import Place
    from tidemill.config import Settings

GROUP = "tidemill.tracker"
BATCH = 5_000
"""Messages in one transaction, at most."""
POLL_SECONDS = 0.2
LOOK_SECONDS = 10.0
"""How often it looks for new topics: a stream makes its retry topic when it is first started."""
CLEAN_SECONDS = 60.0
ASK_SECONDS = 10.0
FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.1, 5.0
_PASSING = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError.UNKNOWN_TOPIC_OR_PART})
"""What brokers that are away, or topics that were deleted, make a consumer say."""

T = TypeVar("T")


class _Stopped(Exception):
    """Told to stop while something was waited for."""


class Tracker:
    """One instance of the tracker.

    Args:
        settings: Addresses, namespace, where the table is.
        on_ready: Called once the group has given it its partitions, be it none.

    Raises:
        ConfigError: The extra `status` isn't installed, or `status_url` can't be used.
    """

    def __init__(self, settings: Settings, *, on_ready: Callable[[], None] | None = None) -> None:
        self._settings = settings
        self._on_ready = on_ready
        self._database = Database(settings)
        self._registry = Registry(settings)
        self._codec = Codec(self._registry)
        self._awaited = installed_awaited(settings)
        self._undecoded = Undecoded()
        self._stop = Flag()
        self._generation: int | None = None
        self._subscribed: list[str] = []
        self._held: list[Message] = []
        self._ends: dict[Place, int] = {}
        """Where partitions were read to their end since the last transaction."""
        self._evidence = Evidence(settings, {}, self._codec, self._awaited)
        self._log = get_logger("tracker")
        self.folded = 0
        """Messages, since the start."""

    def stop(self) -> None:
        """Finish the transaction under way, leave the group and return from `run`."""
        self._stop.set()

    def run(self) -> None:
        """Fold what there is, and what comes, until told to stop.

        Raises:
            UnknownTopic, BrokerError: None of the topics is there, or they can't be read.
            StatusUnavailable: The table is of another version.
        """
        consumer = self._consumer()
        try:
            self._generation, _ = self._patiently(self._offsets)
            self._subscribe(consumer)
            self._log.info("started", database=self._database.shown, topics=len(self._subscribed), pid=os.getpid())
            look_at, clean_at = time.monotonic() + LOOK_SECONDS, time.monotonic()
            while not self._stop.is_set():
                messages = self._next(consumer)
                if messages or self._ends:
                    self._fold(consumer, messages)
                now = time.monotonic()
                if now >= look_at:
                    self._subscribe(consumer)
                    look_at = now + LOOK_SECONDS
                if now >= clean_at:
                    clean_at = now + (0.0 if self._clean() else CLEAN_SECONDS)
        except _Stopped:
            pass  # What was in hand is read again.
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error
        finally:
            consumer.close()
            self._registry.close()
            self._database.close()
        self._log.info("stopped", folded=self.folded)

    def _consumer(self) -> Consumer:
        config = {
            **broker.consumer_config(self._settings, GROUP),
            "fetch.wait.max.ms": 100,
            # Says how far a partition goes whose last offset is no message (the end of a transaction).
            "enable.partition.eof": True,
            # Per partition, and there are many of them.
            "queued.max.messages.kbytes": 512,
        }
        try:
            return Consumer({**config, "error_cb": self._on_error})
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error

    def _subscribe(self, consumer: Consumer) -> None:
        try:
            there = sorted(partitions_there(self._settings))
        except TidemillError as error:
            if not self._subscribed:
                raise
            self._log.warning("can't look for new topics, will look again", error=str(error))
            return
        if not there:
            raise UnknownTopic(
                f"None of the topics that tell of jobs is at {self._settings.bootstrap_servers}.",
                hint="Create them from the contracts with `tidemill topics apply`.",
            )
        if there != self._subscribed:
            self._subscribed = there
            self._evidence.roles = roles(self._settings, there)
            consumer.subscribe(there, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Should the rows have been exchanged, the next fold sees that, and all partitions begin anew.
        _, offsets = self._patiently(self._offsets)
        consumer.incremental_assign(self._starts(consumer, partitions, offsets))
        self._log.info("partitions assigned", partitions=len(partitions))
        if self._on_ready is not None:
            self._on_ready()
            self._on_ready = None

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)

    def _starts(
        self, consumer: Consumer, partitions: Sequence[TopicPartition], offsets: Mapping[Place, int]
    ) -> list[TopicPartition]:
        """Where to go on in these partitions: at the offsets that lie with the rows, as far as the logs have them."""
        starts = []
        for part in partitions:
            place = (part.topic, part.partition)
            start = offsets.get(place)
            if start is not None:
                start = self._start_in_log(consumer, place, start)
            starts.append(TopicPartition(*place, OFFSET_BEGINNING if start is None else start))
        return starts

    def _start_in_log(self, consumer: Consumer, place: Place, start: int) -> int | None:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=ASK_SECONDS)
        except KafkaException as error:
            self._log.warning("can't find out what the log holds", topic=place[0], error=error.args[0].str())
            return start
        if start > high:
            self._log.error(
                "the log doesn't go as far as it was read, it is read again from its beginning",
                topic=place[0],
                partition=place[1],
                read_up_to=start,
                log_ends=high,
                hint="The topic was made anew; `tidemill tracker rebuild --forget` forgets what was in the old one.",
            )
            self._patiently(lambda: self._forget(place))
            return None
        if start < low:
            self._log.error(
                "messages were deleted before they were read, jobs may lack what they told",
                topic=place[0],
                partition=place[1],
                from_offset=start,
                to_offset=low,
                hint="A tracker must not be away for longer than topics keep their messages.",
            )
            return low
        return start

    def _forget(self, place: Place) -> None:
        with self._database.writing() as connection:
            forget_offset(connection, place)

    def _offsets(self) -> tuple[int, dict[Place, int]]:
        with self._database.writing() as connection:
            return generation(connection), read_offsets(connection)

    def _is_good(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[message.topic() or "", message.partition() or 0] = message.offset() or 0
            return False
        if error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise broker.from_kafka(error, self._settings, topic=message.topic())
        self._log.warning("kafka", error=error.str())
        return False

    def _next(self, consumer: Consumer) -> list[Message]:
        """What has come; waits for the first message only."""
        first = consumer.poll(POLL_SECONDS)
        found = [] if first is None else [first, *consumer.consume(BATCH - 1, 0)]
        messages, self._held = self._held, []
        return [*messages, *(message for message in found if self._is_good(message))]

    def _fold(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        batch = self._patiently(lambda: self._write(messages), consumer)
        if batch is None:
            self._log.info("the rows were exchanged, going on where the new ones end")
            self._generation, offsets = self._patiently(self._offsets)
            self._held.clear()
            self._ends.clear()
            for start in self._starts(consumer, consumer.assignment(), offsets):
                consumer.seek(start)
            return
        self._ends.clear()
        self.folded += batch.messages
        self._undecoded.count(batch)

    def _write(self, messages: Sequence[Message]) -> Batch | None:
        """Fold messages; None where their offsets belong to rows that there are no more."""
        batch = self._evidence.batch(messages)
        for place, end in self._ends.items():
            batch.offsets[place] = max(batch.offsets.get(place, 0), end)
        with self._database.writing() as connection:
            if generation(connection) != self._generation:
                return None
            fold(connection, batch, self._awaited)
        return batch

    def _patiently(self, step: Callable[[], T], consumer: Consumer | None = None) -> T:
        """Do something for which the database, or the registry, may have to come back first.

        Args:
            step: What to do; it may be done again.
            consumer: Polled meanwhile, so that the group doesn't take its member for dead; what it gives is kept.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return step()
            except (RegistryError, StatusUnavailable) as error:
                if not error.retriable:
                    raise
                self._log.warning("can't go on, will try again", error=str(error), in_seconds=pause_seconds)
            if consumer is not None:
                consumer.pause(consumer.assignment())
                if (message := consumer.poll(0)) is not None and self._is_good(message):
                    self._held.append(message)
            if self._stop.wait(pause_seconds):
                raise _Stopped
            if consumer is not None:
                consumer.resume(consumer.assignment())
            pause_seconds = min(MOST_PAUSE_SECONDS, pause_seconds * 2)

    def _clean(self) -> int:
        """Delete some of what is too old; returns how many jobs."""
        before_ms = round((time.time() - timedelta(days=self._settings.status_keep_days).total_seconds()) * 1000)
        try:
            with self._database.writing() as connection:
                return delete_old(connection, before_ms)
        except StatusUnavailable as error:
            self._log.warning("old jobs can't be deleted now", error=str(error))
            return 0

    def _on_error(self, error: KafkaError) -> None:
        self._log.warning("kafka", error=error.str())

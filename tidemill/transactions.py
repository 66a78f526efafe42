"""Transactions of the owner of a share of work: all of one is read, or nothing; and only the latest owner can commit.

The transactional id belongs to the share (a partition, a lane), not to the instance: who takes it over (KIP-98,
InitProducerId) bumps its epoch, and the broker refuses whatever the owner before it still tries to write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tidemill import broker
from tidemill.errors import BrokerError, TidemillError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

TRANSACTION_SECONDS = 30.0
"""The broker aborts what is left open for longer, so that it can't keep readers waiting."""
DELIVERY_SECONDS = 20.0
"""Shorter than a transaction (librdkafka demands it)."""
CALL_SECONDS = 5.0
"""How long one call may block before it is looked whether this owner is still wanted."""
MOST_TRY_AGAIN_SECONDS = 1.0

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)
_NEVER_TAKEN = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.POLICY_VIOLATION,
    }
)
"""What a broker says of a record that it will say again the next time."""
_PASSING = frozenset({KafkaError._MSG_TIMED_OUT, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})


class Fenced(Exception):
    """Another instance has taken the transactional id over: nothing that this one writes counts any more."""


class Aborted(Exception):
    """The transaction came to nothing; none of it is read. It can be tried again."""


class Refused(Exception):
    """The brokers will never take some records of the transaction; none of it is read.

    Args:
        records: What `Writer.produce` had returned for them, each with the reason.
    """

    def __init__(self, records: dict[Written, TidemillError]) -> None:
        super().__init__("; ".join(sorted({str(error) for error in records.values()})))
        self.records = records


class Halted(Exception):
    """The share is given up; whether a commit under way has succeeded is for the next owner to see in the log."""


class Written:
    """Where a record of a transaction lies; known after `Writer.flush`."""

    __slots__ = ("offset", "partition", "topic")

    def __init__(self) -> None:
        self.topic = ""
        self.partition = self.offset = -1


class Writer:
    """Writes into the open transaction of a producer."""

    def __init__(self, producer: Producer, settings: Settings) -> None:
        self._producer = producer
        self._settings = settings
        self._refused: dict[Written, TidemillError] = {}
        self._failed: KafkaError | None = None

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        *,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Written:
        """Write a record.

        Args:
            topic: With the namespace.
            key, value, headers: As they are; a value of None removes the key from a compacted topic.
            partition: None for the key's.
            timestamp_ms: Milliseconds since 1970; None for now.

        Returns:
            Where it will lie.
        """
        written = Written()

        def failed(error: KafkaError) -> None:
            if error.code() in _NEVER_TAKEN:
                size_bytes = len(key or b"") + len(value or b"")
                self._refused[written] = broker.from_kafka(error, self._settings, topic=topic, size_bytes=size_bytes)
            else:
                self._failed = self._failed or error

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                failed(error)
            else:
                written.topic = message.topic() or ""
                written.partition, written.offset = message.partition() or 0, message.offset() or 0

        more: dict[str, Any] = {} if partition is None else {"partition": partition}
        if timestamp_ms is not None:
            more["timestamp"] = timestamp_ms
        while True:
            try:
                self._producer.produce(topic, value, key, headers=[*headers], on_delivery=delivered, **more)
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                if error.args[0].code() not in _NEVER_TAKEN:
                    raise
                failed(error.args[0])
                return written
            else:
                return written

    def flush(self) -> None:
        """Wait until the brokers have all that was written.

        Raises:
            Refused: Some of it will never be taken.
            KafkaException: Some of it was not, and may be another time.
        """
        deadline = time.monotonic() + DELIVERY_SECONDS + CALL_SECONDS
        while self._producer.flush(1.0) and time.monotonic() < deadline:
            continue
        if self._refused:
            raise Refused(self._refused)
        if self._failed is not None:
            raise KafkaException(self._failed)


class Transactions:
    """The transactional producer of one share's owner.

    Args:
        settings: Addresses, security, namespace.
        transactional_id: Of the share, without the namespace.
        halt: Set when the share is to be given up: ends what would wait.
    """

    def __init__(self, settings: Settings, transactional_id: str, halt: threading.Event) -> None:
        self._settings = settings
        self._halt = halt
        self._log = get_logger("transactions").bind(transactional_id=transactional_id)
        config = {
            **broker.producer_config(settings),
            "transactional.id": settings.qualified(transactional_id),
            "transaction.timeout.ms": round(TRANSACTION_SECONDS * 1000),
            "delivery.timeout.ms": round(DELIVERY_SECONDS * 1000),
            # What is due is written at once; a transaction is its own batch.
            "linger.ms": 0,
            # An event that was as large as it may be has its route in headers besides.
            "message.max.bytes": settings.max_event_bytes + broker.BATCH_OVERHEAD_BYTES + broker.HEADROOM_BYTES,
            "error_cb": self._on_error,
        }
        try:
            self._producer = Producer(config)
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], settings) from error

    def take_over(self) -> None:
        """Shut out the owner before: its open transaction is aborted, and it can't commit any more.

        Raises:
            BrokerError: Not allowed, or not possible.
            Halted: The share was given up meanwhile.
        """
        self._insist(self._producer.init_transactions)

    def run(self, write: Callable[[Writer], None]) -> None:
        """Write something in one transaction.

        Args:
            write: Writes it.

        Raises:
            Fenced: Another instance owns the share by now. Nothing was emitted.
            Aborted: Nothing was emitted; it may be tried again.
            Refused: Nothing was emitted, and some of it never will be.
            BrokerError: This producer can't go on.
            Halted: The share was given up before the answer came.
        """
        writer = Writer(self._producer, self._settings)
        try:
            self._producer.begin_transaction()
            write(writer)
            # First this: delivery reports must be served while a commit waits for them (librdkafka, rdkafka.h).
            writer.flush()
            self._insist(self._producer.commit_transaction)
        except KafkaException as error:
            self._raise(error.args[0], error)
        except (Fenced, Aborted, Halted):
            raise
        except BaseException:  # whatever `write` raises
            self._abort()
            raise

    def _insist(self, call: Callable[[float], Any]) -> None:
        """Call until there is an answer: the same call again asks for the outcome of the first one."""
        pause_seconds = 0.05
        while True:
            try:
                call(CALL_SECONDS)
                return
            except KafkaException as error:
                cause = error.args[0]
                if not cause.retriable() or cause.fatal():
                    self._raise(cause, error)
                if self._halt.wait(pause_seconds):
                    raise Halted from error
                pause_seconds = min(MOST_TRY_AGAIN_SECONDS, pause_seconds * 2)

    def _raise(self, error: KafkaError, cause: KafkaException) -> None:
        if error.code() in _FENCED:
            raise Fenced(error.str()) from cause
        if not error.fatal() and (error.txn_requires_abort() or error.code() in _PASSING):
            self._abort()
            raise Aborted(error.str()) from cause
        raise broker.from_kafka(error, self._settings) from cause

    def _abort(self) -> None:
        """Have nothing of the open transaction read."""
        try:
            self._insist(self._producer.abort_transaction)
        except BrokerError as error:
            # The next owner's take-over aborts it, or the broker after TRANSACTION_SECONDS; it isn't read either way.
            self._log.warning("the transaction is left to be aborted by the next owner", error=str(error))

    def _on_error(self, error: KafkaError) -> None:
        self._log.warning("kafka", error=error.str())

    def close(self) -> None:
        """Let go of the producer; an open transaction is aborted by the next owner. Raises nothing."""
        try:
            self._producer.purge()
            self._producer.flush(0)
        except KafkaException as error:
            # A fenced producer says so at every call; whoever was in one has been told.
            self._log.debug("a producer that can't go on is let go of", error=error.args[0].str())

"""The producer under both publishers: one librdkafka producer and one thread that serves its delivery reports.

Relies on librdkafka calling each message's report exactly once (acknowledged, failed or purged). Must never drop a
report: a receipt that is never settled is silence, and silence is what publishing must not do.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tidemill import broker
from tidemill.errors import BrokerUnreachable, BufferFull, NotDelivered, PublisherClosed, TidemillError
from tidemill.publisher.preparing import Outgoing

if TYPE_CHECKING:
    from tidemill.config import Settings

OnDelivery = Callable[[KafkaError | None, Any], None]

EXIT_FLUSH_SECONDS = 10.0
"""How long a program that exits without close() is held up to deliver what still waits."""

EXPIRY_SECONDS = 2.0
"""librdkafka looks once a second for events whose time is over; their failures are to be seen, too."""

logger = logging.getLogger("tidemill.publisher")

_cores: weakref.WeakSet[ProducerCore] = weakref.WeakSet()


class ProducerCore:
    """Owns the producer, counts what failed, and knows whether brokers are in reach.

    The producer is made at the first use and anew after a fork: librdkafka's threads don't live on in a forked child
    (librdkafka INTRODUCTION.md), so a publisher made before a web server forks works in each of its workers.

    Args:
        settings: Addresses, security, limits.
        config: librdkafka settings that win over ours, for tests and special producers.
    """

    def __init__(self, settings: Settings, config: dict[str, Any] | None = None) -> None:
        self.settings = settings
        self._config = config or {}
        self._lock = threading.Lock()
        self.settled = threading.Condition()
        self.waiters = 0
        self._producer: Producer | None = None
        self._pid = 0
        self._thread: threading.Thread | None = None
        self.down: str | None = None
        self._failures: list[TidemillError] = []
        self._failed = 0
        self.closed = False
        _cores.add(self)

    @property
    def producer(self) -> Producer:
        """The librdkafka producer of this process."""
        if self._producer is None or self._pid != os.getpid():
            self.open()
        assert self._producer is not None
        return self._producer

    def open(self) -> None:
        """Make the producer, if this process has none yet."""
        with self._lock:
            self.check_open()
            if self._producer is not None and self._pid == os.getpid():
                return
            try:
                self._producer = Producer(
                    {**broker.producer_config(self.settings), **self._config, "error_cb": self._on_error}
                )
            except KafkaException as error:
                raise broker.from_kafka(error.args[0], self.settings) from error
            self._pid = os.getpid()
            self._thread = threading.Thread(
                target=self._serve, args=(self._producer,), name="tidemill-delivery", daemon=True
            )
            self._thread.start()

    def check_open(self) -> None:
        """Raise PublisherClosed after `close`."""
        if self.closed:
            raise PublisherClosed("The publisher is closed.", hint="Publish before close(), or make a new one.")

    def after_fork(self) -> None:
        """Begin anew in a forked child: another thread may have held the locks, and what failed is the parent's."""
        self._lock = threading.Lock()
        self.settled = threading.Condition()
        self.waiters = 0
        self._failed, self._failures = 0, []
        self.down = None

    def _serve(self, producer: Producer) -> None:
        while not self.closed:
            try:
                producer.poll(0.2)
            except Exception:
                # What a callback raises comes out here; the reports after it must still be served.
                logger.exception("serving delivery reports failed")

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.down = error.str()
        logger.warning("kafka: %s", error.str())

    def produce(self, message: Outgoing, on_delivery: OnDelivery) -> bool:
        """Hand a message to librdkafka.

        Returns:
            False where its buffer is full; the caller decides how to wait.

        Raises:
            PublisherClosed, EventTooLarge, BrokerError: The message was not taken.
        """
        self.check_open()
        try:
            producer = self.producer
            producer.produce(
                message.topic, message.value, message.key, headers=[*message.headers], on_delivery=on_delivery
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise broker.from_kafka(
                error.args[0], self.settings, topic=message.topic, size_bytes=message.size_bytes
            ) from error
        if self.closed:
            # Another thread closed it meanwhile, and nobody serves reports any more: this event's must still come.
            producer.purge()
            producer.flush(1)
        return True

    def error_for(self, error: KafkaError, message: Any) -> TidemillError:
        """The error for a failed delivery report, remembered for the next flush."""
        failure = broker.from_kafka(error, self.settings, topic=message.topic(), size_bytes=len(message))
        if isinstance(failure, NotDelivered) and self.down:
            failure = broker.unreachable(self.settings, self.down)
        with self._lock:
            self._failed += 1
            if len(self._failures) < 5:
                self._failures.append(failure)
        return failure

    def waiting_error(self, event_id: str, waited_seconds: float) -> NotDelivered | BrokerUnreachable:
        """The error for a receipt whose acknowledgement hasn't come in the time that its caller gave it."""
        if self.down:
            return broker.unreachable(self.settings, self.down)
        return NotDelivered(
            f"Event {event_id} is not acknowledged after {waited_seconds:g} s; it is still being tried.",
            hint="Ask the receipt again, or wait longer.",
        )

    def buffer_full(self) -> BufferFull:
        """The error for a buffer that stayed full as long as the settings allow."""
        return BufferFull(
            f"The local buffer stayed full for {self.settings.buffer_wait_seconds:g} s (buffer_wait_seconds): "
            f"{self.settings.bootstrap_servers} takes events more slowly than they are published, or not at all.",
            hint="Publish more slowly, or wait and publish again.",
        )

    def flush(self, timeout_seconds: float | None) -> None:
        """Wait until everything is acknowledged.

        Args:
            timeout_seconds: None waits until every event is acknowledged or has failed by `delivery_timeout_seconds`.

        Raises:
            NotDelivered: Something wasn't, in this time or for good; the first reasons are in the message.
            BrokerUnreachable: Nothing was, since no broker answers.
        """
        if timeout_seconds is None:
            timeout_seconds = self.settings.delivery_timeout_seconds + EXPIRY_SECONDS
        left = 0
        if self._producer is not None and self._pid == os.getpid():
            left = self._producer.flush(timeout_seconds)
        self._raise_failures(left, timeout_seconds)

    def _raise_failures(self, left: int, timeout_seconds: float) -> None:
        with self._lock:
            failed, failures = self._failed, self._failures
            self._failed, self._failures = 0, []
        if left and self.down and not failed:
            raise broker.unreachable(self.settings, f"{left:,} events wait")
        if failed or left:
            parts = []
            if failed:
                parts.append(f"{failed:,} events failed since the last flush")
            if left:
                parts.append(f"{left:,} events are not acknowledged after {timeout_seconds:g} s")
            reasons = "; ".join(dict.fromkeys(str(failure) for failure in failures))
            raise NotDelivered(" and ".join(parts) + (f": {reasons}" if reasons else "."))

    def close(self, timeout_seconds: float | None) -> None:
        """Flush, then stop; whatever can't be delivered in time fails its receipt. Raises as `flush` does."""
        if self.closed:
            return
        try:
            self.flush(timeout_seconds)
        finally:
            self.stop()
        # What another thread published between the two has failed by now.
        self._raise_failures(0, 0.0)

    def stop(self) -> None:
        """Stop at once: events that wait fail, and their receipts with them."""
        self.closed = True
        if self._producer is not None and self._pid == os.getpid():
            self._producer.purge()
            self._producer.flush(1)
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(2)
        self._producer = None


def _at_exit() -> None:
    for core in list(_cores):
        if core.closed:
            continue
        try:
            core.flush(EXIT_FLUSH_SECONDS)
        except TidemillError as error:
            # The program is ending and nobody can catch this any more; it must not be silent.
            logger.critical("events were lost at exit: %s", error)


def _after_fork() -> None:
    for core in _cores:
        core.after_fork()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)

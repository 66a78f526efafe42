"""Messages that were let go from memory while their key waited, fetched again by their offsets.

A consumer without a part in the group, in a thread of its own, opened when it is first needed. Must commit nothing, and
must not take an event for deleted before the log itself has said so.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    import asyncio

    from confluent_kafka import Message

    from tidemill.config import Settings

POLL_SECONDS = 0.1
BATCH = 500
FAR_EVENTS = 5_000
"""Messages that nobody asked for, from which on reading begins elsewhere rather than going through them."""
ASK_SECONDS = 2.0
ASK_AGAIN_SECONDS = 1.0
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Wanted:
    """Messages that are to come back."""

    topic: str
    number: int
    offsets: Sequence[int]
    """Ascending."""
    is_moot: Callable[[], bool]
    """Whether nobody needs them any more; asked from the thread."""
    back: Callable[[list[Any]], None]
    """Called on the event loop with those that the log still holds."""


class Recall:
    """Fetches messages again.

    Args:
        settings: Addresses and security.
        group: The stream's consumer group, whose rights it reads with.
        loop: Where answers go.
    """

    def __init__(self, settings: Settings, group: str, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._config = {
            **broker.consumer_config(settings, group),
            # Both are answers: the log ends here, and the log doesn't go back as far.
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
        self._loop = loop
        self.failed: asyncio.Future[None] = loop.create_future()
        """Gets the exception if nothing can be fetched any more: keys would wait for ever."""
        self._wanted: queue.SimpleQueue[Wanted | None] = queue.SimpleQueue()
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = get_logger("recall").bind(group=group)

    def want(self, wanted: Wanted) -> None:
        """Fetch these; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recall", daemon=True)
            self._thread.start()
        self._wanted.put(wanted)

    def stop(self) -> None:
        """Fetch no more."""
        self._halt.set()
        self._wanted.put(None)
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            consumer = Consumer(self._config)
            try:
                while (wanted := self._wanted.get()) is not None and not self._halt.is_set():
                    found = self._fetch(consumer, wanted)
                    self._call(wanted.back, found)
            finally:
                consumer.close()
        except KafkaException as error:
            self._call(self._fail, broker.from_kafka(error.args[0], self._settings))
        except Exception as error:  # noqa: BLE001 - the thread's end must end the worker, with the reason
            self._call(self._fail, error)

    def _call(self, function: Callable[[Any], None], argument: Any) -> None:
        # Once it is told to stop, nobody waits for an answer, and the loop may be closed.
        if not self._halt.is_set():
            self._loop.call_soon_threadsafe(function, argument)

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _fetch(self, consumer: Consumer, wanted: Wanted) -> list[Message]:
        left = deque(wanted.offsets)
        found: list[Message] = []
        self._read_from(consumer, wanted, left[0])
        while left and not self._halt.is_set() and not wanted.is_moot():
            first = consumer.poll(POLL_SECONDS)
            for message in [] if first is None else [first, *consumer.consume(BATCH, 0)]:
                error, offset = message.error(), message.offset() or 0
                if error is not None:
                    self._take_answer(consumer, wanted, left, error, offset)
                    continue
                # What should lie between the one before and this one is gone: transactions, compaction.
                _drop_before(left, offset)
                if left and left[0] == offset:
                    found.append(message)
                    left.popleft()
                if left and left[0] - offset > FAR_EVENTS:
                    self._read_from(consumer, wanted, left[0])
                    break
        consumer.unassign()
        return found

    def _read_from(self, consumer: Consumer, wanted: Wanted, offset: int) -> None:
        consumer.assign([TopicPartition(wanted.topic, wanted.number, offset)])

    def _take_answer(
        self, consumer: Consumer, wanted: Wanted, left: deque[int], error: KafkaError, offset: int
    ) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            _drop_before(left, offset)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            try:
                low, _ = consumer.get_watermark_offsets(
                    TopicPartition(wanted.topic, wanted.number), timeout=ASK_SECONDS
                )
            except KafkaException as unknown:
                self._log.warning("can't find out what the log holds, will ask again", error=str(unknown))
                low = 0
            _drop_before(left, low)
            if left and left[0] == offset:
                # Nobody answers, or the log ends before it, of which the stream's own consumer tells.
                self._halt.wait(ASK_AGAIN_SECONDS)
            if left:
                self._read_from(consumer, wanted, left[0])
        else:
            # librdkafka goes on by itself.
            self._log.warning("recall", error=error.str(), code=error.name())


def _drop_before(left: deque[int], offset: int) -> None:
    while left and left[0] < offset:
        left.popleft()

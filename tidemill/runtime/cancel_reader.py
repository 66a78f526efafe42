"""Follows `job.cancel` for the streams of a process that heed it: first all that is there, then whatever comes.

A consumer without a part in any group, in a thread of its own; it must commit nothing. While Kafka or the registry is
away it waits, and what was asked meanwhile comes when they are back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import DecodeError, RegistryError
from tidemill.events import JobCancel
from tidemill.runtime.cancels import reason
from tidemill.runtime.error_text import brief
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.codec import Codec
    from tidemill.config import Settings

POLL_SECONDS = 0.2
BATCH = 500
ASK_SECONDS = 5.0
ASK_AGAIN_SECONDS = 1.0
STOP_SECONDS = 5.0

Take = Callable[[list[tuple[str, str]]], None]


class CancelReader:
    """Reads `job.cancel`.

    Args:
        settings: Addresses and namespace.
        codec: Decodes what is read.
        take: Called on the event loop with jobs, each with who cancels it and why.
    """

    def __init__(self, settings: Settings, codec: Codec, take: Take) -> None:
        self._settings = settings
        self._codec = codec
        self._take = take
        self._topic = settings.qualified(JobCancel.__contract__.topic)
        self._loop = asyncio.get_running_loop()
        self.has_caught_up: asyncio.Future[None] = self._loop.create_future()
        """Done once everything was taken that was there at the start."""
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Gets the exception if nothing can be read any more: a cancelled job would go on."""
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cancels", daemon=True)
        self._log = get_logger("cancels").bind(topic=self._topic)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            consumer = Consumer({**broker.consumer_config(self._settings, "tidemill.cancels"), **_OURS})
            try:
                self._read(consumer)
            finally:
                consumer.close()
        except KafkaException as error:
            self._call(_fail, self.failed, broker.from_kafka(error.args[0], self._settings, topic=self._topic))
        except Exception as error:  # noqa: BLE001 - the thread's end must end the worker, with the reason
            self._call(_fail, self.failed, error)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        # Once it is told to stop, nobody waits for an answer, and the loop may be closed.
        if not self._halt.is_set():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _read(self, consumer: Consumer) -> None:
        ends = self._ends(consumer)
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in ends])
        behind = {number: end for number, end in ends.items() if end}
        was_behind = True
        while not self._halt.is_set():
            if was_behind and not behind:
                was_behind = False
                self._call(_settle, self.has_caught_up)
            first = consumer.poll(POLL_SECONDS)
            jobs = []
            for message in [] if first is None else [first, *consumer.consume(BATCH, 0)]:
                offset = self._answer(message) if message.error() is not None else (message.offset() or 0) + 1
                if offset >= behind.get(message.partition() or 0, offset + 1):
                    del behind[message.partition() or 0]
                if message.error() is None and (cancel := self._decoded(message)) is not None:
                    jobs.append((cancel.job, reason(cancel)))
            if jobs:
                self._call(self._take, jobs)

    def _ends(self, consumer: Consumer) -> dict[int, int]:
        """By partition, the offset after its last message; 0 where it is empty. Asks until there is an answer."""
        while not self._halt.is_set():
            try:
                metadata = consumer.list_topics(self._topic, ASK_SECONDS).topics[self._topic]
                if metadata.error is not None:
                    raise KafkaException(metadata.error)
                ends = {}
                for number in metadata.partitions:
                    place = TopicPartition(self._topic, number)
                    low, high = consumer.get_watermark_offsets(place, ASK_SECONDS)
                    ends[number] = high if high > low else 0
                return ends
            except KafkaException as error:
                if error.args[0].code() in _REFUSED:
                    raise
                self._log.warning("cancelled jobs can't be read, will ask again", error=error.args[0].str())
                self._halt.wait(ASK_AGAIN_SECONDS)
        return {}

    def _answer(self, message: Message) -> int:
        """What an error says of the place that is reached; raises what is for good."""
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return message.offset() or 0
        if error.fatal() or error.code() in _REFUSED:
            raise KafkaException(error)
        # librdkafka goes on by itself.
        self._log.warning("cancels", error=error.str(), code=error.name())
        return 0

    def _decoded(self, message: Message) -> JobCancel | None:
        while not self._halt.is_set():
            try:
                return self._codec.decode(message.value(), JobCancel)
            except DecodeError as error:
                self._log.error(
                    "no job.cancel, it is passed over",
                    partition=message.partition(),
                    offset=message.offset(),
                    error=brief(error),
                )
                return None
            except RegistryError as error:
                self._log.warning("cancelled jobs can't be read, will ask again", error=brief(error))
                self._halt.wait(ASK_AGAIN_SECONDS)
        return None


_OURS = {
    # A partition's end is told: transactions leave markers there that are no messages.
    "enable.partition.eof": True,
}
_REFUSED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION})


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)

"""How many events wait in Kafka: the lag of the storm's two groups, asked again and again by a thread of its own.

Its connections are kept, and no answer in time is an answer: while a broker is away, the lag is unknown.
All is asked by consumers that never join. An admin client dies of a segmentation fault where a group's coordinator
has just moved (librdkafka 2.16.0, confluentinc/librdkafka#5315), and after a broker's return told offsets long past.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tidemill import broker
from tidemill.config import Settings
from tidemill.runtime.stream import Stream

ANSWER_SECONDS = 2.0
POLL_SECONDS = 0.5


class Waiting:
    """The lag of some streams.

    Args:
        settings: Where.
        streams: Whose; their topics must be there, with as many partitions as their contracts say.
    """

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._asked = [
            (
                Consumer(broker.consumer_config(settings, stream.group)),
                [
                    TopicPartition(settings.qualified(stream.topic), number)
                    for number in range(stream.payload.__contract__.partitions)
                ],
            )
            for stream in streams
        ]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm-lag")
        self.latest: int | None = None
        """The lag when it was last asked for; None where no answer came in time."""

    def ask(self) -> int | None:
        """Messages that the groups have not committed, now; None where no answer came in time."""
        with self._lock:
            try:
                self.latest = sum(_lag(consumer, partitions) for consumer, partitions in self._asked)
            except KafkaException:
                self.latest = None
            return self.latest

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for consumer, _ in self._asked:
            consumer.close()

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.ask()


def _lag(consumer: Consumer, partitions: list[TopicPartition]) -> int:
    # Committed offsets first: an event that comes in between is seen to wait, and never is one less than none.
    committed = {part.partition: part.offset for part in consumer.committed(partitions, ANSWER_SECONDS)}
    lag = 0
    for part in partitions:
        _, end = consumer.get_watermark_offsets(part, ANSWER_SECONDS)
        # Without a committed offset, all of a partition waits.
        lag += end - max(0, committed[part.partition])
    return lag

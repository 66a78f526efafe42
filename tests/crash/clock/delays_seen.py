"""What a reader of committed events sees of the dispatched ones, while the storm goes on."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition

from tests.crash.clock.delays_checker import Seen
from tests.integration.steps import PARTITIONS, StepAsked
from tidemill import broker
from tidemill.config import Settings
from tidemill.event import ID


class Watch:
    """Reads the destination from its beginning, in a thread, for the time of the block.

    Args:
        settings: Where.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="watch of what is dispatched")
        self.seen: list[Seen] = []
        """In the order of reading."""
        self.ids: set[str] = set()

    def _read(self) -> None:
        topic = self._settings.qualified(StepAsked.__contract__.topic)
        consumer = Consumer({**broker.consumer_config(self._settings, "storm-watch"), "fetch.wait.max.ms": 20})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        while not self._stop.is_set():
            messages = consumer.consume(1000, 0.02)
            now = time.time()
            for message in messages:
                if message.error() is None:
                    headers: Any = message.headers() or []
                    event_id = dict(headers)[ID].decode()
                    self.ids.add(event_id)
                    self.seen.append(Seen(event_id, message.value() or b"", now, message.timestamp()[1] / 1000))
        consumer.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

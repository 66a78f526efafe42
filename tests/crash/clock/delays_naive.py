"""The negative control: delayed events sent off as one would write it in an afternoon, without transactions or fencing.

`python -m tests.crash.clock.delays_naive`; addresses and namespace come from TIDEMILL_*. A storm that doubles nothing
of it, and takes nothing from it, is blind.
"""

from __future__ import annotations

import heapq
import signal
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from scheduler.delays.duty import waiting
from scheduler.delays.waiting import Waiting
from tidemill import broker, delayed
from tidemill.config import Settings, load_settings
from tidemill.errors import DecodeError
from tidemill.telemetry import configure_logging, get_logger

POLL_SECONDS = 0.02


def main() -> None:
    """Run until SIGTERM."""
    settings = load_settings()
    configure_logging(settings)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Naive(settings).run(stop)


class Naive:
    """Reads what waits into memory, sends what is due, and then removes it.

    Args:
        settings: Where.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.qualified(delayed.TOPIC)
        self._consumer = Consumer(broker.consumer_config(settings, "delays-naive"))
        self._producer = Producer(broker.producer_config(settings))
        self._waiting: dict[tuple[int, bytes], Waiting] = {}
        self._queue: list[tuple[int, int, bytes]] = []

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        while not stop.is_set():
            for message in self._consumer.consume(1000, POLL_SECONDS):
                if message.error() is None:
                    self._take(message)
            self._send()
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign([TopicPartition(self._topic, p.partition, OFFSET_BEGINNING) for p in partitions])
        get_logger("scheduler").info("ready", partitions=[each.partition for each in partitions])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        lost = {each.partition for each in partitions}
        self._waiting = {place: event for place, event in self._waiting.items() if place[0] not in lost}
        consumer.incremental_unassign(partitions)

    def _take(self, message: Message) -> None:
        partition, key = message.partition() or 0, message.key() or b""
        if message.value() is None:
            self._waiting.pop((partition, key), None)
            return
        try:
            event = waiting(message)
        except DecodeError:
            return
        self._waiting[partition, key] = event
        heapq.heappush(self._queue, (event.due_us, partition, key))

    def _send(self) -> None:
        now_us = time.time_ns() // 1000
        done = []
        while self._queue and self._queue[0][0] <= now_us:
            _, partition, key = heapq.heappop(self._queue)
            event = self._waiting.pop((partition, key), None)
            if event is not None:
                self._producer.produce(event.topic, event.value, event.key, headers=[*event.headers])
                done.append((partition, key))
        if done:
            self._producer.flush()
            for partition, key in done:
                self._producer.produce(self._topic, None, key, partition)
            self._producer.flush()


if __name__ == "__main__":
    main()

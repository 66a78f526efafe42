"""What a reader of committed events sees of the ticks, and when: a thread that reads along while a storm passes."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, Message, TopicPartition

from scheduler.log import partitions_of
from scheduler.ticks.books import partition_of_job
from scheduler.topics import JOBS
from tests.crash.clock.ticks_jobs import EMITTED
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import ID
from tidemill.events import ScheduleSkipped, ScheduleTick


@dataclass(frozen=True, slots=True)
class SeenTick:
    """A tick, as it was read.

    Args:
        job, sequence, missed, by: As the tick says.
        id: Of the event.
        scheduled_at, emitted_at: As the tick says, seconds since 1970.
        seen_at: When it was read, seconds since 1970.
        partition, offset: Where, in the ticks' topic.
        books: Partition of `schedule.jobs` from which it was emitted.
    """

    job: str
    sequence: int
    missed: int
    by: str
    id: str
    scheduled_at: float
    emitted_at: float
    seen_at: float
    partition: int
    offset: int
    books: int


@dataclass
class Seen:
    """All that was read.

    Args:
        ticks: In the order of reading, which is that of the offsets within a partition.
        emits: Ids of the events that jobs emit.
        skips: What was skipped, in words.
    """

    ticks: list[SeenTick] = field(default_factory=list)
    emits: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)


class Watch:
    """Reads along, for the time of the block.

    Args:
        settings: Where.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._books = partitions_of(settings, JOBS.name)
        self._registry = Registry(settings)
        self._codec = Codec(self._registry)
        self._topics = {
            settings.qualified(cls.__contract__.topic): cls for cls in (ScheduleTick, ScheduleSkipped, EMITTED)
        }
        self._consumer = Consumer(
            {**broker.consumer_config(settings, "ticks-storm-reader"), "isolation.level": "read_committed"}
        )
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._newest: dict[str, float] = defaultdict(float)
        self._thread = threading.Thread(target=self._run, name="ticks-storm-reader")
        self.seen = Seen()

    def newest_of_all(self, jobs: list[str]) -> float:
        """The scheduled time up to which every one of these jobs has its ticks, seconds since 1970; 0 for none.

        Raises:
            BaseException: What has ended the reader.
        """
        if self._failure is not None:
            raise self._failure
        return min(self._newest.get(job, 0.0) for job in jobs)

    def __enter__(self) -> Self:
        self._consumer.assign(
            [
                TopicPartition(topic, number, 0)
                for topic, cls in self._topics.items()
                for number in range(partitions_of(self._settings, cls.__contract__.topic))
            ]
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        self._registry.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                first = self._consumer.poll(0.1)
                if first is None:
                    continue
                seen_at = time.time()
                for message in [first, *self._consumer.consume(999, 0)]:
                    # A broker that is away is part of the storm; the reader waits for it, as others do.
                    if message.error() is None:
                        self._take(message, seen_at)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for this thread
            self._failure = error

    def _take(self, message: Message, seen_at: float) -> None:
        cls = self._topics[message.topic() or ""]
        event_id = dict(message.headers() or ())[ID]
        assert isinstance(event_id, bytes), f"the id of {message.topic()} {message.offset()} is {event_id!r}"
        if cls is EMITTED:
            self.seen.emits.append(event_id.decode())
            return
        value = message.value()
        assert value is not None, f"{message.topic()} {message.offset()} has no value"
        if cls is ScheduleSkipped:
            skip = self._codec.decode(value, ScheduleSkipped)
            self.seen.skips.append(f"{skip.job} {skip.first} to {skip.last}: {skip.reason} {skip.detail}")
            return
        tick = self._codec.decode(value, ScheduleTick)
        scheduled_at = tick.scheduled_at.timestamp()
        self._newest[tick.job] = max(self._newest[tick.job], scheduled_at)
        self.seen.ticks.append(
            SeenTick(
                job=tick.job,
                sequence=tick.sequence,
                missed=tick.missed,
                by=tick.by,
                id=event_id.decode(),
                scheduled_at=scheduled_at,
                emitted_at=tick.emitted_at.timestamp(),
                seen_at=seen_at,
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                books=partition_of_job(tick.job, self._books),
            )
        )

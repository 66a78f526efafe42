"""An owner of a partition of jobs without Kafka: its duty, the log that it has read, and what it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduler.jobs.job import Job
from scheduler.ticks.books import (
    ANSWER,
    Definition,
    Emitted,
    Pause,
    RunRequest,
    State,
    key_of,
    state_from,
    to_bytes,
)
from scheduler.ticks.deed import TicksDeed
from scheduler.ticks.duty import TicksDuty
from tests.unit.sample_message import SampleMessage
from tests.unit.ticks_samples import T0, codec, emitting
from tidemill.errors import TidemillError
from tidemill.events import ScheduleSkipped, ScheduleTick
from tidemill.transactions import Refused, Written

CODEC = codec()
BOOKS = "unit.schedule.jobs"
PARTITION = 4


@dataclass
class Finishing:
    """Tells whether runs are finished, as it is told."""

    finished: bool = True
    error: TidemillError | None = None
    asked: list[tuple[str, Emitted]] = field(default_factory=list)
    is_closed: bool = False

    def is_finished(self, stream: str, event: Emitted) -> bool:
        self.asked.append((stream, event))
        if self.error is not None:
            raise self.error
        return self.finished

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Record:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    partition: int | None
    written: Written


@dataclass
class Pad:
    """A writer that keeps what is written; places are known after a flush, as the real one's are."""

    records: list[Record] = field(default_factory=list)
    refuses: Callable[[Record], TidemillError | None] = lambda record: None

    def produce(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any = (), *, partition: int | None = None
    ) -> Written:
        record = Record(topic, key, value, dict(headers), partition, Written())
        self.records.append(record)
        return record.written

    def flush(self) -> None:
        refused = {}
        for offset, record in enumerate(self.records):
            record.written.topic, record.written.partition, record.written.offset = record.topic, 1, 100 + offset
            if (error := self.refuses(record)) is not None:
                refused[record.written] = error
        if refused:
            raise Refused(refused)

    def of(self, name: str) -> list[Record]:
        return [record for record in self.records if record.topic == f"unit.{name}"]

    @property
    def ticks(self) -> list[ScheduleTick]:
        return [CODEC.decode(record.value, ScheduleTick) for record in self.of("schedule.tick")]

    @property
    def skips(self) -> list[ScheduleSkipped]:
        return [CODEC.decode(record.value, ScheduleSkipped) for record in self.of("schedule.skipped")]

    @property
    def states(self) -> dict[str, State]:
        return {
            (record.key or b"").decode().removeprefix("state/"): state_from(record.value)
            for record in self.of("schedule.jobs")
            if record.value is not None
        }

    @property
    def answers(self) -> dict[bytes | None, str]:
        return {
            record.key: record.headers[ANSWER].decode() for record in self.of("schedule.jobs") if record.value is None
        }


class Owner:
    """A duty, and the log that it has read."""

    def __init__(self, *jobs: Job, finishing: Finishing | None = None, loaded: bool = True) -> None:
        self.finishing = finishing or Finishing()
        self.duty = TicksDuty(BOOKS, PARTITION, emitting(CODEC), self.finishing)  # type: ignore[arg-type]
        self.offset = 0
        for declared in jobs:
            self.learn("job", declared.name, Definition(declared, T0, T0, "alice"))
        if loaded:
            self.duty.loaded()

    def learn(self, kind: Any, name: str, record: Definition | State | Pause | RunRequest | bytes | None) -> None:
        value = record if record is None or isinstance(record, bytes) else to_bytes(record)
        self.duty.take(SampleMessage(self.offset, key_of(kind, name), value))  # type: ignore[arg-type]
        self.offset += 1

    def deed(self, now: datetime) -> TicksDeed | None:
        return self.duty.due(now.timestamp())

    def act(self, now: datetime, pad: Pad | None = None) -> Pad:
        """What a keeper does in a turn; what was written, which is nothing where nothing was due."""
        pad = pad or Pad()
        deed = self.deed(now)
        if deed is None:
            return pad
        try:
            deed.write(pad)  # type: ignore[arg-type]
        except Refused as refused:
            deed.refused(refused)
            return Pad()
        deed.written()
        return pad

    @property
    def next_at(self) -> float | None:
        return self.duty.next_at()

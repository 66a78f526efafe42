"""Following `job.cancel`: when all of it is known, and what stands in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.unit.engine_bench import until
from tidemill.codec import Codec
from tidemill.config import load_settings
from tidemill.errors import NotAuthorized, RegistryError
from tidemill.events import JobCancel
from tidemill.runtime import cancel_reader
from tidemill.runtime.cancel_reader import CancelReader
from tidemill.testing import MemorySchemas


class Message:
    def __init__(self, partition: int, offset: int, value: bytes | None = None, error: Any = None) -> None:
        self._place, self._value, self._error = (partition, offset), value, error

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def value(self) -> bytes | None:
        return self._value

    def error(self) -> Any:
        return self._error


class Error:
    """What librdkafka says."""

    def __init__(self, code: int) -> None:
        self._code = code

    def code(self) -> int:
        return self._code

    def fatal(self) -> bool:
        return False

    def retriable(self) -> bool:
        return True

    def str(self) -> Any:
        return "said"

    def name(self) -> Any:
        return "SAID"


class Log:
    """A topic with as many partitions as there are ends, and the consumer that reads it."""

    def __init__(self, *ends: int) -> None:
        self.ends = ends
        self.coming: list[Message] = []
        self.refusals: list[KafkaException] = []
        self.assigned: list[Any] = []
        self.closed = False

    def __call__(self, config: dict[str, Any]) -> Log:
        assert config["enable.partition.eof"] is True
        assert config["enable.auto.commit"] is False
        return self

    def list_topics(self, topic: str, timeout: float) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        partitions = dict.fromkeys(range(len(self.ends)))
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=partitions, error=None)})

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return 0, self.ends[place.partition]

    def assign(self, places: Any) -> None:
        self.assigned = places

    def poll(self, seconds: float) -> Message | None:
        return self.coming.pop(0) if self.coming else None

    def consume(self, most: int, seconds: float) -> list[Message]:
        found, self.coming = self.coming[:most], self.coming[most:]
        return found

    def close(self) -> None:
        self.closed = True


class Registry(MemorySchemas):
    refusals = 0

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        if self.refusals:
            self.refusals -= 1
            raise RegistryError("The registry doesn't answer.")
        return super().schema_by_id(schema_id)


Following = Callable[[Log], Any]


class Followed:
    def __init__(self, reader: CancelReader, jobs: list[tuple[str, str]], value: Callable[[str], bytes]) -> None:
        self.reader, self.jobs, self.value = reader, jobs, value


@asynccontextmanager
async def following(log: Log, monkeypatch: pytest.MonkeyPatch, registry_refusals: int = 0) -> AsyncIterator[Followed]:
    monkeypatch.setattr(cancel_reader, "Consumer", log)
    monkeypatch.setattr(cancel_reader, "ASK_AGAIN_SECONDS", 0.01)
    registry = Registry()
    registry.refusals = registry_refusals
    writer = Codec(registry)
    jobs: list[tuple[str, str]] = []
    reader = CancelReader(load_settings(), Codec(registry), jobs.extend)

    def value(job: str) -> bytes:
        return writer.encode(JobCancel(job=job, by="ann"))

    yield Followed(reader, jobs, value)
    await asyncio.to_thread(reader.stop)
    assert log.closed


async def test_of_an_empty_topic_all_is_known_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(0, 0, 0)
    async with following(log, monkeypatch) as followed:
        followed.reader.start()
        await asyncio.wait_for(followed.reader.has_caught_up, 10)
        assert [place.partition for place in log.assigned] == [0, 1, 2]


async def test_all_that_was_there_is_taken_before_it_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(2, 0, 3)
    async with following(log, monkeypatch) as followed:
        first = [Message(0, 0, followed.value("job 0")), Message(0, 1, followed.value("job 1"))]
        log.coming = [*first, Message(2, 1, followed.value("job 2"))]
        followed.reader.start()
        await until(lambda: len(followed.jobs) == 3, "three jobs")
        assert not followed.reader.has_caught_up.done()
        # A transaction's marker lies at the end, which is no message.
        log.coming = [Message(2, 3, error=Error(KafkaError._PARTITION_EOF))]
        await asyncio.wait_for(followed.reader.has_caught_up, 10)
        log.coming = [Message(1, 0, followed.value("job 3"))]
        await until(lambda: len(followed.jobs) == 4, "what comes later")
        assert followed.jobs[-1] == ("job 3", "by ann")


async def test_what_is_no_cancel_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(3)
    async with following(log, monkeypatch) as followed:
        log.coming = [Message(0, 0, b"garbage"), Message(0, 1, None), Message(0, 2, followed.value("job"))]
        followed.reader.start()
        await asyncio.wait_for(followed.reader.has_caught_up, 10)
        assert followed.jobs == [("job", "by ann")]


async def test_it_waits_for_kafka_and_for_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(1)
    away = Error(KafkaError._TRANSPORT)
    log.refusals = [KafkaException(away), KafkaException(away)]
    async with following(log, monkeypatch, registry_refusals=2) as followed:
        log.coming = [Message(0, 0, error=away), Message(0, 0, followed.value("job"))]
        followed.reader.start()
        await asyncio.wait_for(followed.reader.has_caught_up, 10)
        assert followed.jobs == [("job", "by ann")]
        assert not followed.reader.failed.done()


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_topic_that_it_may_not_read_ends_the_worker(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    log = Log(1)
    refused = Error(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    if at_once:
        log.refusals = [KafkaException(refused)]
    else:
        log.coming = [Message(0, 0, error=refused)]
    async with following(log, monkeypatch) as followed:
        followed.reader.start()
        with pytest.raises(NotAuthorized, match=r"job\.cancel"):
            await asyncio.wait_for(followed.reader.failed, 10)
        assert not followed.reader.has_caught_up.done()

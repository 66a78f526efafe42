"""The source, with a consumer of the test's own: rebalances at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, TopicPartition

from tests.integration.steps import StepAsked
from tests.unit.sample_message import SampleMessage
from tidemill.config import Settings, load_settings
from tidemill.event import Event
from tidemill.runtime.engine import Engine
from tidemill.runtime.partition import units_of
from tidemill.runtime.source import Source
from tidemill.runtime.stream import stream


@stream("step.asked", name="idle")
async def idle(event: Event[StepAsked]) -> None: ...


class SomeMessage:
    def __init__(self, partition: int, offset: int) -> None:
        self._partition, self._offset = partition, offset

    def topic(self) -> str:
        return "step.asked"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return b""

    def error(self) -> None:
        return None


class ScriptedConsumer:
    """Gives what it is told to, and runs what is to happen in between."""

    def __init__(self) -> None:
        self.first: SomeMessage | None = None
        self.rest: list[SomeMessage] = []
        self.in_between: Callable[[], None] = lambda: None
        self.commits: list[TopicPartition] = []
        self.resumed: list[TopicPartition] = []
        self.assigned: list[TopicPartition] = []

    def poll(self, timeout: float) -> SomeMessage | None:
        return self.first

    def consume(self, count: int, timeout: float) -> list[SomeMessage]:
        self.in_between()
        return self.rest

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.commits += offsets
        return offsets

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        return partitions

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned += partitions

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.resumed += partitions


class App:
    """Feeds at once, as the agent does in the next turn of the loop."""

    def __init__(self) -> None:
        self.fed: list[tuple[int, list[int]]] = []

    def put(self, batches: Sequence[Any], fed: Callable[[], None]) -> bool:
        self.fed += [(part.number, [message.offset() for message in messages]) for part, messages in batches]
        fed()
        return True


@pytest.fixture
async def parts(monkeypatch: pytest.MonkeyPatch) -> tuple[Source, ScriptedConsumer, App, Engine]:
    consumer, app = ScriptedConsumer(), App()
    monkeypatch.setattr(Source, "_open", lambda self: consumer)
    unused: Any = Mock()
    engine = Engine(idle, unused, unused, unused)
    settings: Settings = load_settings(namespace="")
    anything: Any = app
    return Source(engine, anything, settings), consumer, app, engine


async def test_what_was_fetched_before_a_rebalance_is_not_handled_after_it(parts: Any) -> None:
    source, consumer, app, engine = parts
    engine.partition("step.asked", 0)
    consumer.first = SomeMessage(0, 10)
    consumer.rest = [SomeMessage(1, 5), SomeMessage(0, 11), SomeMessage(1, 6)]
    consumer.in_between = lambda: source._on_revoke(consumer, [TopicPartition("step.asked", 0)])
    await asyncio.to_thread(source._poll)
    # Handled and committed from here, offset 10 would pass what its new owner has still to do.
    assert app.fed == [(1, [5, 6])]
    assert ("step.asked", 0) not in engine.parts
    consumer.in_between = lambda: None
    consumer.rest = [SomeMessage(1, 7), SomeMessage(0, 11)]
    await asyncio.to_thread(source._poll)
    assert app.fed[1:] == [(0, [10, 11]), (1, [7])]


async def test_a_partition_that_goes_and_comes_back_within_a_poll_is_read_again_from_where_it_is(parts: Any) -> None:
    source, consumer, app, engine = parts
    there = TopicPartition("step.asked", 0, 10)

    def go_and_come_back() -> None:
        source._on_revoke(consumer, [there])
        source._on_assign(consumer, [there])

    engine.partition("step.asked", 0)
    consumer.first = SomeMessage(0, 8)
    # What came before the rebalance and what came after it can't be told apart, and nothing of it is taken.
    consumer.rest = [SomeMessage(0, 9), SomeMessage(0, 10), SomeMessage(0, 11)]
    consumer.in_between = go_and_come_back
    await asyncio.to_thread(source._poll)
    assert app.fed == []
    consumer.in_between = lambda: None
    consumer.first, consumer.rest = SomeMessage(0, 12), []
    await asyncio.to_thread(source._poll)
    assert app.fed == []
    await asyncio.to_thread(source._bring_back)
    assert consumer.assigned[-1].offset == 10
    consumer.first, consumer.rest = SomeMessage(0, 10), [SomeMessage(0, 11), SomeMessage(0, 12)]
    await asyncio.to_thread(source._poll)
    assert app.fed == [(0, [10, 11, 12])]


async def test_a_revoked_partition_is_committed_and_a_lost_one_is_not(parts: Any) -> None:
    source, consumer, _, engine = parts
    for number in (0, 1):
        part = engine.partition("step.asked", number)
        (only,) = units_of(part, [SampleMessage(6)], batch=None, ordered=True)
        part.add(only)
        part.finish(only)
    source._paused = {("step.asked", 0), ("step.asked", 1)}
    await asyncio.to_thread(source._on_revoke, consumer, [TopicPartition("step.asked", 0)])
    await asyncio.to_thread(source._on_lost, consumer, [TopicPartition("step.asked", 1)])
    assert [(part.partition, part.offset) for part in consumer.commits] == [(0, 7)]
    assert engine.parts == {}
    # Or they would still be paused when they come back.
    assert {part.partition for part in consumer.resumed} == {0, 1}
    assert source._paused == set()


async def test_a_broker_that_takes_less_metadata_gets_less(parts: Any) -> None:
    source, consumer, _, engine = parts
    part = engine.partition("step.asked", 0)
    units = units_of(part, [SampleMessage(offset, b"%d" % offset) for offset in range(40)], batch=None, ordered=True)
    for each in units:
        part.add(each)
    for each in units[1::3]:
        part.finish(each)
    sizes = []
    for _ in range(12):
        source._commits.send_if_idle(consumer)
        sizes.append(len(consumer.commits[-1].metadata))
        source._commits.answered(KafkaError(KafkaError.OFFSET_METADATA_TOO_LARGE), consumer.commits[-1:])
    assert sizes[0] > 10
    assert sizes[-1] == 0  # The offset alone always passes.
    assert sizes == sorted(sizes, reverse=True)
    assert part.changed
    source._commits.send_if_idle(consumer)
    source._commits.answered(None, consumer.commits[-1:])
    assert not part.changed

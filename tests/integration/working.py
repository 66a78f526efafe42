"""For the tests of the stream runtime: a worker in the test's own event loop, and what can be seen of it in Kafka.

Everything waits for a condition with a deadline. Each test has a namespace, and so topics and groups of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from confluent_kafka import (
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from tests.integration.steps import StepAsked, StepDone
from tidemill import broker
from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.contract import Payload
from tidemill.contracts.registration import register_contracts
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.publisher import Publisher
from tidemill.runtime.stream import Stream
from tidemill.runtime.worker import Worker
from tidemill.topics import apply

ASKED = StepAsked.__contract__.topic
DEAD = StepAsked.__contract__.dead_topic
DONE = StepDone.__contract__.topic
WAIT_SECONDS = 30.0


def prepare(settings: Settings, *classes: type[Payload], retention: timedelta | None = None) -> None:
    """Make topics and register schemas; by default those of the steps, for as long as their contracts say."""
    contracts = [cls.__contract__ for cls in classes or (StepAsked, StepDone)]
    if retention is not None:
        contracts = [replace(each, retention=retention) for each in contracts]
    apply(settings, contracts)
    with Registry(settings) as registry:
        register_contracts(registry, contracts, dry_run=False)


async def until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> None:
    """Let the loop run until something is so; fails with `what` when it isn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> None:
    """As `until`, where no loop has to run."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


async def until_there(settings: Settings, topic: str, count: int) -> None:
    """Wait, with the loop running, until a topic has so many messages."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := sum((await asyncio.to_thread(ends, settings, topic)).values())) < count:
        assert time.monotonic() < deadline, f"{found} of {count} messages in {topic} after {WAIT_SECONDS:g} s"
        await asyncio.sleep(0.02)


class Working:
    """A worker that runs in this event loop."""

    def __init__(self, worker: Worker, task: asyncio.Task[int]) -> None:
        self.worker = worker
        self.task = task
        self.engines = [running.engine for running in worker._running]

    @property
    def finished(self) -> int:
        """Events done, dead letters included."""
        return sum(engine.finished for engine in self.engines)

    @property
    def running(self) -> int:
        """Events in work."""
        return sum(part.running for engine in self.engines for part in engine.parts.values())

    @property
    def paused(self) -> set[tuple[str, int]]:
        """Partitions whose fetching is paused, for there is too much of them in hand."""
        return {key for running in self.worker._running for key in running.source._paused}

    async def stop(self) -> int:
        """Drain and end; returns the exit status."""
        if not self.task.done():
            self.worker.stop()
        return await asyncio.wait_for(self.task, WAIT_SECONDS)


@asynccontextmanager
async def working(
    settings: Settings, *streams: Stream, concurrency: int | None = None, drain_seconds: float = 60.0
) -> AsyncIterator[Working]:
    """A worker for the time of the block, joined to its groups; it is drained at the end."""
    # A partition that isn't ready for the first fetch waits as long as that one may wait for events.
    settings = settings.model_copy(update={"kafka": {"fetch.wait.max.ms": "20", **settings.kafka}})
    # The deadline of a worker ends the whole process: by default it is for a test that hangs.
    worker = Worker(streams, settings, concurrency=concurrency, drain_seconds=drain_seconds)
    task = asyncio.create_task(worker.run())
    try:
        await until(lambda: task.done() or _assigned(worker, len(streams)), "the worker joins its groups")
        if task.done():
            await task
        yield Working(worker, task)
    except BaseException:
        # A failed test mustn't wait for handlers that wait for the test.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        # A worker that has ended by itself has told the test already, by its task.
        if not task.done():
            worker.stop()
            await asyncio.wait_for(task, WAIT_SECONDS)


def _assigned(worker: Worker, streams: int) -> bool:
    return len(worker._running) == streams and all(running.source.assigned.is_set() for running in worker._running)


def publish(settings: Settings, events: Iterable[Payload]) -> list[str]:
    """Publish events, each acknowledged; returns their ids."""
    with Registry(settings) as registry, Publisher(settings, codec=Codec(registry)) as publisher:
        receipts = [publisher.publish(event) for event in events]
    return [receipt.id for receipt in receipts]


def steps(lane: str, count: int, *, note: str = "") -> list[StepAsked]:
    """So many steps of one lane, numbered from 0."""
    return [StepAsked(lane=lane, number=number, note=note) for number in range(count)]


def encoded(settings: Settings, event: Payload) -> bytes:
    """The bytes of an event's value."""
    with Registry(settings) as registry:
        return Codec(registry).encode(event)


Headers = Sequence[tuple[str, bytes | None]]


def produce(
    settings: Settings,
    values: Iterable[bytes | None],
    *,
    key: bytes | None = None,
    headers: Headers = (),
    partition: int = 0,
) -> None:
    """Put raw bytes onto the steps' topic, as a foreign producer would."""
    producer = Producer(broker.client_config(settings))
    for value in values:
        producer.produce(settings.qualified(ASKED), value, key, partition, headers=list(headers))
    assert producer.flush(WAIT_SECONDS) == 0


def ends(settings: Settings, topic: str, isolation: str = "read_committed") -> dict[int, int]:
    """The offset after the last message, by partition; the topic without its namespace.

    Of `read_committed`, the one before which all transactions are decided.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return _ends(settings, topic, isolation)
        except KafkaException:
            # A broker that was paused may be without its partitions for a moment.
            if time.monotonic() > deadline:
                raise


def _ends(settings: Settings, topic: str, isolation: str = "read_committed") -> dict[int, int]:
    consumer = Consumer({**broker.consumer_config(settings, "tests"), "isolation.level": isolation})
    try:
        name = settings.qualified(topic)
        found = consumer.list_topics(name, 10).topics[name].partitions
        return {number: consumer.get_watermark_offsets(TopicPartition(name, number), 10)[1] for number in found}
    finally:
        consumer.close()


def settle(settings: Settings, topic: str) -> None:
    """Wait until no transaction of a topic is undecided, so that readers of committed events see all there is.

    A commit is told to its producer before its markers are in the partitions (KIP-98, "5.2 Transaction coordinator").
    """

    def is_decided() -> bool:
        return ends(settings, topic) == ends(settings, topic, "read_uncommitted")

    wait_until(is_decided, f"the transactions of {topic} are decided")


def committed(settings: Settings, stream: Stream) -> dict[int, int]:
    """The group's offsets, by partition; partitions without one are left out."""
    name = settings.qualified(stream.topic)
    asked = [TopicPartition(name, number) for number in ends(settings, stream.topic)]
    # By a consumer that never joins: AdminClient.list_consumer_group_offsets ends the process (SIGSEGV) where the
    # group's coordinator is being elected (librdkafka 2.16.0: rd_kafka_handle_OffsetFetch calls rd_kafka_cgrp_op for a
    # client that has no group).
    consumer = Consumer(broker.consumer_config(settings, stream.group))
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while True:
            try:
                offsets = consumer.committed(asked, timeout=10)
                return {part.partition: part.offset for part in offsets if part.offset >= 0}
            except KafkaException as error:
                if "oordinator" not in error.args[0].str() or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
    finally:
        consumer.close()


@contextmanager
def paused_broker(stack: Any, settings: Settings) -> Iterator[None]:
    """The broker stands still for the time of the block; afterwards all partitions are led again.

    Skips the test where the broker isn't a process of this machine.
    """
    if not hasattr(stack, "broker"):
        pytest.skip("the broker can only be paused where it is a process of this machine")
    stack.broker(1).pause()
    try:
        yield
    finally:
        stack.broker(1).resume()
        # After some seconds of silence the controller takes its leadership away, and tells it so a moment after.
        led_since = time.monotonic()
        deadline = led_since + WAIT_SECONDS
        while time.monotonic() - led_since < 1.5:
            assert time.monotonic() < deadline, "the broker doesn't lead its partitions again"
            try:
                _ends(settings, ASKED)
            except KafkaException:
                led_since = time.monotonic()


def forget_offsets(settings: Settings, stream: Stream) -> None:
    """Delete the stream's group, so that it runs all events again: as after a crash before any commit."""
    admin = broker.admin_client(settings)  # kept until the answer is there
    group = settings.qualified(stream.group)
    admin.delete_consumer_groups([group])[group].result(10)


def lag(settings: Settings, stream: Stream) -> int:
    """Messages that the stream's group has not committed."""
    offsets = committed(settings, stream)
    return sum(end - offsets.get(number, 0) for number, end in ends(settings, stream.topic).items())


def messages(settings: Settings, topic: str, count: int | None = None) -> list[Message]:
    """All messages of a topic, ordered by partition and offset; waits until there are so many."""
    if count is not None:
        wait_until(lambda: sum(ends(settings, topic).values()) >= count, f"{count} messages in {topic}")
    end = ends(settings, topic)
    name = settings.qualified(topic)
    consumer = Consumer(broker.consumer_config(settings, "tests"))
    consumer.assign([TopicPartition(name, number, 0) for number in end])
    found: list[Message] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found) < sum(end.values()):
        assert time.monotonic() < deadline, f"{len(found)} of {sum(end.values())} messages of {topic} could be read"
        found += [message for message in consumer.consume(1000, 0.2) if message.error() is None]
    consumer.close()
    if count is not None:
        assert len(found) == count
    return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))


def events(settings: Settings, cls: type[Payload], count: int | None = None) -> list[Event[Any]]:
    """All events of a class, decoded; waits until there are so many."""
    with Registry(settings) as registry:
        codec = Codec(registry)
        return [
            Event.received(codec.decode(message.value(), cls), message)
            for message in messages(settings, cls.__contract__.topic, count)
        ]


async def dead_letters(settings: Settings, count: int) -> list[Message]:
    """The dead letters of the steps, once there are so many; fails where there are more."""
    await until_there(settings, DEAD, count)
    return await asyncio.to_thread(messages, settings, DEAD, count)


def header(message: Message, name: str) -> str:
    """One header as text; fails where it isn't there exactly once."""
    pairs: Any = message.headers() or ()
    (value,) = [value for found, value in pairs if found == name]
    return str(value, "utf-8")


class Forwarder:
    """A TCP port in front of a server, that can be closed and opened: the server goes away and comes back.

    Args:
        url: The server's address.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's address through this port."""
        return self._parts._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and cut those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        there_reader, there_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(task)
            writer.close()
            there_writer.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()
    target.close()

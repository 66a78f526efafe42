"""Topics for the tests of replay: of any settings and schemas, filled as foreign producers would, and read one by one.

The slow reader is what replay is compared with: a consumer that polls message after message, and fastavro.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from tests.integration.working import ends
from tidemill import broker
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import headers_of
from tidemill.replay import Scan, scan

READING = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "number", "type": "long"}, {"name": "text", "type": "string"}],
}
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Found:
    """A committed message, as the slow reader found it."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class RawTopic:
    """A topic of its own.

    Args:
        settings: Of the test.
        partitions: How many.
        schema: Registered under its subject.
        config: Kafka's settings of the topic, with underscores for dots; by default it keeps events of any age.
    """

    def __init__(self, settings: Settings, partitions: int = 1, schema: Any = READING, **config: str) -> None:
        self.settings = settings
        self.name = f"raw.{uuid.uuid4().hex[:8]}"
        self.full_name = settings.qualified(self.name)
        self.partitions = partitions
        self.admin = broker.admin_client(settings)
        self._config = {"retention.ms": "-1", **{name.replace("_", "."): value for name, value in config.items()}}
        self._schemas: dict[int, Any] = {}
        self.create(partitions)
        self.schema_id = self.register(schema)
        self._producer = self.producer()

    def producer(self, **config: str) -> Producer:
        """A producer, with further settings of librdkafka, with underscores for dots."""
        more = {name.replace("_", "."): value for name, value in config.items()}
        return Producer({**broker.client_config(self.settings), "linger.ms": 5, **more})

    def create(self, partitions: int) -> None:
        """Make it."""
        new = NewTopic(self.full_name, partitions, 1, config=self._config)
        self.admin.create_topics([new])[self.full_name].result(WAIT_SECONDS)

    def grow(self, partitions: int) -> None:
        """Give it more partitions, and wait until clients see them."""
        self.admin.create_partitions([NewPartitions(self.full_name, partitions)])[self.full_name].result(WAIT_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        while len(ends(self.settings, self.name)) < partitions:
            assert time.monotonic() < deadline, "the new partitions don't come"
        self._producer = self.producer()

    def delete(self) -> None:
        """Delete it, and wait until it is gone."""
        self.admin.delete_topics([self.full_name])[self.full_name].result(WAIT_SECONDS)
        deadline = time.monotonic() + WAIT_SECONDS
        while self.full_name in self.admin.list_topics(timeout=5).topics:
            assert time.monotonic() < deadline, "the topic stays"
            time.sleep(0.02)

    def delete_records(self, partition: int, before: int) -> None:
        """What retention does: the beginning is gone."""
        asked = TopicPartition(self.full_name, partition, before)
        self.admin.delete_records([asked])[asked].result(WAIT_SECONDS)

    def register(self, schema: dict[str, Any]) -> int:
        """Register a version; its id."""
        with Registry(self.settings) as registry:
            registry.set_compatibility(f"{self.name}-value", "NONE")
            schema_id = registry.register(f"{self.name}-value", json.dumps(schema)).schema_id
        self._schemas[schema_id] = parse_schema(dict(schema))
        return schema_id

    def encode(self, record: dict[str, Any], schema_id: int | None = None) -> bytes:
        """An event's value."""
        number = schema_id or self.schema_id
        body = BytesIO()
        schemaless_writer(body, self._schemas[number], record)
        return b"\0" + number.to_bytes(4, "big") + body.getvalue()

    def reading(self, number: int, text: str = "") -> bytes:
        """The value of an ordinary event."""
        return self.encode({"number": number, "text": text or f"text {number}"})

    def decode(self, value: bytes) -> Any:
        """What fastavro makes of a value."""
        return schemaless_reader(BytesIO(value[5:]), self._schemas[int.from_bytes(value[1:5], "big")], None)

    def send(
        self,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        key: bytes | None = None,
        timestamps: Iterable[int] = (),
        producer: Producer | None = None,
    ) -> None:
        """Publish values, and wait until they are there."""
        client = producer or self._producer
        times = iter(timestamps)
        for value in values:
            more: dict[str, Any] = {"timestamp": at} if (at := next(times, None)) is not None else {}
            client.produce(self.full_name, value, key, partition, **more)
        assert client.flush(WAIT_SECONDS) == 0

    def put(self, producer: Producer, value: bytes | None, partition: int, key: bytes | None) -> None:
        """Give a message to a producer, and wait for nothing but room."""
        while True:
            try:
                producer.produce(self.full_name, value, key, partition)
                return
            except BufferError:
                producer.poll(0.1)

    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[Producer]:
        """A producer whose messages are committed or aborted at the end."""
        producer = self.open_transaction()
        yield producer
        producer.flush(WAIT_SECONDS)
        if commit:
            producer.commit_transaction(WAIT_SECONDS)
        else:
            producer.abort_transaction(WAIT_SECONDS)

    def open_transaction(self) -> Producer:
        """A producer in a transaction, which ends when somebody ends it."""
        producer = self.producer(transactional_id=uuid.uuid4().hex)
        producer.init_transactions(WAIT_SECONDS)
        producer.begin_transaction()
        return producer

    def scan(self, *arguments: Any, **more: Any) -> Scan:
        """A scan of it."""
        return scan(self.name, *arguments, settings=self.settings, **more)


def slowly(settings: Settings, topic: str, bounds: dict[int, tuple[int, int]] | None = None) -> list[Found]:
    """All committed messages, by partition and offset: one partition after the other, one poll at a time.

    Args:
        settings: Addresses and namespace.
        topic: Without the namespace.
        bounds: First offset and the one after the last by partition; default: what is there.
    """
    name = settings.qualified(topic)
    if bounds is None:
        with _consumer(settings) as consumer:
            bounds = {
                each: consumer.get_watermark_offsets(TopicPartition(name, each), WAIT_SECONDS)
                for each in consumer.list_topics(name, WAIT_SECONDS).topics[name].partitions
            }
    found: list[Found] = []
    for partition, (start, end) in sorted(bounds.items()):
        if start < end:
            # A consumer for each: one that goes on to another partition waits for its metadata.
            with _consumer(settings) as consumer:
                consumer.assign([TopicPartition(name, partition, start)])
                found += _one_by_one(consumer, end)
    return found


@contextmanager
def _consumer(settings: Settings) -> Iterator[Consumer]:
    config = {**broker.consumer_config(settings, f"slow.{uuid.uuid4().hex}"), "group.protocol": "classic"}
    consumer = Consumer({**config, "enable.partition.eof": True, "fetch.wait.max.ms": 50})
    try:
        yield consumer
    finally:
        consumer.close()


def _one_by_one(consumer: Consumer, end: int) -> Iterator[Found]:
    deadline = time.monotonic() + WAIT_SECONDS
    while (message := consumer.poll(0.5)) is not None or time.monotonic() < deadline:
        if message is None:
            continue
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return
            continue
        offset: Any = message.offset()
        if offset >= end:
            return
        deadline = time.monotonic() + WAIT_SECONDS
        partition: Any = message.partition()
        key, value, headers = message.key(), message.value(), headers_of(message)
        yield Found(partition, offset, message.timestamp()[1], key, value, headers)
    raise AssertionError(f"nothing came for {WAIT_SECONDS:g} s")


def places(table: Any) -> list[tuple[int, int]]:
    """Partition and offset of each row, sorted."""
    return sorted(zip(table.column("_partition").to_pylist(), table.column("_offset").to_pylist(), strict=True))


def moment(timestamp_ms: int) -> datetime:
    """A timestamp of Kafka's as a time."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)

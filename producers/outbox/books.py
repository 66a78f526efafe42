"""The books: with each batch's events, in the same transaction, a record of the rows that they were.

Whoever takes a lane over reads the last one, and so knows which rows are in Kafka though they are still in the table:
the relay before was killed between its commit and their removal. This is what makes each row one event.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from producers.outbox.topics import BOOKS
from tidemill import broker
from tidemill.errors import BrokerError
from tidemill.transactions import Halted

if TYPE_CHECKING:
    import threading

    from producers.outbox.rows import Waiting
    from tidemill.config import Settings

FIRST_LOOK_BACK = 32
"""Records from the end where the last one of a lane is looked for first; then eight times as many, and so on."""
LOOK_SECONDS = 10.0
POLL_SECONDS = 0.5


def key_of(outbox: str, lane: int) -> bytes:
    """Key of a lane's record."""
    return f"{outbox}/{lane}".encode()


def entry(rows: Sequence[Waiting]) -> bytes:
    """The record of a batch: each row's number, and a mark of its event, since a table may number anew."""
    return json.dumps({"rows": [[row.id, mark(row.event_id)] for row in rows]}, separators=(",", ":")).encode()


def mark(event_id: str) -> str:
    """Tells a row's event from that of another row of the same number."""
    return hashlib.blake2b(event_id.encode(), digest_size=6).hexdigest()


def rows_of(record: bytes | None) -> dict[int, str]:
    """Rows and marks of a record.

    Raises:
        BrokerError: Somebody else has written to this topic.
    """
    if record is None:
        return {}
    try:
        return {int(row): str(found) for row, found in json.loads(record)["rows"]}
    except (ValueError, KeyError, TypeError) as error:
        raise BrokerError(
            f"A record of topic {BOOKS.name!r} can't be read: {record[:80]!r}.",
            hint="Only the relay writes to it; find out who else did.",
        ) from error


def already_published(rows: Mapping[int, str], there: Mapping[int, str]) -> list[int]:
    """Which rows of the table are those of a record.

    Args:
        rows: Rows and marks of the record.
        there: Rows that are still in the table, and their events' ids.
    """
    return [row for row, event_id in there.items() if rows.get(row) == mark(event_id)]


def last_entry(settings: Settings, outbox: str, lane: int, halt: threading.Event) -> bytes | None:
    """The last committed record of a lane; after `Transactions.take_over`, so that none is still to come.

    Raises:
        BrokerError: It can't be read.
        Halted: The lane was given up meanwhile.
    """
    place = TopicPartition(settings.qualified(BOOKS.name), lane)
    try:
        # Not the end that readers of committed events see: while another outbox's transaction is open, that lies before
        # what counts here.
        end = _end(settings, place)
        consumer = Consumer(
            {
                **broker.consumer_config(settings, f"tidemill.outbox.books.{uuid.uuid4().hex[:12]}"),
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
            }
        )
        try:
            start, _ = consumer.get_watermark_offsets(place, timeout=LOOK_SECONDS)
            back = FIRST_LOOK_BACK
            while True:
                begin = max(start, end - back)
                found = _last_between(consumer, settings, place, begin, end, key_of(outbox, lane), halt)
                if found is not None or begin <= start:
                    return found
                back *= 8
        finally:
            consumer.close()
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=BOOKS.name) from error


def _end(settings: Settings, place: TopicPartition) -> int:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    admin = broker.admin_client(settings)  # kept until the answer is there
    (future,) = admin.list_offsets({place: latest}, request_timeout=LOOK_SECONDS).values()
    return int(future.result(timeout=2 * LOOK_SECONDS).offset)


def _last_between(
    consumer: Consumer,
    settings: Settings,
    place: TopicPartition,
    begin: int,
    end: int,
    key: bytes,
    halt: threading.Event,
) -> bytes | None:
    found = None
    consumer.assign([TopicPartition(place.topic, place.partition, begin)])
    position = begin
    while position < end:
        if halt.is_set():
            raise Halted
        message = consumer.poll(POLL_SECONDS)
        if message is None:
            continue
        error, position = message.error(), message.offset() or 0
        if error is None:
            position += 1
            if message.key() == key and message.value() is not None:
                found = message.value()
        elif error.code() != KafkaError._PARTITION_EOF and (error.fatal() or not error.retriable()):
            raise broker.from_kafka(error, settings, topic=place.topic)
    return found

"""One event by its place, whatever it is: with its headers, and decoded as it was written."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.codec import PREFIX_BYTES
from tidemill.contracts.registry import Registry
from tidemill.errors import DecodeError
from tidemill.event import Event, Headers
from tidemill.replay.exact import record_reader
from tidemill.replay.scan import scan
from tidemill.replay.schemas import Writers, schema_id_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings


@dataclass(frozen=True)
class Single:
    """One event."""

    event: Event[None]
    """Its envelope."""
    value: bytes | None
    """None for a tombstone."""
    schema_id: int
    """0 where the value names none."""
    payload: dict[str, Any] | None
    """As its own schema says; None for a tombstone, and for what can't be decoded."""
    fault: str | None
    """Why it can't be decoded."""

    @property
    def headers(self) -> Headers:
        """All of them, in order."""
        return self.event.raw_headers


def read_single(settings: Settings, topic: str, partition: int, offset: int) -> Single | None:
    """The event at a place; None where there is none, as behind the end or where a transaction was aborted.

    Args:
        settings: Addresses, security, namespace.
        topic: Without the namespace.
        partition: Its partition.
        offset: Its offset, not beyond the partition's end.

    Raises:
        UnknownTopic: The topic doesn't exist.
        ConfigError: It has no such partition, or doesn't reach so far.
        BrokerError, RegistryError: It can't be read.
    """
    only = scan(
        topic, {partition: offset}, {partition: offset + 1}, columns="_offset", on_error="skip", settings=settings
    )
    with closing(only.run(keep_messages=True).pieces()) as pieces:
        messages = [message for piece in pieces for message in piece.taken.messages]
    return _decoded(settings, messages[0]) if messages else None


def _decoded(settings: Settings, message: Message) -> Single:
    value = message.value()
    event = Event.received(None, message)
    if value is None:
        return Single(event, None, 0, None, None)
    prefix = value[:PREFIX_BYTES]
    with Registry(settings) as registry:
        try:
            written_as = Writers(registry).of(prefix)
            payload = record_reader(written_as, written_as)(value)
        except DecodeError as error:
            return Single(event, value, schema_id_of(prefix), None, error.message)
    return Single(event, value, written_as.schema_id, payload, None)

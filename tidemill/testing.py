"""For tests: publishers that keep events in memory instead of sending them, and a `Work` to call handlers with.

They are the real publishers over another core, so they check all that the real ones check: fields, keys, headers, size,
whether they are closed. They need no broker and no registry, and must never open a connection. `memory_work` and
`MemoryLedger` are imported when first used (PEP 562): a service that publishes has nothing of streams installed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tidemill import delayed
from tidemill.codec import PREFIX_BYTES, Codec
from tidemill.contracts.contract import Payload
from tidemill.errors import DecodeError
from tidemill.event import Event, Position
from tidemill.partitioning import partition_of
from tidemill.publisher.asynchronous import AsyncPublisher
from tidemill.publisher.core import OnDelivery, ProducerCore
from tidemill.publisher.preparing import Outgoing
from tidemill.publisher.sync import Publisher

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.runtime.effects.memory import MemoryLedger, memory_work

__all__ = ["AsyncMemoryPublisher", "MemoryLedger", "MemoryPublisher", "MemorySchemas", "memory_work"]

P = TypeVar("P", bound=Payload)


def __getattr__(name: str) -> object:
    if name in ("MemoryLedger", "memory_work"):
        from tidemill.runtime.effects import memory

        return getattr(memory, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class MemorySchemas:
    """A schema registry in memory for `Codec`: every schema is registered when it is first asked for."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._schemas: list[str] = []
        self._lock = threading.Lock()

    def lookup_id(self, subject: str, schema_json: str) -> int:
        """The id of a schema, the same under every subject."""
        with self._lock:
            if schema_json not in self._ids:
                self._schemas.append(schema_json)
                self._ids[schema_json] = len(self._schemas)
            return self._ids[schema_json]

    def schema_by_id(self, schema_id: int) -> dict[str, Any]:
        """The schema of an id; raises DecodeError where there is none."""
        import json

        if not 1 <= schema_id <= len(self._schemas):
            raise DecodeError(f"No schema in memory has the id {schema_id}.")
        schema: dict[str, Any] = json.loads(self._schemas[schema_id - 1])
        return schema


class _MemoryCodec(Codec):
    """Also knows which class wrote a value."""

    def __init__(self) -> None:
        self._schemas = MemorySchemas()
        super().__init__(self._schemas)
        self._classes: dict[int, type[Payload]] = {}

    def prepare(self, cls: type[Payload]) -> Callable[[Any], bytes]:
        contract = cls.__contract__
        self._classes[self._schemas.lookup_id(contract.subject, contract.schema_json)] = cls
        return super().prepare(cls)

    def class_of(self, value: bytes) -> type[Payload]:
        return self._classes[int.from_bytes(value[1:PREFIX_BYTES], "big")]


class _Acknowledged:
    """What a delivery report says of a message."""

    def __init__(self, position: Position) -> None:
        self._position = position

    def topic(self) -> str:
        return self._position.topic

    def partition(self) -> int:
        return self._position.partition

    def offset(self) -> int:
        return self._position.offset


class _MemoryCore(ProducerCore):
    """Acknowledges every message at once, after having kept the event that a consumer would read."""

    def __init__(self, settings: Settings, config: dict[str, Any] | None = None) -> None:
        super().__init__(settings, config)
        self.codec = _MemoryCodec()
        self.events: list[Event[Any]] = []
        self._ends: dict[tuple[str, int], int] = {}

    def produce(self, message: Outgoing, on_delivery: OnDelivery) -> bool:
        self.check_open()
        cls = self.codec.class_of(message.value)
        is_put_off = message.topic == self.settings.qualified(delayed.TOPIC)
        partitions = delayed.PARTITIONS if is_put_off else cls.__contract__.partitions
        partition = partition_of(message.key, partitions) if message.key is not None else 0
        # As it will be read when it is due.
        parcel = delayed.unpacked(message.headers) if is_put_off else None
        key, headers = (message.key, message.headers) if parcel is None else (parcel.key, parcel.headers)
        payload = self.codec.decode(message.value, cls)
        with self._lock:
            offset = self._ends.get((message.topic, partition), 0)
            self._ends[message.topic, partition] = offset + 1
            position = Position(message.topic, partition, offset, time.time_ns() // 1_000_000)
            self.events.append(Event(payload, key=key, headers=headers, position=position))
        on_delivery(None, _Acknowledged(position))
        return True


class _Kept:
    """What both publishers offer to a test."""

    _core: ProducerCore

    @property
    def events(self) -> list[Event[Any]]:
        """Everything published since the beginning or the last `clear`, in order, as a consumer would read it."""
        return list(cast(_MemoryCore, self._core).events)

    def of(self, cls: type[P]) -> list[Event[P]]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event.payload, cls)]

    def clear(self) -> None:
        """Forget the events; offsets go on."""
        cast(_MemoryCore, self._core).events.clear()


class MemoryPublisher(_Kept, Publisher):
    """A `Publisher` that keeps events in memory: same checks, no broker, no registry.

        from tidemill.events import ImageRequested, Rendition
        from tidemill.testing import MemoryPublisher

        def test_an_upload_asks_for_a_thumbnail():
            publisher = MemoryPublisher()
            upload(b"...", publisher)  # the code under test
            (event,) = publisher.of(ImageRequested)
            assert event.payload.renditions == [Rendition(name="thumb", width=200)]
            assert event.key == event.payload.source

    Payloads are decoded from the encoded bytes, so a test sees what a consumer would see. Partitions are those that
    the keys would get in a topic made from the contract. An event with a delay is there at once, with its `due` time,
    at its position on `schedule.delayed`.

    Args:
        settings: Default: from the environment (`load_settings`).
    """

    _core_type = _MemoryCore

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._preparer.codec = cast(_MemoryCore, self._core).codec


class AsyncMemoryPublisher(_Kept, AsyncPublisher):
    """An `AsyncPublisher` that keeps events in memory; see `MemoryPublisher`."""

    _core_type = _MemoryCore

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self._preparer.codec = cast(_MemoryCore, self._core).codec

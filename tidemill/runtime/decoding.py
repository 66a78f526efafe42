"""Decoding of what a stream reads: at once where the writer's schema is known, else with the registry's help.

Relies on `codec` for the bytes. Asks the registry in a thread, and for each schema id once at a time, however many
events wait for it. Lets out no exception but those it names: bytes from Kafka can make libraries raise anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.codec import Codec, SchemaNotCached
from tidemill.errors import DecodeError, RegistryError
from tidemill.event import Event
from tidemill.runtime.error_text import brief

if TYPE_CHECKING:
    from tidemill.contracts.contract import Payload
    from tidemill.event import Message


class Decoding:
    """Decodes the events of one stream.

    Args:
        codec: Knows the wire format and the schemas.
        payload: The class to decode to.
    """

    def __init__(self, codec: Codec, payload: type[Payload]) -> None:
        self._codec = codec
        self._payload = payload
        self._fetches: dict[int, asyncio.Task[None]] = {}

    def at_once(self, messages: Sequence[Message]) -> list[Event[Any]] | None:
        """The events of these messages; None where one of them needs `examine`."""
        decode, payload, received = self._codec.decode_cached, self._payload, Event.received
        try:
            if len(messages) == 1:
                # By far the commonest, and a comprehension has a price of its own.
                message = messages[0]
                return [received(decode(message.value(), payload), message)]
            return [received(decode(message.value(), payload), message) for message in messages]
        except Exception:  # noqa: BLE001 - `examine` finds out what it is, one by one
            return None

    async def examine(self, message: Message) -> None:
        """Fetch the schema of a message if need be, and see whether it can be decoded.

        Raises:
            DecodeError: It can't.
            RegistryError: The registry doesn't answer, so nobody knows.
        """
        try:
            while True:
                try:
                    self._codec.decode_cached(message.value(), self._payload)
                    return
                except SchemaNotCached as missing:
                    await self._fetch(missing.schema_id)
        except (DecodeError, RegistryError):
            raise
        except Exception as error:
            raise DecodeError(f"The value can't be decoded ({brief(error)}).") from error

    async def _fetch(self, schema_id: int) -> None:
        fetch = self._fetches.get(schema_id)
        if fetch is None:
            fetch = asyncio.create_task(asyncio.to_thread(self._codec.learn, schema_id))
            self._fetches[schema_id] = fetch
            fetch.add_done_callback(lambda done: self._fetched(schema_id, done))
        # One event that is given up must not take the schema from those that wait for it, too.
        await asyncio.shield(fetch)

    def _fetched(self, schema_id: int, fetch: asyncio.Task[None]) -> None:
        del self._fetches[schema_id]
        if not fetch.cancelled():
            fetch.exception()  # Those who waited have it; if none does any more, asyncio need not complain.

"""What is published of an event that became a dead letter: whoever waits for it is told that it won't come.

Follows the dead letter, and is acknowledged before the event counts for the offset. What a stream says here can't
change what becomes of its event: where it raises, that is logged. Must let out no exception; runs on the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tidemill.errors import DecodeError
from tidemill.runtime.burial import hold_seconds, is_ours_after
from tidemill.runtime.error_text import brief
from tidemill.runtime.facts import facts_of
from tidemill.runtime.outputs import is_held
from tidemill.runtime.work import as_outputs

if TYPE_CHECKING:
    import structlog

    from tidemill.event import Event
    from tidemill.runtime.decoding import Decoding
    from tidemill.runtime.outputs import Outputs
    from tidemill.runtime.partition import Unit
    from tidemill.runtime.stream import Stream
    from tidemill.runtime.work import Output

SERIES = "dead:"
"""Tells the ids of what is said here from those of what the handler may have returned."""


class Farewells:
    """Tells of the dead letters of one stream.

    Args:
        stream: Its `on_dead_letter` says what.
        decoding: Decodes the event again.
        outputs: Publishes.
        log: For what can't be told.
    """

    def __init__(self, stream: Stream, decoding: Decoding, outputs: Outputs, log: structlog.stdlib.BoundLogger) -> None:
        self._stream = stream
        self._decoding = decoding
        self._outputs = outputs
        self._log = log

    async def say(self, unit: Unit, error: Exception) -> None:
        """Publish what the stream says of a dead letter, however long Kafka is away.

        Args:
            unit: Of one message, whose dead letter is written.
            error: What it died of.
        """
        tell = self._stream.on_dead_letter
        if tell is None or isinstance(error, DecodeError):
            return
        try:
            await self._decoding.examine(unit.messages[0])
            events = self._decoding.at_once(unit.messages) or []
            event = events[0]
            outputs = as_outputs(tell(event, error), None)
        except Exception as fault:  # noqa: BLE001 - it is the stream's own code, and the dead letter is written
            self._log.error("nobody is told of a dead letter", **facts_of(unit), error=brief(fault))
            return
        holds = 0
        while outputs and (refused := await self._published(unit, event, outputs)) is not None:
            self._log.error("a dead letter can't be told of", **facts_of(unit), error=brief(refused))
            if not is_held(refused) or not await is_ours_after(unit, hold_seconds(holds)):
                return
            holds += 1

    async def _published(self, unit: Unit, event: Event[Any], outputs: list[Output]) -> Exception | None:
        answered: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        await self._outputs.publish(unit, [event], outputs, lambda _, error: answered.set_result(error), series=SERIES)
        return await answered

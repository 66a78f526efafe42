"""Writing dead letters until they are written: without it, an event must not count as done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.runtime.error_text import brief
from tidemill.runtime.partition import Unit, facts_of

if TYPE_CHECKING:
    import structlog

    from tidemill.runtime.outputs import Outputs

HOLD_FIRST_SECONDS = 0.2
HOLD_MOST_SECONDS = 10.0
"""Back-off while Kafka or the registry is away; the event is held, however long it takes."""


def hold_seconds(holds: int) -> float:
    """How long an event is put off that has been put off so many times already."""
    return min(HOLD_FIRST_SECONDS * 2.0 ** min(holds, 10), HOLD_MOST_SECONDS)


async def bury(
    unit: Unit, error: Exception, attempts: int, outputs: Outputs, log: structlog.stdlib.BoundLogger
) -> bool:
    """Write the dead letter of a unit of one message, however long that takes.

    Returns:
        False where its partition was closed meanwhile: then somebody else will do it.
    """
    part, message = unit.part, unit.messages[0]
    holds = 0
    while True:
        try:
            await outputs.bury(message, error, attempts)
        except TidemillError as refused:
            delay = hold_seconds(holds)
            log.error(
                "dead letter can't be written, its partition waits",
                **facts_of(unit),
                error=brief(refused),
                dead_letter_for=brief(error),
                in_seconds=delay,
            )
        else:
            log.error("dead letter", **facts_of(unit), error=brief(error))
            return True
        holds += 1
        # While it only waits, nobody has to wait for it: the partition can go elsewhere.
        part.running -= 1
        await asyncio.sleep(delay)
        part.running += 1
        if not part.open:
            return False

"""Writing dead letters, and what waits on `schedule.delayed`, until it is written: before that, no event is done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.runtime.error_text import brief
from tidemill.runtime.facts import facts_of
from tidemill.runtime.outputs import is_held
from tidemill.runtime.partition import Unit

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
    holds = 0
    while True:
        try:
            await outputs.bury(unit.messages[0], error, attempts)
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
        if not await is_ours_after(unit, delay):
            return False


async def put_off(
    unit: Unit, wait_seconds: float, outputs: Outputs, log: structlog.stdlib.BoundLogger
) -> TidemillError | bool:
    """Write a unit of one message to `schedule.delayed`, however long Kafka is away.

    Returns:
        True once it is written. False where its partition was closed meanwhile: then somebody else tries the event
        again. The error where it is refused for good.
    """
    holds = 0
    due = datetime.now(UTC) + timedelta(seconds=wait_seconds)
    while True:
        try:
            await outputs.put_off(unit.messages[0], unit.attempt, due)
        except TidemillError as refused:
            if not is_held(refused):
                return refused
            delay = hold_seconds(holds)
            log.error("retry can't be put off, its partition waits", **facts_of(unit), error=brief(refused))
        else:
            return True
        holds += 1
        if not await is_ours_after(unit, delay):
            return False


async def is_ours_after(unit: Unit, seconds: float) -> bool:
    """Wait with a unit for so many seconds; whether its partition is still this worker's then."""
    # While it only waits, nobody has to wait for it: the partition can go elsewhere.
    unit.part.running -= 1
    await asyncio.sleep(seconds)
    unit.part.running += 1
    return unit.part.open

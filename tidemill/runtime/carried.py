"""What is known of an event before its first try here: tries of an earlier owner, and processes that died of it.

Computes units; no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.runtime.partition import Partition, Unit, units_of
from tidemill.runtime.retry_route import tries_before

if TYPE_CHECKING:
    from tidemill.event import Message
    from tidemill.runtime.suspicion import Suspicion

MARK_OF_RETRIES = 1 << 31
"""Added to the numbers of a retry topic's partitions, where they have to differ from those of the stream's topic."""


class Carried:
    """Makes units of messages, with what is known of them.

    Args:
        suspicion: The events that were in work when an earlier process died.
        retry_topic: The topic on which the stream gets back what it has put off; None where there is none.
    """

    def __init__(self, suspicion: Suspicion, retry_topic: str | None) -> None:
        self._suspicion = suspicion
        self._retry_topic = retry_topic

    def mark(self, topic: str, number: int) -> int:
        """What tells a partition apart from all others that the stream reads."""
        return number + MARK_OF_RETRIES if topic == self._retry_topic else number

    def units(self, part: Partition, messages: Sequence[Message], *, batch: int | None, ordered: bool) -> list[Unit]:
        """As `units_of`; what was tried before comes by itself, also where others are batches."""
        came_back = part.topic == self._retry_topic
        if not (came_back or part.held or self._suspicion) or not (came_back or self._knows(part, messages)):
            return units_of(part, messages, batch=batch, ordered=ordered)
        units = units_of(part, messages, batch=1 if batch else None, ordered=ordered)
        for unit in units:
            unit.deaths = self._suspicion.deaths(part.mark, unit.offset)
            held = part.held.get(unit.offset)
            tries = tries_before(unit.messages[0]) if came_back else 0
            if held is not None:
                tries = held.attempts
            # It died in a try beyond those that it is known for. Of several deaths some may be among these.
            unit.attempt = max(tries + 1, unit.deaths) if unit.deaths else tries
        return units

    def _knows(self, part: Partition, messages: Sequence[Message]) -> bool:
        if part.held and any(message.offset() in part.held for message in messages):
            return True
        return bool(self._suspicion) and self._suspicion.falls_on(part.mark, messages)

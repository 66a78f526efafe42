"""What one transaction does to events that wait: sends some off, removes others, answers requests.

An event goes to its topic as it is, byte for byte, and in the same transaction its record is removed by a tombstone
that tells what became of it. Either both are read, or neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scheduler.delays.requests import Answer, Request, answer_headers, outcome_headers
from scheduler.delays.waiting import Waiting

if TYPE_CHECKING:
    from tidemill.transactions import Refused, Writer, Written


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request."""

    request: Request
    answer: Answer
    reason: str | None = None


@dataclass(slots=True)
class Dispatch:
    """A deed (`ownership.duty`) on one partition.

    Args:
        topic: `schedule.delayed`, with the namespace.
        partition: Whose.
        by: This instance, for tombstones.
        on_written, on_refused: Told of the end.
    """

    topic: str
    partition: int
    by: str
    on_written: Callable[[Dispatch], None]
    on_refused: Callable[[Dispatch, Refused], None]
    sent: Sequence[Waiting] = ()
    cancelled: Sequence[Waiting] = ()
    replies: Sequence[Reply] = ()
    tombstones: dict[bytes, Written] = field(default_factory=dict)
    """By key, once written."""
    events: dict[Written, Waiting] = field(default_factory=dict)
    """What was written of `sent`."""

    def write(self, writer: Writer) -> None:
        """Write it all into the open transaction."""
        now = datetime.now(UTC)
        self.tombstones.clear()
        self.events.clear()
        for event in self.sent:
            self.events[writer.produce(event.topic, event.key, event.value, event.headers)] = event
        dispatched = {event.topic: outcome_headers(Answer.DISPATCHED, self.by, now, event.topic) for event in self.sent}
        askers = {reply.request.event_id: reply.request.by for reply in self.replies}
        for event in self.sent:
            self._remove(writer, event.id, dispatched[event.topic])
        for event in self.cancelled:
            self._remove(writer, event.id, outcome_headers(Answer.CANCELLED, askers[event.id], now))
        for reply in self.replies:
            self._remove(writer, reply.request.key, answer_headers(reply.answer, self.by, now, reply.reason))

    def _remove(self, writer: Writer, key: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.tombstones[key] = writer.produce(self.topic, key, None, headers, partition=self.partition)

    def written(self) -> None:
        """It is committed."""
        self.on_written(self)

    def refused(self, refused: Refused) -> None:
        """Some of it will never be taken, so nothing of it was."""
        self.on_refused(self, refused)

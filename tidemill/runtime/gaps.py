"""Whether what comes of a partition follows on what came before, offset by offset. No I/O, no asyncio.

A log has gaps of its own: markers of transactions, aborted events, what compaction removed. They look like events that
the client skipped, after a rebalance for instance. So the place is read once more; what is missing again isn't there.
Upholds I5 of docs/invariants.md. What retention deleted is no matter of this module (`astray`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

Key = tuple[str, int]
"""Topic and partition."""


class _Course:
    """How far one partition has come in this assignment."""

    __slots__ = ("credit", "expected", "granted", "looked_from")

    def __init__(self, expected: int | None) -> None:
        self.expected = expected
        """The offset to come next; None until the first has come."""
        self.looked_from: int | None = None
        """Where reading was begun once more, while nothing has come from there yet."""
        self.granted = 0
        self.credit = 0
        """Polls with gaps that are taken as they are."""


class Gaps:
    """Looks at the offsets of each partition.

    Args:
        stream: Name of the stream, for the log.
    """

    def __init__(self, stream: str) -> None:
        self._courses: dict[Key, _Course] = {}
        self._log = get_logger("source").bind(stream=stream)
        self.look_again: dict[Key, int] = {}
        """Where to read once more; whoever has begun to takes it out."""

    def begin(self, key: Key, offset: int) -> None:
        """A partition is read from here on.

        Args:
            key: The partition.
            offset: The first offset; below 0 where it isn't known.
        """
        self._courses[key] = _Course(offset if offset >= 0 else None)
        self.look_again.pop(key, None)

    def forget(self, keys: Iterable[Key]) -> None:
        """These partitions are read no more."""
        for key in keys:
            self._courses.pop(key, None)
            self.look_again.pop(key, None)

    def sift(self, key: Key, messages: Sequence[Message]) -> Sequence[Message]:
        """What may be handled of these messages.

        Left out is what came before already, and what lies behind a gap that is to be looked at again: then
        `look_again` says from where.

        Args:
            key: Their partition.
            messages: As they came; at least one.
        """
        course = self._courses.get(key)
        if course is None:
            course = self._courses[key] = _Course(None)
        first, last = messages[0].offset() or 0, messages[-1].offset() or 0
        if first == course.expected and last - first == len(messages) - 1 and course.looked_from is None:
            course.expected = last + 1
            return messages
        return self._sift_each(key, course, messages)

    def _sift_each(self, key: Key, course: _Course, messages: Sequence[Message]) -> list[Message]:
        taken: list[Message] = []
        again = on_credit = 0
        for message in messages:
            offset = message.offset() or 0
            expected = course.expected
            if expected is not None and offset != expected:
                if offset < expected:
                    again += 1
                    continue
                if course.looked_from is not None:
                    self._accept(key, course, offset)
                elif on_credit or course.credit:
                    on_credit += 1
                else:
                    course.looked_from = self.look_again[key] = expected
                    break
            elif course.looked_from is not None:
                self._found(key, course, offset)
            course.expected = offset + 1
            taken.append(message)
        if on_credit:
            course.credit -= 1
        if again:
            self._log.warning("came twice, handled once", topic=key[0], partition=key[1], events=again)
        return taken

    def _accept(self, key: Key, course: _Course, offset: int) -> None:
        # In a log of transactions every second offset is a marker. The more gaps turn out to be the log's own, the more
        # are believed: the number of those looked at again grows with the logarithm of the events.
        course.granted = max(1, course.granted * 2)
        course.credit = course.granted
        self._log.debug(
            "gap in the log",
            topic=key[0],
            partition=key[1],
            offset=course.looked_from,
            up_to=offset,
            trust=course.credit,
        )
        course.looked_from = None

    def _found(self, key: Key, course: _Course, offset: int) -> None:
        course.granted = course.credit = 0
        course.looked_from = None
        self._log.warning(
            "events were skipped, and came when read again", topic=key[0], partition=key[1], offset=offset
        )

"""Partitions whose log doesn't hold the offset that is to be read next: it was deleted unread, or the log is shorter.

Kafka's clients jump then, silently, to where `auto.offset.reset` says. Here librdkafka is told to say so instead
(`auto.offset.reset=error`), and the jump is an alarm with its size. Must not lose anything by itself: where it is
unclear what the log holds, it is read from its beginning.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

from tidemill.errors import ConfigError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from tidemill.runtime.partition import Partition

Key = tuple[str, int]
"""Topic and partition."""

ASK_SECONDS = 2.0
"""How long a broker may take to say which offsets its log holds."""
ASK_AGAIN_SECONDS = 1.0

_FIRST_STARTS = {
    **dict.fromkeys(("earliest", "smallest", "beginning"), OFFSET_BEGINNING),
    **dict.fromkeys(("latest", "largest", "end"), OFFSET_END),
}


def first_start(reset: object) -> int:
    """Where to begin in a partition of which nothing was ever committed.

    Args:
        reset: The setting `auto.offset.reset`.

    Raises:
        ConfigError: It is neither earliest nor latest.
    """
    start = _FIRST_STARTS.get(str(reset))
    if start is None:
        raise ConfigError(
            f"auto.offset.reset is {reset!r}, expected 'earliest' or 'latest'.",
            hint="It says where a new consumer group begins; what is deleted unread is an alarm whatever it says.",
        )
    return start


class Jump(NamedTuple):
    """Where to go on, since the log doesn't hold what is to be read next."""

    asked: int
    """The offset that it doesn't hold; below 0 where none was ever committed."""
    offset: int
    """Where to go on; a logical offset (below 0) where the log's beginning or end is meant."""
    is_deleted: bool = False
    """Were events deleted that nobody has read? They are those from `asked` up to `offset`."""
    is_shorter: bool = False
    """Does the log end before `asked`, or is it another log?"""


def jump(asked: int, low: int, start: int) -> Jump:
    """Where to go on.

    Args:
        asked: The offset that the log doesn't hold; below 0 where none was ever committed.
        low: The first offset that the log holds.
        start: Where to begin where none was ever committed (`first_start`).
    """
    if asked < 0:
        return Jump(asked, start)
    if asked < low:
        return Jump(asked, low, is_deleted=True)
    # Going on at its end could pass events that were written since it was cut short.
    return Jump(asked, low, is_shorter=True)


class Astray:
    """Partitions of a consumer that have to go on elsewhere. Runs on the consumer's thread.

    Args:
        consumer: Whose partitions they are.
        start: Where to begin where nothing was ever committed.
        stream: Name of the stream, for the log.
    """

    def __init__(self, consumer: Consumer, start: int, stream: str) -> None:
        self._consumer = consumer
        self._start = start
        self._asked: dict[Key, int] = {}
        self._ask_at = 0.0
        self._log = get_logger("source").bind(stream=stream)

    def add(self, key: Key, asked: int) -> None:
        """A partition's log doesn't hold this offset."""
        self._asked[key] = asked

    def drop(self, keys: Iterable[Key]) -> None:
        """These partitions are read no more."""
        for key in keys:
            self._asked.pop(key, None)

    def ways(self) -> dict[Key, Jump]:
        """Where they go on; those whose broker doesn't answer are left for the next call."""
        found: dict[Key, Jump] = {}
        if not self._asked or time.monotonic() < self._ask_at:
            return found
        for key, asked in list(self._asked.items()):
            try:
                low, high = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_SECONDS)
            except KafkaException as error:
                why = error.args[0].str()
                self._log.warning("can't find out what the log holds, will ask again", **_place(key), error=why)
                self._ask_at = time.monotonic() + ASK_AGAIN_SECONDS
                break
            del self._asked[key]
            found[key] = way = jump(asked, low, self._start)
            if way.is_shorter:
                self._tell_shorter(key, asked, low, high)
        return found

    def pass_over(self, part: Partition, way: Jump) -> None:
        """Go on behind what was deleted unread, with an alarm. Runs on the event loop, as all that changes a partition.

        Args:
            part: The partition.
            way: Where it goes on.
        """
        unread = part.pass_over(range(way.asked, way.offset))
        self._log.error(
            "events were deleted before they were read",
            **_place((part.topic, part.number)),
            from_offset=way.asked,
            to_offset=way.offset,
            # Offsets of a compacted topic, or of one with transactions, are more than its events.
            events_at_most=unread,
            hint="Give the topic a longer retention, or its stream more workers.",
        )

    def _tell_shorter(self, key: Key, asked: int, low: int, high: int) -> None:
        self._log.error(
            "the log doesn't go as far as it was read, it is read again from its beginning",
            **_place(key),
            read_up_to=asked,
            log_begins=low,
            log_ends=high,
            hint="The topic was made anew, or brokers have lost what they had acknowledged. What was done runs again.",
        )


def _place(key: Key) -> dict[str, str | int]:
    return {"topic": key[0], "partition": key[1]}

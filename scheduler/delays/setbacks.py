"""What the brokers don't take, and when it is tried again: the events concerned wait on, and all others pass them by.

A refusal of a topic (it doesn't exist, or may not be written to) holds for all of its events. Any other is of an event;
but brokers answer for a whole batch of records, so those refused together are halved until the culprit stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scheduler.delays.waiting import Waiting
from tidemill.destinations import Destinations
from tidemill.errors import NotAuthorized, TidemillError, UnknownTopic

FIRST_SECONDS = 30.0
MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Closed:
    """A topic that takes nothing at present."""

    until_us: int
    """Not tried before then."""
    tries: int
    reason: TidemillError


def pause_us(tries: int) -> int:
    """How long until the next try, microseconds: 30 s after the first, doubling up to ten minutes."""
    return round(min(MOST_SECONDS, FIRST_SECONDS * 2.0 ** min(tries - 1, 16)) * 1_000_000)


class Setbacks:
    """Topics and events that were refused.

    Args:
        destinations: Tells which topics can be sent to.
    """

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations
        self._closed: dict[str, Closed] = {}
        self._tries: dict[int, int] = {}
        self.suspects: deque[Sequence[int]] = deque()
        """Records to be tried in transactions of their own; offsets."""

    def closed(self, topics: Collection[str], now_us: int) -> dict[str, Closed]:
        """Those of these topics to which nothing can be sent at present."""
        closed = {topic: found for topic in topics if (found := self._closed.get(topic)) and found.until_us > now_us}
        for topic, reason in self._destinations.against({*topics} - closed.keys()).items():
            closed[topic] = self.close(topic, reason, now_us)
        return closed

    def close(self, topic: str, reason: TidemillError, now_us: int) -> Closed:
        """A topic was refused: send nothing to it for some time."""
        before = self._closed.get(topic)
        if isinstance(reason, UnknownTopic):
            # To ask whether it is there by now costs little, and somebody may be just making it.
            self._destinations.forget(topic)
            tries = 1
        else:
            tries = before.tries + 1 if before else 1
        self._closed[topic] = Closed(now_us + pause_us(tries), tries, reason)
        return self._closed[topic]

    def set_back(self, offset: int, now_us: int) -> int:
        """An event was refused for itself; returns when to try it again, microseconds since 1970."""
        self._tries[offset] = tries = self._tries.get(offset, 0) + 1
        return now_us + pause_us(tries)

    def suspect(self, offsets: Sequence[int]) -> None:
        """These were refused together: try each half alone."""
        middle = len(offsets) // 2
        self.suspects.extend((offsets[:middle], offsets[middle:]))

    def tried(self, events: Sequence[Waiting]) -> None:
        """These were tried together; if they are the first suspects in line, their turn is over."""
        offsets = {event.offset for event in events}
        if self.suspects and offsets and offsets <= {*self.suspects[0]}:
            self.suspects.popleft()

    def passed(self, events: Collection[Waiting]) -> None:
        """These were taken, and so their topics take something."""
        for topic in {event.topic for event in events}:
            self._closed.pop(topic, None)

    def forget(self, events: Collection[Waiting]) -> None:
        """These don't wait any more."""
        for event in events:
            self._tries.pop(event.offset, None)

    @staticmethod
    def is_of_topic(reason: TidemillError) -> bool:
        """Whether a refusal holds for all events of the topic."""
        return isinstance(reason, (UnknownTopic, NotAuthorized))

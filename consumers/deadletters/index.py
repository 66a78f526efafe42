"""The index: brought up to what the topics hold, or made anew from them. Several commands may do so at once.

First it asks how far streams are, then reads letters to their present ends, then actions to theirs, which it had asked
for before: so an action never comes before its letter, and `settling` may believe what it was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.deadletters import fold, settling
from consumers.deadletters.actions import read_action
from consumers.deadletters.cluster import Cluster, Extent
from consumers.deadletters.database import Database
from consumers.deadletters.letter import read_letter
from consumers.deadletters.reading import Reading
from consumers.deadletters.topics import ACTIONS, bare, dead_topics
from tidemill.errors import DecodeError
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from consumers.deadletters.cluster import Part
    from consumers.deadletters.settings import DeadSettings
    from tidemill.config import Settings

Progress = Callable[[int, int], None]
"""Called with offsets read and offsets to read in all."""
NEVER_SECONDS = 86_400_000.0


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What a look at the topics came to."""

    letters: int
    """Read now."""
    actions: int
    behind: int
    """Offsets that are left to read, for want of time or because a transaction is open."""
    settled: int
    """Letters of which it is known now that they are done."""
    seconds: float

    @property
    def is_complete(self) -> bool:
        """Whether the index says all that the topics do."""
        return self.behind == 0


class Index:
    """The index of dead letters.

    Args:
        settings: Addresses, namespace.
        dead_settings: Where it is.

    Raises:
        ConfigError: What it needs isn't installed, or its URL can't be used.
    """

    def __init__(self, settings: Settings, dead_settings: DeadSettings) -> None:
        self.database = Database(settings, dead_settings)
        self.cluster = Cluster(settings)
        self._settings = settings
        self._log = get_logger("deadletters")

    def close(self) -> None:
        """Close its connections."""
        self.database.close()

    def rebuild(self, progress: Progress | None = None) -> CaughtUp:
        """Make it anew from the topics; letters that they hold no more are not in it then.

        Raises:
            BrokerError, IndexUnavailable: As `catch_up`.
        """
        self.database.clear()
        first = self.catch_up(NEVER_SECONDS, progress)
        # Only now it is known which streams to ask.
        second = self.catch_up(NEVER_SECONDS, None)
        return CaughtUp(
            first.letters + second.letters,
            first.actions + second.actions,
            second.behind,
            first.settled + second.settled,
            first.seconds + second.seconds,
        )

    def catch_up(self, seconds: float, progress: Progress | None = None) -> CaughtUp:
        """Read what is new.

        Args:
            seconds: After so long it stops, and what it has read stays.
            progress: Told now and then how far it is.

        Raises:
            BrokerError: The topics can't be read.
            IndexUnavailable: The database doesn't answer.
        """
        began = time.monotonic()
        with self.database.reading() as connection:
            places = settling.awaited(connection)
        sources = self.cluster.topic_ids(sorted({self._settings.qualified(place.topic) for place in places}))
        known = settling.passed(
            self._settings, places, lambda topic: sources.get(self._settings.qualified(topic), (None, []))[0]
        )
        there = self.cluster.topics()
        actions_topic = self._settings.qualified(ACTIONS.name)
        of_actions = self.cluster.extent([actions_topic] if actions_topic in there else [])
        of_letters = self.cluster.extent(dead_topics(self._settings, there))
        starts = self._starts(of_letters, of_actions)
        letters = Reading(self._settings, self._among(starts, of_letters), of_letters.ends)
        actions = Reading(self._settings, self._among(starts, of_actions), of_actions.ends)
        total = letters.offsets + actions.offsets
        read = {letters: 0, actions: 0}
        for reading, what in ((letters, of_letters), (actions, of_actions)):
            if reading is actions and not letters.is_complete:
                break
            for messages in reading.batches():
                read[reading] += len(messages)
                self._fold(messages, reading, what, is_actions=reading is actions)
                if progress is not None and total:
                    progress(letters.done + actions.done, total)
                if time.monotonic() - began > seconds:
                    break
            self._fold([], reading, what, is_actions=reading is actions)
        settled = 0
        if letters.is_complete:
            with self.database.writing() as connection:
                fold.expire(connection, self._bare(of_letters.begins))
                settled = settling.settle(connection, known)
        behind = total - letters.done - actions.done
        return CaughtUp(read[letters], read[actions], behind, settled, time.monotonic() - began)

    def _starts(self, *extents: Extent) -> dict[tuple[str, int], int]:
        """Where to go on, by topic with the namespace; forgets topics that aren't those that were read."""
        with self.database.reading() as connection:
            offsets = fold.read_offsets(connection)
        ids = {name: identity for each in extents for name, identity in each.topic_ids.items()}
        ends = {part: end for each in extents for part, end in each.ends.items()}
        gone = set()
        for (topic, partition), (identity, offset) in offsets.items():
            name = self._settings.qualified(topic)
            if ids.get(name) != identity or offset > ends.get((name, partition), offset):
                gone.add(topic)
        if gone:
            with self.database.writing() as connection:
                for topic in sorted(gone):
                    self._log.warning("a topic was deleted or made anew, what it held is forgotten", topic=topic)
                    fold.forget(connection, topic)
        starts = {}
        for each in extents:
            for part, begin in each.begins.items():
                place = (bare(self._settings, part[0]), part[1])
                known = offsets.get(place, ("", 0))[1] if place[0] not in gone else 0
                starts[part] = max(begin, known)
        return starts

    @staticmethod
    def _among(starts: dict[tuple[str, int], int], of: Extent) -> dict[tuple[str, int], int]:
        return {part: start for part, start in starts.items() if part in of.ends}

    def _bare(self, offsets: Mapping[Part, int]) -> dict[fold.Place, int]:
        return {(bare(self._settings, name), number): offset for (name, number), offset in offsets.items()}

    def _fold(self, messages: Sequence[Message], reading: Reading, of: Extent, *, is_actions: bool) -> None:
        namespace = self._settings.namespace
        letters = [] if is_actions else [read_letter(message, namespace) for message in messages]
        ids = {bare(self._settings, name): identity for name, identity in of.topic_ids.items()}
        with self.database.writing() as connection:
            fold.fold_letters(connection, letters)
            for message in messages if is_actions else ():
                place = (message.partition() or 0, message.offset() or 0)
                try:
                    fold.fold_action(connection, read_action(message.value()), place)
                except DecodeError as error:
                    self._log.error(
                        "no action, it is passed over", partition=place[0], offset=place[1], error=str(error)
                    )
            fold.write_offsets(connection, self._bare(reading.positions), ids)


@contextmanager
def opened(settings: Settings, dead_settings: DeadSettings) -> Iterator[Index]:
    """The index for the time of the block."""
    index = Index(settings, dead_settings)
    try:
        yield index
    finally:
        index.close()

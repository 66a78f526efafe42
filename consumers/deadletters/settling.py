"""What came of letters that were put back: read from how far their streams' groups are.

A stream commits past an event only when it is through with it: its handler has succeeded and its outputs are there,
its dead letter is written, or its job was cancelled (I1 of docs/invariants.md). So whoever first asks what is
committed, and then reads all dead letters that are there, knows of each event that was passed, and has no new letter,
that it was done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from sqlalchemy import Connection, literal, select, tuple_, update

from consumers.deadletters.fold import chunks
from consumers.deadletters.state import State
from consumers.deadletters.tables import LETTERS, WAITS
from tidemill import broker
from tidemill.runtime.finished import from_metadata

if TYPE_CHECKING:
    from tidemill.config import Settings

ASK_SECONDS = 10.0
TRIES = 20


class Awaited(NamedTuple):
    """A partition that events were put back to, and the stream that they wait for."""

    stream: str
    topic: str
    """Without the namespace."""
    topic_id: str
    partition: int


class Passed(NamedTuple):
    """How far a group is with a partition."""

    offset: int
    """Everything before it is done."""
    beyond: list[range]
    """What is done beyond it."""

    def is_past(self, offset: int) -> bool:
        """Whether an event was passed."""
        return offset < self.offset or any(offset in some for some in self.beyond)


def awaited(connection: Connection) -> set[Awaited]:
    """Where events lie that were put back and of which nobody knows yet what came of them."""
    columns = [LETTERS.c[name] for name in ("stream", "to_topic", "to_topic_id", "to_partition")]
    found: set[Awaited] = set()
    # From each to the next by the index: there may be a million letters in a dozen places.
    after: tuple[object, ...] = ("", "", "", -1)
    while True:
        beyond = tuple_(*columns) > tuple_(*map(literal, after))
        row = connection.execute(select(*columns).where(WAITS, beyond).order_by(*columns).limit(1)).first()
        if row is None:
            return found
        after = tuple(row)
        found.add(Awaited(row.stream, row.to_topic, row.to_topic_id, row.to_partition))


def passed(
    settings: Settings, places: set[Awaited], topic_id_of: Callable[[str], str | None]
) -> Mapping[Awaited, Passed]:
    """How far the streams are now.

    Args:
        settings: Addresses, namespace.
        places: What to ask about.
        topic_id_of: Says which topic of a name there is now: what was put back to one before it is gone.

    Raises:
        BrokerError: They can't be asked.
    """
    by_stream: dict[str, list[Awaited]] = defaultdict(list)
    for place in sorted(places):
        if place.topic_id == topic_id_of(place.topic):
            by_stream[place.stream].append(place)
    found: dict[Awaited, Passed] = {}
    for stream, some in by_stream.items():
        for place, offset, metadata in _committed(settings, stream, some):
            if offset >= 0:
                found[place] = Passed(offset, from_metadata(offset, metadata).finished)
    return found


def has_read(settings: Settings, stream: str, topic: str, partitions: Sequence[int]) -> bool:
    """Whether a stream's group has ever committed anything of a topic.

    Args:
        settings: Addresses, namespace.
        stream: Its name.
        topic: Without the namespace.
        partitions: The topic's.

    Raises:
        BrokerError: It can't be asked.
    """
    places = [Awaited(stream, topic, "", number) for number in partitions]
    return any(offset >= 0 for _, offset, _ in _committed(settings, stream, places))


def _committed(settings: Settings, stream: str, places: list[Awaited]) -> list[tuple[Awaited, int, str | None]]:
    # By a consumer that never joins: AdminClient.list_consumer_group_offsets ends the process (SIGSEGV) where the
    # group's coordinator is being elected (librdkafka 2.16.0).
    consumer = Consumer(broker.consumer_config(settings, f"tidemill.{stream}"))
    asked = {(settings.qualified(place.topic), place.partition): place for place in places}
    try:
        for attempt in range(TRIES):
            try:
                answers = consumer.committed([TopicPartition(*part) for part in asked], timeout=ASK_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in broker.COORDINATOR_MOVES or attempt == TRIES - 1:
                    raise broker.from_kafka(error.args[0], settings) from error
                consumer.poll(0.1)
            else:
                return [(asked[each.topic, each.partition], each.offset, each.metadata) for each in answers]
    finally:
        consumer.close()
    return []


def settle(connection: Connection, known: Mapping[Awaited, Passed]) -> int:
    """Letters that were put back and are done; returns how many.

    Args:
        connection: In a transaction that can write.
        known: How far the streams were. All dead letters that were there when this was known are folded by now.
    """
    settled = 0
    for place, how_far in known.items():
        waiting = (
            WAITS,
            LETTERS.c.stream == place.stream,
            LETTERS.c.to_topic == place.topic,
            LETTERS.c.to_topic_id == place.topic_id,
            LETTERS.c.to_partition == place.partition,
        )
        done = update(LETTERS).where(*waiting, LETTERS.c.to_offset < how_far.offset)
        settled += connection.execute(done.values(state=State.RESOLVED.value)).rowcount
        if not how_far.beyond:
            continue
        first, last = how_far.beyond[0].start, how_far.beyond[-1].stop
        between = (LETTERS.c.to_offset >= first, LETTERS.c.to_offset < last)
        left = connection.execute(select(LETTERS.c.id, LETTERS.c.to_offset).where(*waiting, *between))
        ids = [row.id for row in left if how_far.is_past(row.to_offset)]
        for some in chunks(ids):
            statement = update(LETTERS).where(LETTERS.c.id.in_(some)).values(state=State.RESOLVED.value)
            settled += connection.execute(statement).rowcount
    return settled

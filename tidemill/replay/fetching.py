"""Reads the ranges of a plan from Kafka, slice by slice, each partition in order, and stops at their ends.

Joins no group and commits nothing. Knows that offsets have holes (transactions, compaction), that retention may take
what is about to be read, and that a topic may be deleted and made anew meanwhile.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from tidemill import broker
from tidemill.errors import BrokerError
from tidemill.replay.ranges import Cluster, Gap
from tidemill.replay.slices import Slice

if TYPE_CHECKING:
    from tidemill.config import Settings
    from tidemill.replay.query import Query
    from tidemill.replay.ranges import Plan

SLICE_MESSAGES = 16_384
"""Twice as many are hardly quicker and take 80 MB more; half as many take an eighth more time."""
SLICE_BYTES = 8_000_000
LEAST_MESSAGES = 256
TAKEN_MESSAGES = 400
"""At once, and let go of before the next: CPython looks for garbage after 700 new objects that could be in a cycle, as
messages are, and whatever lives then is gone through again later (3.11, Modules/gcmodule.c, gen0's threshold). With
thousands at a time that took a third of an export's time."""
QUEUE_BYTES = 32_000_000
"""What librdkafka may hold of keys and values that nobody has taken yet, over all partitions; of small events it needs
three times as much for them."""
WAIT_SECONDS = 0.1
NEVER = 1 << 62
"""An offset that no topic reaches."""
QUIET_SECONDS = 30.0
"""When nothing comes for so long, something is wrong."""

_AWAY = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE})


class Fetcher:
    """One reading of a plan.

    Args:
        settings: Addresses and security.
        query: Keys, and the range in time; what doesn't fit is dropped undecoded.
        plan: The ranges.
        keep_messages: Keep the messages themselves, for their headers.
        follow: Never end: what is appended is read, too.
        share: How many fetchers there are at once, which share the memory of one.
    """

    def __init__(
        self,
        settings: Settings,
        query: Query,
        plan: Plan,
        *,
        keep_messages: bool,
        follow: bool = False,
        share: int = 1,
    ) -> None:
        self.gaps: list[Gap] = list(plan.gaps)
        self._settings = settings
        self._query = query
        self._plan = plan
        self._keep_messages = keep_messages
        self._follow = follow
        self._queue_bytes = QUEUE_BYTES // share
        self._slice_messages = max(LEAST_MESSAGES, SLICE_MESSAGES // share)
        self._slice_bytes = SLICE_BYTES // share
        self._ends = {each.partition: each.end for each in plan.ranges}
        self._positions = {each.partition: each.start for each in plan.ranges}
        if follow:
            self._ends = dict.fromkeys(plan.next_offsets, NEVER)
            self._positions = dict(plan.next_offsets)
        self._open = set(self._ends)

    def slices(self) -> Generator[Slice, None, None]:
        """The slices; an empty one now and then tells how far reading is.

        Raises:
            BrokerError: The topic can't be read to the end, or was made anew meanwhile.
        """
        if not self._open:
            return
        consumer = Consumer(self._config())
        try:
            consumer.assign([TopicPartition(self._plan.topic, *each) for each in self._positions.items()])
            yield from self._read(consumer)
            self._check_identity()
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings, topic=self._plan.topic) from error
        finally:
            consumer.close()

    def _config(self) -> dict[str, Any]:
        room = max(1024, min(self._queue_bytes // 1000 // len(self._open), 32_768))
        config = broker.consumer_config(self._settings, f"tidemill.replay.{uuid.uuid4().hex[:12]}")
        return {
            **config,
            "queued.max.messages.kbytes": room,
            "fetch.message.max.bytes": min(room * 1000, 4_000_000),
            "fetch.wait.max.ms": 50,
            **self._settings.kafka,
            # What retention has taken is said, and never jumped over in silence.
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            # No group is joined; KIP-848's consumer would look for a coordinator all the same.
            "group.protocol": "classic",
        }

    def _read(self, consumer: Consumer) -> Generator[Slice, None, None]:
        gathered = Slice()
        batch = LEAST_MESSAGES
        most_messages, most_bytes = self._slice_messages, self._slice_bytes
        quiet_seconds = 0.0
        while self._open:
            began = time.monotonic()
            before = dict(self._positions), len(self._open)
            messages = consumer.consume(batch, WAIT_SECONDS)
            if messages:
                size_bytes = self._take(consumer, messages, gathered)
                # A message may have 100 bytes or a million: take as many as make half a slice.
                fit = most_bytes // 2 * len(messages) // (size_bytes + 1)
                batch = max(1, min(TAKEN_MESSAGES, most_messages // 2, fit))
            # Only waiting counts: who takes the slices may be slow, and a consumer's complaints are no messages.
            moved = before != (self._positions, len(self._open))
            quiet_seconds = 0.0 if moved else quiet_seconds + time.monotonic() - began
            if not self._follow and quiet_seconds > QUIET_SECONDS:
                raise self._stalled()
            # Empty or not where nothing came: who takes it may want to stop. Whoever follows wants it now.
            is_full = gathered.read >= most_messages or gathered.size_bytes >= most_bytes
            if not messages or is_full or self._follow:
                yield gathered
                gathered = Slice()
        if gathered.read:
            yield gathered

    def _take(self, consumer: Consumer, messages: list[Message], into: Slice) -> int:
        """Put messages into a slice; how many bytes they had."""
        news = []
        if any(map(Message.error, messages)):
            news = [message for message in messages if message.error() is not None]
            messages = [message for message in messages if message.error() is None]
        partitions: list[Any] = [*map(Message.partition, messages)]
        offsets: list[Any] = [*map(Message.offset, messages)]
        # Of each partition the last one stays.
        reached = dict(zip(partitions, offsets, strict=True))
        beyond = any(offset >= self._ends[partition] for partition, offset in reached.items())
        for partition, offset in reached.items():
            into.next_offsets[partition] = min(offset + 1, self._ends[partition])
            self._move(consumer, partition, offset + 1)
        if beyond:
            rows = [row for row, at in enumerate(offsets) if at < self._ends[partitions[row]]]
            messages = [messages[row] for row in rows]
            partitions = [partitions[row] for row in rows]
            offsets = [offsets[row] for row in rows]
        values: list[Any] = [*map(Message.value, messages)]
        keys: list[Any] = [*map(Message.key, messages)]
        size_bytes = sum(map(len, filter(None, values))) + sum(map(len, filter(None, keys)))
        taken = Slice(
            partitions,
            offsets,
            [stamp[1] for stamp in map(Message.timestamp, messages)],
            keys,
            values,
            messages if self._keep_messages else [],
        )
        into.read += len(taken)
        into.size_bytes += size_bytes
        taken = self._matching(taken)
        into.partitions += taken.partitions
        into.offsets += taken.offsets
        into.timestamps += taken.timestamps
        into.keys += taken.keys
        into.values += taken.values
        into.messages += taken.messages
        # What came before it has moved the positions by now.
        for message in news:
            self._hear(consumer, message, into)
        return size_bytes

    def _matching(self, taken: Slice) -> Slice:
        keys, query = self._query.keys, self._query
        if keys is None and not query.is_timed:
            return taken
        rows = [
            row
            for row, (key, timestamp) in enumerate(zip(taken.keys, taken.timestamps, strict=True))
            if (keys is None or key in keys) and query.in_time(timestamp)
        ]
        return taken if len(rows) == len(taken) else taken.kept(rows)

    def _hear(self, consumer: Consumer, message: Message, into: Slice) -> None:
        """Deal with what is no event but news of the consumer."""
        error: Any = message.error()
        code, partition = error.code(), message.partition()
        if code == KafkaError._PARTITION_EOF:
            if not self._follow and partition in self._open:
                self._move(consumer, partition, max(self._positions[partition], message.offset() or 0))
                into.next_offsets[partition] = min(self._positions[partition], self._ends[partition])
                if partition in self._open:
                    self._check_end(partition)
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            if partition in self._open:
                self._jump(consumer, partition)
                into.next_offsets[partition] = min(self._positions[partition], self._ends[partition])
        elif code not in _AWAY and (error.fatal() or not error.retriable()):
            raise broker.from_kafka(error, self._settings, topic=self._plan.topic)

    def _move(self, consumer: Consumer, partition: int, position: int) -> None:
        self._positions[partition] = position
        if partition in self._open and position >= self._ends[partition]:
            self._open.discard(partition)
            consumer.pause([TopicPartition(self._plan.topic, partition)])

    def _jump(self, consumer: Consumer, partition: int) -> None:
        """Go on where the partition begins now: retention or a deletion of records has taken what lies before."""
        self._check_identity()
        position = self._positions[partition]
        cluster = Cluster(self._settings, self._query.topic)
        low = cluster.offsets([partition], OffsetSpec.earliest)[partition]
        if low <= position:
            raise self._made_anew(f"partition {partition} has no offset {position} any more")
        end = self._ends[partition]
        self.gaps.append(Gap(partition, position, min(low, end)))
        self._move(consumer, partition, low)
        if partition in self._open:
            # A seek is refused in this state.
            consumer.incremental_unassign([TopicPartition(self._plan.topic, partition)])
            consumer.incremental_assign([TopicPartition(self._plan.topic, partition, low)])

    def _check_end(self, partition: int) -> None:
        """A partition that ends too soon: a replica that lags, which more will come from, or something has happened."""
        self._check_identity()
        end = Cluster(self._settings, self._query.topic).offsets([partition], OffsetSpec.latest)[partition]
        if end < self._ends[partition]:
            raise BrokerError(
                f"Partition {partition} of {self._plan.topic!r} ends at offset {end:,}, and ended at "
                f"{self._ends[partition]:,} when reading began: its brokers have lost events.",
                hint="An unclean leader election does that (KIP-106). Read again what there is.",
            )

    def _check_identity(self) -> None:
        topic_id, _ = Cluster(self._settings, self._query.topic).describe()
        if topic_id != self._plan.topic_id:
            raise self._made_anew(f"its id was {self._plan.topic_id} and is {topic_id}")

    def _made_anew(self, detail: str) -> BrokerError:
        return BrokerError(
            f"Topic {self._plan.topic!r} was deleted and made anew while it was read ({detail}).",
            hint="What was read so far is of the old one; read it again from the beginning.",
        )

    def _stalled(self) -> BrokerError:
        self._check_identity()
        left = ", ".join(f"{each} at {self._positions[each]} of {self._ends[each]}" for each in sorted(self._open)[:5])
        return BrokerError(
            f"Reading {self._plan.topic!r} has stood still for {QUIET_SECONDS:g} s (partition {left}).",
            hint="Look whether all brokers are up; then read again, or go on where it stopped.",
            retriable=True,
        )

"""The commits of a stream: what is sent, what became of it, and what will run again because it was not committed.

Runs on the consumer's thread and waits for nothing: answers come with a later poll. What is committed comes from the
engine's partitions alone (I1 of docs/invariants.md).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence, Set
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tidemill.runtime.finished import LIMIT_BYTES
from tidemill.runtime.partition import Partition, Progress
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from tidemill.runtime.engine import Engine

Key = tuple[str, int]
"""Topic and partition."""
Sent = dict[Key, tuple[Partition, Progress]]
"""What a commit holds."""


class Commits:
    """Sends a stream's commits.

    Args:
        engine: Whose partitions they are of.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._under_way: deque[Sent] = deque()
        """Commits that aren't answered yet."""
        self._metadata_bytes = LIMIT_BYTES
        self._log = get_logger("source").bind(stream=engine.stream.name)

    def send_if_idle(self, consumer: Consumer) -> None:
        """Commit what was done since the last time, unless a commit is under way still."""
        if not self._under_way:
            self.send(consumer)

    def send(self, consumer: Consumer, keys: Collection[Key] | None = None) -> None:
        """Commit what was done.

        Args:
            consumer: The group's member.
            keys: Of these partitions; of all where there are none.
        """
        sent: Sent = {}
        for part in self._engine.committable():
            key = (part.topic, part.number)
            if (keys is None or key in keys) and (progress := part.progress(self._metadata_bytes)):
                sent[key] = (part, progress)
        if not sent:
            return
        try:
            consumer.commit(
                offsets=[TopicPartition(*key, done.offset, metadata=done.metadata) for key, (_, done) in sent.items()],
                asynchronous=True,
            )
        except KafkaException as error:
            self._log.warning("commit not sent, will try again", error=str(error))
        else:
            self._under_way.append(sent)

    def answered(self, error: KafkaError | None, offsets: Sequence[TopicPartition]) -> None:
        """What librdkafka calls with the answer to a commit.

        Args:
            error: Why nothing was committed.
            offsets: What was asked for, each with the reason where it alone was refused.
        """
        sent = self._take_sent({(offset.topic, offset.partition) for offset in offsets})
        if error is None:
            # With an error nothing was committed: where some partitions were, librdkafka reports none.
            self._note(sent, offsets)
        else:
            self._log.warning("commit refused, will try again", error=error.str())
            if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
                self._say_less()
        gone = [part for part, _ in sent.values() if part.uncommitted and not part.alive]
        if left := [part for part in gone if not self._is_under_way(part)]:
            self.tell_uncommitted(left)

    def _is_under_way(self, part: Partition) -> bool:
        """Whether a later commit than the one that was just answered holds this assignment of a partition."""
        return any(part is held for sent in self._under_way for held, _ in sent.values())

    def tell_uncommitted(self, parts: Sequence[Partition]) -> None:
        """Say what is delivered again to whoever has these partitions next: late, not lost."""
        done: Counter[int] = Counter()
        for part in parts:
            done[part.number] += part.uncommitted
        self._log.warning("what was done is not committed and runs again", done_by_partition=dict(done))

    def _take_sent(self, keys: Set[Key]) -> Sent:
        """The commit of these partitions: one that the coordinator wants again is answered after later ones."""
        sent = next((sent for sent in self._under_way if sent.keys() == keys), self._under_way[0])
        self._under_way.remove(sent)
        return sent

    def _note(self, sent: Sent, answers: Sequence[TopicPartition]) -> None:
        for answer in answers:
            if answer.error is None:
                part, progress = sent[answer.topic, answer.partition]
                part.committed(progress)
            elif answer.error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
                self._say_less()

    def _say_less(self) -> None:
        # The broker's offset.metadata.max.bytes is lower than its default.
        self._metadata_bytes //= 2
        self._log.warning("the broker takes less metadata with an offset", bytes=self._metadata_bytes)

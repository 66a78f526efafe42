"""The source: a confluent-kafka consumer in a thread of its own, feeding the stream's Faust agent and committing.

The thread polls all the time, so that long work causes no rebalance; back-pressure is by pausing partitions. A batch is
handed over before the next poll, so that no rebalance callback can run in between. Offsets come from the engine alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import StreamError
from tidemill.runtime.finished import LIMIT_BYTES, from_metadata
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings
    from tidemill.runtime.app import FeedingApp
    from tidemill.runtime.engine import Engine
    from tidemill.runtime.partition import Partition, Progress

COMMIT_EVERY_SECONDS = 0.5
REVOKE_WAIT_SECONDS = 5.0
"""How long a rebalance waits for running handlers of partitions that go elsewhere."""
LAST_COMMIT_SECONDS = 3.0
"""How long the end waits for the last commit, while the broker is away."""
LEAVE_SECONDS = LAST_COMMIT_SECONDS + 2.0
"""How long the end waits for all of it, the leave of the group included."""
ASSIGN_WAIT_SECONDS = 10.0
"""How long an assignment waits for what was committed."""
HAND_OVER_SECONDS = 120.0
"""How long the agent may take for a batch; twice what the watch lets the event loop stand still."""
POLL_SECONDS = 0.1
POLL_PAUSED_SECONDS = 0.01
BATCH = 1000
AHEAD_ROOMS = 4
"""Finished events behind one that isn't, as a multiple of the stream's room, from which on a partition is paused: only
their offsets are held, and the map of them has to fit into a commit."""
SATED_EVENTS = 1000
"""Events that may start right now, from which on none are fetched."""
SATED_POLL_SECONDS = 0.05
SATED_LOOK_SECONDS = 0.002

_HOPELESS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.UNSUPPORTED_ASSIGNOR,
        KafkaError.INVALID_GROUP_ID,
    }
)


class Source:
    """Consumes one stream's topic.

    Args:
        engine: Where events go and offsets come from.
        app: The Faust app between them.
        settings: Addresses, group protocol, namespace.
    """

    def __init__(self, engine: Engine, app: FeedingApp, settings: Settings) -> None:
        self._engine = engine
        self._app = app
        self._settings = settings
        self._topic = settings.qualified(engine.stream.topic)
        self._halt = threading.Event()
        self._handed_over = threading.Event()
        self._paused: set[tuple[str, int]] = set()
        self._given_away: set[tuple[str, int]] = set()
        """Partitions that went elsewhere during the present poll."""
        self._under_way: dict[tuple[str, int], tuple[Partition, Progress]] = {}
        """What the commit that isn't answered yet holds."""
        self._metadata_bytes = LIMIT_BYTES
        self._log = get_logger("source").bind(stream=engine.stream.name)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception if the thread can't go on."""
        self.assigned = asyncio.Event()
        """Set once the group has given this consumer its first partitions, which may be none."""
        self._loop = asyncio.get_running_loop()
        self._consumer = self._open()
        self._thread = threading.Thread(target=self._run, name=f"source of {engine.stream.name}", daemon=True)

    def _open(self) -> Consumer:
        config = broker.consumer_config(self._settings, self._engine.stream.group)
        try:
            return Consumer({**config, "on_commit": self._on_commit, "error_cb": self._on_error})
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error

    def start(self) -> None:
        """Join the group and start to consume."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop polling, commit what is done, leave the group."""
        self._halt.set()
        if self._thread.ident is None:
            self._consumer.close()  # It was never started.
            return
        await asyncio.to_thread(self._thread.join, LEAVE_SECONDS)
        if self._thread.is_alive():
            self._log.warning("the group can't be told of the end, and finds out by itself", seconds=LEAVE_SECONDS)

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            last_commit = time.monotonic()
            while not self._halt.is_set():
                self._wait_while_sated()
                self._poll()
                self._regulate()
                if time.monotonic() - last_commit >= COMMIT_EVERY_SECONDS:
                    last_commit = time.monotonic()
                    self._commit_soon()
            self._commit_last()
        except KafkaException as error:
            self._call(self._fail, broker.from_kafka(error.args[0], self._settings, topic=self._topic))
        except Exception as error:  # noqa: BLE001 - the thread's end must end the worker, with the reason
            self._call(self._fail, error)
        finally:
            # close() would run the revocation callback and wait for the loop; everything is committed already.
            self._halt.set()
            self._consumer.close()

    def _wait_while_sated(self) -> None:
        """Fetch no more while there is more to do than the slots can start soon, but poll often enough for rebalances.

        Only a partition whose events wait for something else, a slow key for instance, reaches its room and is paused:
        to pause throws away what librdkafka has fetched of it.
        """
        deadline = time.monotonic() + SATED_POLL_SECONDS
        while self._engine.ready_count >= SATED_EVENTS and time.monotonic() < deadline:
            if self._halt.wait(SATED_LOOK_SECONDS):
                return

    def _fail(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _call(self, function: Any, *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the worker has ended already, and nobody is left to tell.
            self._halt.set()

    def _poll(self) -> None:
        # consume(n, timeout) waits all of the timeout unless n messages come (confluent-kafka 2.x, Consumer.c): 28 ms
        # of latency instead of 2. So: wait for one, then take what is there.
        first = self._consumer.poll(POLL_PAUSED_SECONDS if self._paused else POLL_SECONDS)
        if first is None:
            return
        self._given_away.clear()
        batches: dict[tuple[str, int], list[Message]] = {}
        for message in [first, *self._consumer.consume(BATCH - 1, 0)]:
            error = message.error()
            if error is not None:
                self._complain(error)
                continue
            batches.setdefault((message.topic() or "", message.partition() or 0), []).append(message)
        # A rebalance may have come in between: what was fetched before it belongs to another worker now, and must not
        # be committed from here, past what that worker still has to do.
        for key in self._given_away:
            batches.pop(key, None)
        if batches:
            self._handed_over.clear()
            self._call(self._hand_over, batches)
            deadline = time.monotonic() + HAND_OVER_SECONDS
            while not self._handed_over.wait(1.0):
                if self._halt.is_set():
                    return
                if time.monotonic() > deadline:
                    raise StreamError(f"The Faust agent has taken no events for {HAND_OVER_SECONDS:g} s.")

    def _complain(self, error: KafkaError) -> None:
        if error.code() in _HOPELESS or error.fatal():
            raise broker.from_kafka(error, self._settings, topic=self._topic)
        self._log.warning("consume", error=error.str(), code=error.name())

    def _hand_over(self, batches: dict[tuple[str, int], list[Message]]) -> None:
        found = [(self._engine.partition(topic, number), messages) for (topic, number), messages in batches.items()]
        if not self._app.put(found, self._handed_over.set):
            self._fail(StreamError("The Faust agent has stopped listening; nothing more is consumed."))

    def _regulate(self) -> None:
        """Pause partitions with too much in hand, resume those with room again."""
        stream, parts = self._engine.stream, list(self._engine.parts.items())
        full = {
            key
            for key, part in parts
            if part.count >= stream.room or part.bytes >= stream.room_bytes or part.ahead >= stream.room * AHEAD_ROOMS
        }
        if pause := full - self._paused:
            self._consumer.pause([TopicPartition(*key) for key in pause])
            self._paused |= pause
        if not self._paused:
            return
        in_hand = dict(parts)
        resume = {
            key
            for key in self._paused
            if key not in in_hand
            or (
                in_hand[key].count <= stream.room // 2
                and in_hand[key].bytes <= stream.room_bytes // 2
                and in_hand[key].ahead <= stream.room * AHEAD_ROOMS // 2
            )
        }
        if resume:
            self._paused -= resume
            owned = {(part.topic, part.partition) for part in self._consumer.assignment()}
            if still := resume & owned:
                self._consumer.resume([TopicPartition(*key) for key in still])

    def _commit_soon(self) -> None:
        if self._under_way:
            return
        if progress := self._progress():
            self._under_way = progress
            try:
                self._consumer.commit(offsets=_offsets(progress), asynchronous=True)
            except KafkaException as error:
                self._under_way = {}
                self._log.warning("commit not sent, will try again", error=str(error))

    def _progress(
        self, keys: Collection[tuple[str, int]] | None = None
    ) -> dict[tuple[str, int], tuple[Partition, Progress]]:
        """What there is to commit, of these partitions or of all."""
        found = {}
        for part in self._engine.committable():
            key = (part.topic, part.number)
            if (keys is None or key in keys) and (progress := part.progress(self._metadata_bytes)):
                found[key] = (part, progress)
        return found

    def _commit_last(self) -> None:
        """Commit what is done, but wait for a broker that is away no longer than is of use."""
        deadline = time.monotonic() + LAST_COMMIT_SECONDS
        while self._engine.committable() and time.monotonic() < deadline:
            self._commit_soon()
            # Serves the answer. A message that comes along is dropped: it isn't committed.
            self._consumer.poll(POLL_PAUSED_SECONDS)
        if left := self._engine.committable():
            # What is not committed is delivered again to whoever has the partition next: late, not lost.
            self._log.warning("last commit not done", partitions=sorted(part.number for part in left))

    def _on_commit(self, error: KafkaError | None, offsets: Sequence[TopicPartition]) -> None:
        under_way, self._under_way = self._under_way, {}
        if error is None:
            # With an error nothing was committed: where some partitions were, librdkafka reports none.
            self._note_commit(under_way, offsets)
            return
        self._log.warning("commit refused, will try again", error=error.str())
        if error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE:
            self._say_less()

    def _note_commit(
        self, sent: Mapping[tuple[str, int], tuple[Partition, Progress]], answers: Sequence[TopicPartition]
    ) -> None:
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

    def _commit_now(self, keys: Collection[tuple[str, int]]) -> None:
        progress = self._progress(keys)
        if not progress:
            return
        try:
            answers = self._consumer.commit(offsets=_offsets(progress), asynchronous=False) or []
            self._note_commit(progress, answers)
        except KafkaException as error:
            # What is not committed is delivered again to whoever has the partition next: late, not lost.
            self._log.warning("last commit not done", error=str(error), partitions=sorted(n for _, n in keys))

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._log.info("assigned", topic=self._topic, partitions=sorted(part.partition for part in partitions))
        for part in (starts := self._starts(partitions)):
            finished = from_metadata(part.offset, part.metadata)
            if finished:
                self._log.info("goes on behind what was finished", partition=part.partition, offset=part.offset)
            self._call(self._engine.assign, part.topic, part.partition, finished)
        # With the offsets that the maps belong to, or librdkafka would ask for them again.
        self._consumer.incremental_assign(starts)
        self._call(self.assigned.set)

    def _starts(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to go on, with what was committed along."""
        if not partitions:
            return partitions
        try:
            found = self._consumer.committed(partitions, timeout=ASSIGN_WAIT_SECONDS)
        except KafkaException as error:
            # librdkafka asks for the offsets, too, for as long as it takes; what was committed along is missing.
            self._log.warning("what was finished ahead is not known and runs again", error=str(error))
            return partitions
        for part in found:
            if part.error is not None:
                part.offset, part.metadata = OFFSET_STORED, ""
        return found

    def _on_revoke(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in partitions]
        if not self._halt.is_set():
            parts = [self._engine.parts[key] for key in keys if key in self._engine.parts]
            quiet = asyncio.run_coroutine_threadsafe(self._engine.quiesce(parts, REVOKE_WAIT_SECONDS), self._loop)
            try:
                quiet.result(REVOKE_WAIT_SECONDS + 5)
            except TimeoutError:
                self._log.error("the event loop doesn't answer during a rebalance")
            self._commit_now(keys)
        self._log.info("revoked", topic=self._topic, partitions=sorted(number for _, number in keys))
        self._forget(keys)

    def _on_lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        # Somebody else has them already: a commit now could only undo theirs.
        keys = [(part.topic, part.partition) for part in partitions]
        self._log.warning("lost", topic=self._topic, partitions=sorted(number for _, number in keys))
        self._forget(keys)

    def _forget(self, keys: Sequence[tuple[str, int]]) -> None:
        self._given_away.update(keys)
        if paused := self._paused.intersection(keys):
            # Or they would still be paused should they come back.
            self._paused -= paused
            self._consumer.resume([TopicPartition(*key) for key in paused])
        if self._halt.is_set():
            return
        gone = threading.Event()

        def forget() -> None:
            self._engine.lose(keys)
            gone.set()

        self._call(forget)
        while not gone.wait(1.0):
            # Polling on before the engine knows could hand it events of a new assignment as if of the old.
            if self._halt.is_set():
                return

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _HOPELESS or error.fatal():
            self._call(self._fail, broker.from_kafka(error, self._settings, topic=self._topic))
        else:
            self._log.warning("kafka", error=error.str())


def _offsets(progress: Mapping[tuple[str, int], tuple[Partition, Progress]]) -> list[TopicPartition]:
    return [
        TopicPartition(part.topic, part.number, done.offset, metadata=done.metadata) for part, done in progress.values()
    ]

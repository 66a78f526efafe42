"""The source: a confluent-kafka consumer in a thread of its own, feeding the stream's Faust agent and committing.

The thread polls all the time, so that long work causes no rebalance; back-pressure is by pausing partitions. A batch is
handed over before the next poll, so that no rebalance callback can run in between. Offsets come from the engine alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_STORED, Consumer, KafkaError, KafkaException, TopicPartition

from tidemill import broker
from tidemill.errors import StreamError
from tidemill.runtime.astray import Astray, first_start
from tidemill.runtime.commits import Commits
from tidemill.runtime.finished import from_metadata
from tidemill.runtime.gaps import Gaps
from tidemill.runtime.leaps import Leaps
from tidemill.runtime.pressure import MOST_STUBS, full, relieved
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings
    from tidemill.runtime.app import FeedingApp
    from tidemill.runtime.astray import Jump
    from tidemill.runtime.engine import Engine

COMMIT_EVERY_SECONDS = 0.1
"""What was finished since the last commit runs again after a kill, so this is short."""
COMMIT_AT_LEAST_EVERY_SECONDS = 1.0
COMMIT_SHARE = 0.02
"""Most of the time that may go into making commits: with very many partitions they come less often."""
REVOKE_WAIT_SECONDS = 5.0
"""How long a rebalance waits for running handlers of partitions that go elsewhere."""
LEAVE_SECONDS = 5.0
"""How long the end waits at most for the last commit and the leave of the group, while the broker is away."""
LAST_COMMIT_SHARE = 0.6
"""How much of that is for the commit."""
COORDINATOR_WAIT_SECONDS = 0.1
ASSIGN_WAIT_SECONDS = 10.0
"""How long an assignment waits for what was committed."""
HAND_OVER_SECONDS = 120.0
"""How long the agent may take for a batch; twice what the watch lets the event loop stand still."""
POLL_SECONDS = 0.1
POLL_PAUSED_SECONDS = 0.01
BATCH = 1000
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
    """Consumes one stream's topic, and its retry topic where it has one.

    Args:
        engine: Where events go and offsets come from.
        app: The Faust app between them.
        settings: Addresses, group protocol, namespace.
        retry_topic: The topic on which the stream gets back what it has put off, with its namespace; None for none.
    """

    def __init__(self, engine: Engine, app: FeedingApp, settings: Settings, *, retry_topic: str | None = None) -> None:
        self._engine = engine
        self._app = app
        self._settings = settings
        self._topic = settings.qualified(engine.stream.topic)
        self._retry_topic = retry_topic
        self._halt = threading.Event()
        self._handed_over = threading.Event()
        self._paused: set[tuple[str, int]] = set()
        self._given_away: set[tuple[str, int]] = set()
        """Partitions that went elsewhere during the present poll."""
        self._commits = Commits(engine)
        self._leave_seconds = LEAVE_SECONDS
        self._log = get_logger("source").bind(stream=engine.stream.name)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception if the thread can't go on."""
        self.assigned = asyncio.Event()
        """Set once the group has given this consumer its first partitions, which may be none."""
        self._loop = asyncio.get_running_loop()
        self._gaps = Gaps(engine.stream.name)
        self._leaps = Leaps()
        self._config = broker.consumer_config(settings, engine.stream.group)
        if retry_topic is not None and settings.group_protocol == "consumer":
            # The broker's default shares partitions out without regard to topics: of two workers it gave one all that
            # is new, and the other all that is tried again.
            self._config = {"group.remote.assignor": "range", **self._config}
        self._first_start = first_start(self._config["auto.offset.reset"])
        self._consumer = self._open()
        self._astray = Astray(self._consumer, self._first_start, engine.stream.name)
        self._thread = threading.Thread(target=self._run, name=f"source of {engine.stream.name}", daemon=True)

    def _open(self) -> Consumer:
        # "error": librdkafka jumps nowhere by itself, but says that it would have to (`Astray`).
        ours = {"auto.offset.reset": "error", "on_commit": self._commits.answered, "error_cb": self._on_error}
        try:
            return Consumer({**self._config, **ours})
        except KafkaException as error:
            raise broker.from_kafka(error.args[0], self._settings) from error

    def start(self) -> None:
        """Join the group and start to consume."""
        self._thread.start()

    async def stop(self, wait_seconds: float = LEAVE_SECONDS) -> None:
        """Stop polling, commit what is done, leave the group.

        Args:
            wait_seconds: How long that may take.
        """
        self._leave_seconds = min(wait_seconds, LEAVE_SECONDS)
        self._halt.set()
        if self._thread.ident is None:
            self._consumer.close()  # It was never started.
            return
        await asyncio.to_thread(self._thread.join, self._leave_seconds)
        if self._thread.is_alive():
            seconds = round(self._leave_seconds, 1)
            self._log.warning("the group can't be told of the end, and finds out by itself", seconds=seconds)

    def _run(self) -> None:
        try:
            topics = [self._topic] if self._retry_topic is None else [self._topic, self._retry_topic]
            self._consumer.subscribe(
                topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            next_commit = time.monotonic()
            while not self._halt.is_set():
                self._wait_while_sated()
                self._poll()
                self._bring_back()
                self._regulate()
                if (now := time.monotonic()) >= next_commit:
                    # By this thread's own processor time: one that only had to wait for its turn isn't to pay for that.
                    started = time.thread_time()
                    self._commits.send_if_idle(self._consumer)
                    took = time.thread_time() - started
                    pause = min(COMMIT_AT_LEAST_EVERY_SECONDS, took / COMMIT_SHARE)
                    next_commit = now + max(COMMIT_EVERY_SECONDS, pause)
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
        brought: dict[tuple[str, int], list[Message]] = {}
        for message in [first, *self._consumer.consume(BATCH - 1, 0)]:
            error, key = message.error(), (message.topic() or "", message.partition() or 0)
            if error is None:
                brought.setdefault(key, []).append(message)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._astray.add(key, message.offset() or 0)
            else:
                self._complain(error)
        # A rebalance may have come in between: what was fetched before it belongs to another worker now, and must not
        # be committed from here, past what that worker still has to do.
        for key in self._given_away:
            brought.pop(key, None)
        batches = {key: taken for key, some in brought.items() if (taken := self._gaps.sift(key, some))}
        if batches:
            self._handed_over.clear()
            self._call(self._hand_over, batches)
            deadline = time.monotonic() + HAND_OVER_SECONDS
            while not self._handed_over.wait(1.0):
                if self._halt.is_set():
                    return
                if time.monotonic() > deadline:
                    raise StreamError(f"The Faust agent has taken no events for {HAND_OVER_SECONDS:g} s.")
            if self._leaps:
                for key, taken in batches.items():
                    self._leaps.reach(key, (taken[-1].offset() or 0) + 1)

    def _bring_back(self) -> None:
        """Read on from elsewhere, where the log or a gap in what has come of it asks for that."""
        for key, way in self._astray.ways().items():
            if way.is_deleted:
                self._call(self._pass_over, key, way)
            elif way.is_shorter:
                self._forget([key])
            offset = self._first_offset(key[0]) if way.offset < 0 else way.offset
            self._leaps.forget([key])
            self._gaps.begin(key, offset)
            self._read_from(key, offset)
        while self._leaps.due:
            key, run = self._leaps.due.popitem()
            self._call(self._leap_over, key, run)
            self._gaps.begin(key, run.stop)
            self._read_from(key, run.stop)
        while self._gaps.look_again:
            self._read_from(*self._gaps.look_again.popitem())

    def _pass_over(self, key: tuple[str, int], way: Jump) -> None:
        self._astray.pass_over(self._engine.partition(*key), way)

    def _leap_over(self, key: tuple[str, int], run: range) -> None:
        self._engine.partition(*key).pass_over(run)
        self._log.info(
            "passed over what was finished", topic=key[0], partition=key[1], offset=run.start, events=len(run)
        )

    def _read_from(self, key: tuple[str, int], offset: int) -> None:
        # seek() is refused where librdkafka has stopped to fetch for want of an offset (2.16, rd_kafka_toppar_seek).
        self._consumer.incremental_unassign([TopicPartition(*key)])
        self._consumer.incremental_assign([TopicPartition(*key, offset)])

    def _complain(self, error: KafkaError) -> None:
        if error.code() in _HOPELESS or error.fatal():
            raise broker.from_kafka(error, self._settings, topic=self._topic)
        self._log.warning("consume", error=error.str(), code=error.name())

    def _hand_over(self, batches: dict[tuple[str, int], Sequence[Message]]) -> None:
        found = [(self._engine.partition(topic, number), messages) for (topic, number), messages in batches.items()]
        if not self._app.put(found, self._handed_over.set):
            self._fail(StreamError("The Faust agent has stopped listening; nothing more is consumed."))

    def _regulate(self) -> None:
        """Pause partitions with too much in hand, resume those with room again."""
        stream, parts = self._engine.stream, dict(self._engine.parts)
        if pause := full(stream, parts) - self._paused:
            self._consumer.pause([TopicPartition(*key) for key in pause])
            self._paused |= pause
            for key in pause:
                if parts[key].stubs >= MOST_STUBS:
                    what = "too many events wait behind ones that are tried again later, their partition waits"
                    self._log.warning(what, topic=key[0], partition=key[1], events=parts[key].stubs)
        if resume := relieved(stream, parts, self._paused):
            self._paused -= resume
            owned = {(part.topic, part.partition) for part in self._consumer.assignment()}
            if still := resume & owned:
                self._consumer.resume([TopicPartition(*key) for key in still])

    def _commit_last(self) -> None:
        """Commit what is done, but wait for a broker that is away no longer than is of use."""
        deadline = time.monotonic() + self._leave_seconds * LAST_COMMIT_SHARE
        while self._engine.committable() and time.monotonic() < deadline:
            self._commits.send_if_idle(self._consumer)
            # Serves the answer. A message that comes along is dropped: it isn't committed.
            self._consumer.poll(POLL_PAUSED_SECONDS)
        if left := self._engine.committable():
            self._commits.tell_uncommitted(left)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._tell("assigned", [(part.topic, part.partition) for part in partitions])
        for part in (starts := self._starts(partitions)):
            ahead = from_metadata(part.offset, part.metadata)
            if ahead.finished or ahead.held:
                self._log.info(
                    "goes on behind what was finished",
                    topic=part.topic,
                    partition=part.partition,
                    offset=part.offset,
                    waiting=len(ahead.held),
                )
            self._call(self._engine.assign, part.topic, part.partition, ahead)
            self._gaps.begin((part.topic, part.partition), part.offset)
            self._leaps.begin((part.topic, part.partition), ahead.finished)
        # With the offsets that the maps belong to, or librdkafka would ask for them again.
        self._consumer.incremental_assign(starts)
        self._call(self.assigned.set)

    def _starts(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to go on, with what was committed along."""
        if not partitions:
            return partitions
        deadline = time.monotonic() + ASSIGN_WAIT_SECONDS
        while True:
            try:
                found = self._consumer.committed(partitions, timeout=max(0.1, deadline - time.monotonic()))
                break
            except KafkaException as error:
                # librdkafka asks no second time where the coordinator is just moving (rd_kafka_committed, 2.16.0).
                moves = error.args[0].code() in broker.COORDINATOR_MOVES and time.monotonic() < deadline
                if moves and not self._halt.wait(COORDINATOR_WAIT_SECONDS):
                    continue
                # The offsets themselves it asks for as long as it takes; what was committed along is missing.
                self._log.warning("what was finished ahead is not known and runs again", error=str(error))
                return partitions
        for part in found:
            if part.error is not None:
                part.offset, part.metadata = OFFSET_STORED, ""
            elif part.offset < 0:
                part.offset = self._first_offset(part.topic)
        return found

    def _first_offset(self, topic: str) -> int:
        # All that was ever put off is the stream's own, wherever it began to read.
        return OFFSET_BEGINNING if topic == self._retry_topic else self._first_start

    def _tell(self, event: str, keys: Sequence[tuple[str, int]], *, level: str = "info") -> None:
        for topic in sorted({topic for topic, _ in keys}) or [self._topic]:
            numbers = sorted(number for name, number in keys if name == topic)
            getattr(self._log, level)(event, topic=topic, partitions=numbers)

    def _on_revoke(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        keys = [(part.topic, part.partition) for part in partitions]
        if not self._halt.is_set():
            parts = [self._engine.parts[key] for key in keys if key in self._engine.parts]
            quiet = asyncio.run_coroutine_threadsafe(self._engine.quiesce(parts, REVOKE_WAIT_SECONDS), self._loop)
            try:
                quiet.result(REVOKE_WAIT_SECONDS + 5)
            except TimeoutError:
                self._log.error("the event loop doesn't answer during a rebalance")
            # Without waiting for its answer, or all partitions would stand still while the group's coordinator is away.
            # librdkafka lets go of partitions once its commits are answered (2.16, rd_kafka_assignment_serve).
            self._commits.send(self._consumer, keys)
        self._tell("revoked", keys)
        self._forget(keys)

    def _on_lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        # Somebody else has them already: a commit now could only undo theirs.
        keys = [(part.topic, part.partition) for part in partitions]
        self._tell("lost", keys, level="warning")
        self._forget(keys)

    def _forget(self, keys: Sequence[tuple[str, int]]) -> None:
        self._given_away.update(keys)
        self._gaps.forget(keys)
        self._leaps.forget(keys)
        self._astray.drop(keys)
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

"""Publishes a scan's events again, byte for byte, exactly once, and resumable by name.

Events and how far it came (offsets of the group `tidemill.replay.<name>`) are committed in one transaction (KIP-98), so
that a replay which was interrupted goes on where it stopped, from any machine. An event keeps key, order, headers and
id: effects that were done stay done. What is added is `tm_replay`, with the replay's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tidemill import broker
from tidemill.errors import BrokerError, ConfigError, TidemillError
from tidemill.event import ID, REPLAY, Event, headers_of
from tidemill.replay.interrupt import Interrupt, between_steps
from tidemill.replay.merging import in_time_order
from tidemill.replay.moments import Bound
from tidemill.replay.pace import Pace
from tidemill.replay.ranges import Cluster, Plan
from tidemill.replay.scan import Scan

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings

COMMIT_EVENTS = 10_000
COMMIT_SECONDS = 1.0
"""A transaction ends after so many events or so long, whichever comes first."""
CALL_SECONDS = 30.0

Progress = Callable[[int, int], None]
"""Called with the events published, and the offsets to read in all."""


@dataclass(frozen=True)
class Republished:
    """What was published again."""

    name: str
    events: int
    complete: bool


def republish(
    scan: Scan,
    target: str,
    *,
    name: str,
    speed: float | None = None,
    per_second: float | None = None,
    resume: bool = False,
    into_source: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Republished:
    """Publish the events of a scan again.

    Args:
        scan: Which ones; its columns don't matter, all of an event is published.
        target: The topic to publish to, without the namespace.
        name: Of this replay: what it is resumed by, and what its events carry as `tm_replay`.
        speed: How many times as fast as it happened, in the order of timestamps; None for as fast as can be.
        per_second: Events a second at most.
        resume: Go on where the replay of this name stopped.
        into_source: Allow the topic itself as target.
        dry_run: Read and pace nothing, publish nothing: only count.
        progress: Told now and then.

    Returns:
        How many events; not `complete` after Ctrl-C.

    Raises:
        ConfigError: The target is the source; the name is in use, or there is nothing to resume.
        BrokerError: Reading or publishing failed; what was committed before is read, and it can be resumed.
    """
    source = scan.query.topic
    if target == source and not into_source:
        raise ConfigError(
            f"{target!r} is the topic that is read.",
            hint="Its streams would handle everything again; say so explicitly if that is what you want.",
        )
    settings = scan.settings
    _, target_partitions = Cluster(settings, target).describe()
    # All of an event is published, so nothing of it is decoded unless a condition wants it.
    scan = Scan(settings, replace(scan.query, columns=("_offset",)), fast=scan.fast)
    books = _Books(settings, scan.settings.qualified(source), name)
    try:
        offsets = books.offsets(scan.plan())
        if offsets and not resume and not dry_run:
            raise ConfigError(
                f"There was a replay {name!r} of {source!r} before.", hint="Resume it, or give this one another name."
            )
        if resume:
            if not offsets:
                raise ConfigError(f"There is no replay {name!r} of {source!r} to resume.", hint="Check its name.")
            wanted = scan.plan().next_offsets
            start = Bound(scan.query.start.time_ms, {each: offsets.get(each, at) for each, at in wanted.items()})
            scan = Scan(settings, replace(scan.query, start=start), fast=scan.fast)
        plan = scan.plan()
        if dry_run:
            return Republished(name, sum(scan.count().values()), True)
        keep_partition = target_partitions == plan.partitions
        with between_steps() as interrupt, closing(_messages(scan, plan, in_order=speed is not None)) as messages:
            publishing = _Publishing(settings, target, name, books, Pace(speed, per_second), keep_partition)
            complete = publishing.run(messages, interrupt, progress, plan.offsets)
        return Republished(name, publishing.committed, complete)
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=settings.qualified(target)) from error
    finally:
        books.close()


def _messages(scan: Scan, plan: Plan, *, in_order: bool) -> Generator[Message, None, None]:
    if in_order:
        yield from in_time_order(scan, plan)
        return
    with closing(scan.run(plan=plan, keep_messages=True).pieces()) as pieces:
        for piece in pieces:
            yield from piece.taken.messages


class _Books:
    """How far a replay came: the offsets of a group that nobody joins."""

    def __init__(self, settings: Settings, topic: str, name: str) -> None:
        self._topic = topic
        config = broker.consumer_config(settings, f"tidemill.replay.{name}")
        self._consumer = Consumer({**config, "group.protocol": "classic"})

    def offsets(self, plan: Plan) -> dict[int, int]:
        asked = [TopicPartition(self._topic, each) for each in plan.next_offsets]
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            try:
                found = self._consumer.committed(asked, timeout=5)
            except KafkaException as error:
                # The group's coordinator is only just being found.
                if error.args[0].code() not in broker.COORDINATOR_MOVES or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return {each.partition: each.offset for each in found if each.offset >= 0}

    def enter(self, producer: Producer, offsets: dict[int, int]) -> None:
        """Put offsets into the producer's transaction."""
        positions = [TopicPartition(self._topic, *each) for each in offsets.items()]
        producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), CALL_SECONDS)

    def close(self) -> None:
        self._consumer.close()


class _Publishing:
    """One replay, under way."""

    def __init__(
        self, settings: Settings, target: str, name: str, books: _Books, pace: Pace, keep_partition: bool
    ) -> None:
        self.committed = 0
        self._settings, self._name, self._books, self._pace = settings, name, books, pace
        self._topic = settings.qualified(target)
        self._mark = (REPLAY, name.encode())
        self._keep_partition = keep_partition
        self._failed: KafkaError | None = None
        self._offsets: dict[int, int] = {}
        self._open = 0
        self._opened_at = 0.0
        self._producer = Producer(
            {
                **broker.producer_config(settings),
                "transactional.id": settings.qualified(f"tidemill.replay.{name}"),
                # Whole as they are, with a header more.
                "message.max.bytes": settings.max_event_bytes + broker.BATCH_OVERHEAD_BYTES + broker.HEADROOM_BYTES,
                "linger.ms": 20,
                "delivery.timeout.ms": 50_000,
                "transaction.timeout.ms": 60_000,
            }
        )

    def run(
        self,
        messages: Generator[Message, None, None],
        interrupt: Interrupt,
        progress: Progress | None,
        total: int,
    ) -> bool:
        """Publish messages; whether it came to the end."""
        self._producer.init_transactions(CALL_SECONDS)
        try:
            while (message := self._next(messages, interrupt)) is not None:
                self._produce(message)
                if self._open >= COMMIT_EVENTS or time.monotonic() - self._opened_at > COMMIT_SECONDS:
                    self._commit()
                    if progress is not None:
                        progress(self.committed, total)
            self._commit()
        except BaseException as error:
            self._abort()
            if isinstance(error, TidemillError | KafkaException):
                raise self._stopped(error) from error
            raise
        return not interrupt.asked

    def _next(self, messages: Generator[Message, None, None], interrupt: Interrupt) -> Message | None:
        """The next message, when it is due; None at the end, or when somebody wants one."""
        if interrupt.asked:
            return None
        try:
            interrupt.waiting = True
            message = next(messages, None)
            interrupt.waiting = False
            if message is None:
                return None
            due = self._pace.due(message.timestamp()[1], time.monotonic())
            while (left_seconds := due - time.monotonic()) > 0:
                # What is published is to be seen now, and not when the next event is due.
                if left_seconds > 0.05:
                    self._commit()
                interrupt.waiting = True
                time.sleep(min(left_seconds, 0.5))
                interrupt.waiting = False
                if interrupt.asked:
                    return None  # type: ignore[unreachable]  # set by a signal meanwhile
            return message
        except KeyboardInterrupt:
            return None
        finally:
            interrupt.waiting = False

    def _produce(self, message: Message) -> None:
        if not self._open:
            self._producer.begin_transaction()
            self._opened_at = time.monotonic()
        partition, offset = message.partition() or 0, message.offset() or 0
        headers: list[Any] = [each for each in headers_of(message) if each[0] != REPLAY]
        if all(name != ID for name, _ in headers):
            # The id of an event without one follows from its place, and that changes.
            headers.append((ID, Event.received(None, message).id.encode()))
        headers.append(self._mark)
        more: dict[str, Any] = {"partition": partition} if self._keep_partition else {}
        while True:
            try:
                self._producer.produce(
                    self._topic, message.value(), message.key(), headers=headers, on_delivery=self._delivered, **more
                )
                break
            except BufferError:
                self._producer.poll(0.05)
        self._producer.poll(0)
        self._offsets[partition] = offset + 1
        self._open += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or error

    def _commit(self) -> None:
        if not self._open:
            return
        # First this: delivery reports must be served while a commit waits for them (librdkafka, rdkafka.h).
        self._producer.flush(CALL_SECONDS)
        if self._failed is not None:
            raise KafkaException(self._failed)
        self._books.enter(self._producer, self._offsets)
        self._producer.commit_transaction(CALL_SECONDS)
        self.committed += self._open
        self._open, self._offsets = 0, {}

    def _abort(self) -> None:
        if not self._open:
            return
        try:
            self._producer.abort_transaction(CALL_SECONDS)
        except KafkaException as error:
            # The broker aborts it after a minute, and so does whoever resumes; it isn't read either way.
            broker.logger.warning("the transaction of replay %s is left to be aborted: %s", self._name, error)

    def _stopped(self, error: TidemillError | KafkaException) -> TidemillError:
        if isinstance(error, KafkaException):
            cause = broker.from_kafka(error.args[0], self._settings, topic=self._topic)
        else:
            cause = error
        return BrokerError(
            f"The replay {self._name!r} stopped after {self.committed:,} events: {cause.message}",
            hint=f"What was committed is published once; go on by resuming {self._name!r}. {cause.hint or ''}".strip(),
            retriable=cause.retriable,
        )

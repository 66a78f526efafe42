"""Publishes a scan's events again, byte for byte, exactly once, and resumable by name.

Events and how far it came (offsets of the group `tidemill.replay.<name>`) are committed in one transaction (KIP-98), so
that a replay which was interrupted goes on where it stopped, from any machine. An event keeps key, order, timestamp,
headers and id: effects that were done stay done. What is added is `tm_replay`, with the replay's name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tidemill import broker
from tidemill.errors import BrokerError, ConfigError, TidemillError
from tidemill.event import ID, REDRIVE, REDRIVES, REPLAY, Event, headers_of
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

RangeMs = tuple[int | None, int | None]
"""Start and end in time, milliseconds since 1970, where a replay has them."""
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
    keep_time: bool = True,
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
        resume: Go on where the replay of this name stopped, to its end in time, if it had one, else to the end of the
            topic as it is now.
        into_source: Allow the topic itself as target.
        keep_time: Keep the events' timestamps. Without it they get the present one; when they happened stays in their
            headers.
        dry_run: Read and pace nothing, publish nothing: only count.
        progress: Told now and then.

    Returns:
        How many events; not `complete` after Ctrl-C.

    Raises:
        ConfigError: The target is the source; the name is in use, or there is nothing to resume.
        BrokerError: Reading or publishing failed, or an event whose timestamp is to be kept is older than the target's
            retention; what was committed before can be read, and it can be resumed.
    """
    source = scan.query.topic
    if target == source and not into_source:
        raise ConfigError(
            f"{target!r} is the topic that is read.",
            hint="Its streams would handle everything again; into_source=True (--same-topic) says that this is meant.",
        )
    settings = scan.settings
    destination = Cluster(settings, target)
    _, target_partitions = destination.describe()
    # All of an event is published, so nothing of it is decoded unless a condition wants it.
    scan = scan.of(replace(scan.query, columns=("_offset",)))
    books = _Books(settings, settings.qualified(source), name)
    try:
        plan = scan.plan()
        if dry_run or not resume:
            # Before anybody is fenced who may be at work under this name; who resumes means to take over.
            offsets = books.offsets(plan)
            _check_name(name, source, offsets, resume=resume, dry_run=dry_run)
        if dry_run:
            rest = _resumed(scan, offsets, books.range_ms) if resume else scan
            return Republished(name, sum(rest.count().values()), True)
        publishing = _Publishing(settings, target, name, books, Pace(speed, per_second), keep_time=keep_time)
        publishing.kept_since_ms = _kept_since_ms(destination.config()) if keep_time else None
        # Only now nobody else of this name can commit any more: what has been published is asked for after that.
        publishing.fence()
        offsets = books.offsets(plan)
        _check_name(name, source, offsets, resume=resume, dry_run=False)
        scan = _resumed(scan, offsets, books.range_ms)
        books.range_ms = (scan.query.start.time_ms, scan.query.end.time_ms)
        plan = scan.plan()
        publishing.keep_partition = target_partitions == plan.partitions
        with between_steps() as interrupt, closing(_messages(scan, plan, in_order=speed is not None)) as messages:
            complete = publishing.run(messages, interrupt, progress, plan.offsets)
        return Republished(name, publishing.committed, complete)
    except KafkaException as error:
        raise broker.from_kafka(error.args[0], settings, topic=settings.qualified(target)) from error
    finally:
        books.close()


def _kept_since_ms(config: dict[str, str | None]) -> int | None:
    """The timestamp of which a topic deletes what is older; None where it doesn't go by timestamps."""
    retention_ms = int(config.get("retention.ms") or -1)
    if retention_ms < 0 or "delete" not in (config.get("cleanup.policy") or ""):
        return None
    if config.get("message.timestamp.type") == "LogAppendTime":
        return None
    return int(time.time() * 1000) - retention_ms


def _check_name(name: str, source: str, offsets: dict[int, int], *, resume: bool, dry_run: bool) -> None:
    if offsets and not resume and not dry_run:
        raise ConfigError(
            f"There was a replay {name!r} of {source!r} before.", hint="Resume it, or give this one another name."
        )
    if resume and not offsets:
        raise ConfigError(f"There is no replay {name!r} of {source!r} to resume.", hint="Check its name.")


def _resumed(scan: Scan, offsets: dict[int, int], range_ms: RangeMs) -> Scan:
    """The rest of a scan of which so much was published; "2h" means the time that it meant at first."""
    if not offsets:
        return scan
    query, (start_ms, end_ms) = scan.query, range_ms
    start = replace(query.start, time_ms=start_ms, offsets={**(query.start.offsets or {}), **offsets})
    start = replace(start, only_these=query.start.offsets is not None)
    return scan.of(replace(query, start=start, end=query.end if end_ms is None else Bound(end_ms)))


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
        self._topic, self._name = topic, name
        self.range_ms: RangeMs = (None, None)
        """Which events the replay is of; known after `offsets` where it has begun."""
        config = broker.consumer_config(settings, f"tidemill.replay.{name}")
        self._consumer = Consumer({**config, "group.protocol": "classic"})

    def offsets(self, plan: Plan) -> dict[int, int]:
        asked = [TopicPartition(self._topic, each) for each in plan.next_offsets]
        deadline = time.monotonic() + CALL_SECONDS
        while True:
            try:
                found = self._consumer.committed(asked, timeout=5)
            except KafkaException as error:
                # The group's coordinator is only just being found, or somebody's transaction is about to end.
                passing = broker.COORDINATOR_MOVES | {KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError._TIMED_OUT}
                if error.args[0].code() not in passing:
                    raise
                if time.monotonic() > deadline:
                    raise BrokerError(
                        f"How far the replay {self._name!r} came can't be read: {error.args[0].str()}.",
                        hint="One that was killed is settled within a minute, and at once by resuming it.",
                        retriable=True,
                    ) from error
                time.sleep(0.05)
            else:
                known = [each for each in found if each.offset >= 0]
                if known and known[0].metadata:
                    start_ms, end_ms = json.loads(known[0].metadata)
                    self.range_ms = (start_ms, end_ms)
                return {each.partition: each.offset for each in known}

    def enter(self, producer: Producer, offsets: dict[int, int]) -> None:
        """Put offsets into the producer's transaction."""
        note = json.dumps(self.range_ms)
        positions = [TopicPartition(self._topic, *each, metadata=note) for each in offsets.items()]
        producer.send_offsets_to_transaction(positions, self._consumer.consumer_group_metadata(), CALL_SECONDS)

    def close(self) -> None:
        self._consumer.close()


class _Publishing:
    """One replay, under way."""

    def __init__(
        self, settings: Settings, target: str, name: str, books: _Books, pace: Pace, *, keep_time: bool
    ) -> None:
        self.committed = 0
        self._keep_time = keep_time
        self.keep_partition = False
        self.kept_since_ms: int | None = None
        self._settings, self._name, self._books, self._pace = settings, name, books, pace
        self._topic = settings.qualified(target)
        self._mark = (REPLAY, name.encode())
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

    def fence(self) -> None:
        """End what another process of this name has open, and keep it from committing (KIP-98)."""
        self._producer.init_transactions(CALL_SECONDS)

    def run(
        self,
        messages: Generator[Message, None, None],
        interrupt: Interrupt,
        progress: Progress | None,
        total: int,
    ) -> bool:
        """Publish messages; whether it came to the end."""
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
        # What is replayed is for all streams again.
        dropped = (REPLAY, REDRIVE, REDRIVES)
        headers: list[Any] = [each for each in headers_of(message) if each[0] not in dropped]
        if all(name != ID for name, _ in headers):
            # The id of an event without one follows from its place, and that changes.
            headers.append((ID, Event.received(None, message).id.encode()))
        headers.append(self._mark)
        more: dict[str, Any] = {"partition": partition} if self.keep_partition else {}
        kind, timestamp_ms = message.timestamp()
        if self._keep_time and kind != TIMESTAMP_NOT_AVAILABLE:
            more["timestamp"] = timestamp_ms
            if self.kept_since_ms is not None and timestamp_ms < self.kept_since_ms:
                when = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
                raise ConfigError(
                    f"Partition {partition}, offset {offset} is of {when:%Y-%m-%d %H:%M} UTC, and {self._topic!r} "
                    "keeps no event for so long: it would be deleted at once.",
                    hint="Publish without keeping timestamps (--new-time, keep_time=False), or give that topic "
                    "a longer retention.",
                )
        while True:
            try:
                self._producer.produce(self._topic, message.value(), message.key(), headers=headers, **more)
                break
            except BufferError:
                self._producer.poll(0.05)
        self._offsets[partition] = offset + 1
        self._open += 1

    def _commit(self) -> None:
        if not self._open:
            return
        # First this: delivery reports must be served while a commit waits for them. What failed to be delivered makes
        # the commit fail (librdkafka, rdkafka.h); a callback in Python must not run while it raises.
        self._producer.flush(CALL_SECONDS)
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

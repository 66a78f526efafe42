"""Topics in memory, filled as publisher, runtime and scheduler fill them, for tests of the table of jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import select

from consumers.status.awaited import awaited
from consumers.status.evidence import Evidence
from consumers.status.fold import fold
from consumers.status.topics import roles
from tests.unit.sample_message import SampleMessage
from tidemill import delayed
from tidemill.codec import Codec
from tidemill.config import Settings, load_settings
from tidemill.contracts.contract import Payload
from tidemill.event import REPLAY, Event
from tidemill.events import (
    EmailRequested,
    EmailSent,
    ImageProcessed,
    ImageRequested,
    JobCancel,
    JobProgress,
    Original,
    ProgressState,
    Rendition,
)
from tidemill.jobs.database import Database
from tidemill.jobs.tables import EVENTS, JOBS, OFFSETS, PARCELS
from tidemill.publisher.preparing import Outgoing, Preparer
from tidemill.runtime.deadletter import dead_letter
from tidemill.runtime.retry_route import put_off, retry_topic
from tidemill.runtime.stream import Stream, stream
from tidemill.testing import MemorySchemas

START = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


@stream("image.requested")
def image(event: Event[ImageRequested]) -> ImageProcessed:
    raise NotImplementedError("only its declaration counts")


@stream("image.requested")
def audit(event: Event[ImageRequested]) -> None: ...


@stream("email.requested", order="none")
async def email(event: Event[EmailRequested]) -> EmailSent:
    raise NotImplementedError("only its declaration counts")


STREAMS: list[Stream] = [image, audit, email]
AWAITED = awaited(STREAMS, {})
SETTINGS = load_settings(namespace="test.")

PICTURE = ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=100)])
MAIL = EmailRequested(to=["ada@example.com"], subject="A note", text="Short.")
PROCESSED = ImageProcessed(
    source="file:///1.jpg",
    original=Original(sha256="0" * 64, bytes=1, width=1, height=1, format="jpeg", mode="RGB"),
    dominant_color="#fff",
    renditions=[],
)
SENT = EmailSent(message_id="<1@example.com>", accepted=["ada@example.com"], refused=[])


class Topics:
    """What lies in Kafka; a clock goes on by a second with each message."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings
        self.codec = Codec(MemorySchemas())
        self.messages: list[SampleMessage] = []
        self.now = START
        self._partition = 0
        self._preparer = Preparer(settings, self.codec)
        self._ends: dict[tuple[str, int], int] = defaultdict(int)

    def beside(self) -> Topics:
        """Partitions that are nobody else's, of the same topics."""
        other = Topics(self.settings)
        other.codec = self.codec
        other._preparer = self._preparer
        other._partition = len(self.messages)
        return other

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, Any]]
    ) -> SampleMessage:
        """Write a message."""
        self.now += timedelta(seconds=1)
        partition = self._partition
        offset = self._ends[topic, partition]
        self._ends[topic, partition] += 1
        at_ms = round(self.now.timestamp() * 1000)
        message = SampleMessage(offset, key, value, list(headers), partition, topic, at_ms)
        self.messages.append(message)
        return message

    def send(self, outgoing: Outgoing) -> SampleMessage:
        """Write what a publisher has prepared."""
        return self.append(outgoing.topic, outgoing.key, outgoing.value, outgoing.headers)

    def publish(
        self, payload: Payload, cause: SampleMessage | None = None, id: str | None = None, **more: Any
    ) -> SampleMessage:
        """Publish an event."""
        event = None if cause is None else Event.received(None, cause)
        return self.send(self._preparer.prepare(payload, cause=event, event_id=id, **more))

    def again(self, message: SampleMessage, replay: bytes | None = None) -> SampleMessage:
        """Write a message once more, as a replay or a redrive does."""
        headers = [] if replay is None else [(REPLAY, replay)]
        return self.append(message.topic(), message.key(), message.value(), [*message.with_headers, *headers])

    def bury(self, message: SampleMessage, by: Stream, error: Exception, attempts: int = 1) -> SampleMessage:
        """Write the dead letter of an event."""
        topic = self.settings.qualified(by.payload.__contract__.dead_topic)
        return self.send(dead_letter(topic, message, by, error, attempts))

    def put_off(self, message: SampleMessage, by: Stream, attempts: int, due: datetime) -> SampleMessage:
        """Let an event wait for its next try."""
        later = self.settings.qualified(delayed.TOPIC)
        topic = self.settings.qualified(retry_topic(by.group))
        return self.send(put_off(message, group=by.group, topic=topic, delayed_topic=later, attempts=attempts, due=due))

    def dispatch(self, waiting: SampleMessage, outcome: bytes = b"dispatched") -> SampleMessage | None:
        """Send off what waits, or take it away: its tombstone, and the event in its topic."""
        parcel = delayed.unpacked(waiting.with_headers)
        arrived = None
        if outcome == b"dispatched":
            arrived = self.append(parcel.topic, parcel.key, waiting.value(), parcel.headers)
        headers = [("tm_outcome", outcome), ("tm_by", b"ann")]
        self.append(waiting.topic(), waiting.key(), None, headers)
        return arrived

    def report(self, message: SampleMessage, by: Stream, state: ProgressState, attempt: int = 1, **more: Any) -> None:
        """Say how an event is getting on."""
        event = Event.received(None, message)
        self.publish(
            JobProgress(
                job=event.root,
                event=event.id,
                type=event.type,
                stream=by.name,
                attempt=attempt,
                state=state,
                at=self.now,
                **more,
            )
        )

    def cancel(self, message: SampleMessage) -> None:
        """Ask for a job to be given up."""
        self.publish(JobCancel(job=Event.received(None, message).root, by="ann", why="a mistake"))


def id_of(message: SampleMessage) -> str:
    """The event's id."""
    return Event.received(None, message).id


def evidence_of(topics: Topics) -> Evidence:
    """What reads these topics."""
    there = roles(topics.settings, {each.topic() for each in topics.messages})
    return Evidence(topics.settings, there, topics.codec, AWAITED)


def folded(topics: Topics, batches: Iterable[Sequence[SampleMessage]], folder: Path) -> Database:
    """A table of jobs into which these batches were folded."""
    database = Database(topics.settings, file=folder / "status.db")
    evidence = evidence_of(topics)
    for batch in batches:
        told = evidence.batch(batch)
        with database.writing() as connection:
            fold(connection, told, AWAITED)
    return database


def rows(database: Database, *, offsets: bool = True) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the table of jobs, by table."""
    tables = [JOBS, EVENTS, PARCELS, *([OFFSETS] if offsets else [])]
    with database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables
        }


def interleaved(messages: Sequence[SampleMessage], random: Random) -> list[SampleMessage]:
    """The messages as some reader may get them: each partition in order, now and then a stretch of it twice, and
    partitions among each other in any order."""
    lanes: dict[tuple[str, int], list[SampleMessage]] = defaultdict(list)
    for message in messages:
        lanes[message.topic(), message.partition()].append(message)
    queues = []
    for lane in lanes.values():
        queue = list(lane)
        if random.random() < 0.3:
            back_to = random.randrange(len(lane))
            stop = random.randrange(back_to, len(lane)) + 1
            queue = [*lane[:stop], *lane[back_to:]]
        queues.append(queue)
    found = []
    while queues:
        queue = random.choice(queues)
        found.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return found


def cut(messages: Sequence[SampleMessage], random: Random) -> list[Sequence[SampleMessage]]:
    """The messages in batches of random sizes."""
    batches, at = [], 0
    while at < len(messages):
        size = random.choice((1, 2, 5, 50))
        batches.append(messages[at : at + size])
        at += size
    return batches

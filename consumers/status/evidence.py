"""From Kafka's messages to facts about events, a batch at a time.

Only the envelope counts, except where the payload is what is told: results, progress and requests to cancel. What can't
be decoded tells nothing more than its envelope, and is counted. Must not know of the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from consumers.status.facts import Facts, GivenUp, Letter, Parcel, Place, Report, Retry, Return, StreamFacts
from consumers.status.payload import payload_json
from consumers.status.topics import Kind, Role, by_topic, stream_of
from tidemill import delayed
from tidemill.errors import DecodeError
from tidemill.event import CAUSE, ID, ROOT, TIME, Event, derived_id, headers_of
from tidemill.jobs.stored_id import stored_id
from tidemill.runtime import deadletter
from tidemill.runtime.retry_route import ORIGIN, origin

if TYPE_CHECKING:
    from consumers.status.awaited import Awaited
    from tidemill.codec import Codec
    from tidemill.config import Settings
    from tidemill.contracts.contract import Payload
    from tidemill.event import Message

OUTCOME = "tm_outcome"
BY = "tm_by"
REQUEST_KEY = b"request\0"
"""How the keys begin of what people ask of `schedule.delayed`; none of them is an event."""
MOST_TEXT_CHARACTERS = 1_000
"""Of an error or a note: what says more is in the dead letter."""


class Named(NamedTuple):
    """An event of a job."""

    job: str
    event: str


class Waits(NamedTuple):
    """A record on `schedule.delayed`, and whose it is."""

    named: Named
    stream: str | None
    """Whose retry; None for an event that was published with a delay."""
    delivery: int
    attempt: int
    parcel: Parcel


class Removed(NamedTuple):
    """The tombstone of such a record."""

    offset: int
    outcome: str
    by: str
    at_ms: int


@dataclass(slots=True)
class Batch:
    """What a batch of messages tells."""

    facts: dict[Named, Facts] = field(default_factory=dict)
    parcels: dict[str, list[Waits | Removed]] = field(default_factory=dict)
    """By key, in the order of the log."""
    offsets: dict[Place, int] = field(default_factory=dict)
    """Where to go on."""
    messages: int = 0
    undecoded: Counter[str] = field(default_factory=Counter)
    """By topic: messages of which only the envelope is known."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By topic: why the last of them could not be decoded."""

    def tell(self, named: Named, facts: Facts) -> None:
        """Add what is known of an event."""
        known = self.facts.get(named)
        self.facts[named] = facts if known is None else known.join(facts)


class Evidence:
    """Reads messages.

    Args:
        settings: Namespace.
        roles: What the topics are for.
        codec: Decodes payloads.
        awaited: Which events are results.
    """

    def __init__(self, settings: Settings, roles: Mapping[str, Role], codec: Codec, awaited: Awaited) -> None:
        self.roles = roles
        self._settings = settings
        self._codec = codec
        self._awaited = awaited
        self._classes = by_topic(settings)
        self._delayed_topic = settings.qualified(delayed.TOPIC)

    def batch(self, messages: Iterable[Message]) -> Batch:
        """What messages tell.

        Raises:
            RegistryError: A schema is needed that the registry doesn't give now.
        """
        batch = Batch()
        for message in messages:
            topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
            self._take(self.roles[topic], topic, partition, offset, message, batch)
            place = (topic, partition)
            batch.offsets[place] = max(batch.offsets.get(place, 0), offset + 1)
            batch.messages += 1
        return batch

    def _take(self, role: Role, topic: str, partition: int, offset: int, message: Message, batch: Batch) -> None:
        at_ms = max(message.timestamp()[1], 0)
        if role.kind is Kind.DELAYED:
            self._parcel(message, offset, at_ms, batch)
            return
        if role.kind is Kind.PROGRESS or role.kind is Kind.CANCEL:
            payload = self._decoded(message, role, batch)
            if payload is not None:
                told = _report(payload, partition, offset, at_ms) if role.kind is Kind.PROGRESS else None
                batch.tell(*(told or _cancel(payload, at_ms)))
            return
        headers = _named_headers(message)
        if role.kind is Kind.EVENTS:
            assert role.event is not None
            self._event(message, headers, role, Facts(at_ms, deliveries={(topic, partition): offset}), batch)
        elif role.kind is Kind.RETRIES:
            assert role.stream is not None
            lay = origin(message)
            back = Return(lay.offset, Event.received(None, message).attempt)
            facts = Facts(at_ms, self._type_at(lay.topic), streams={role.stream: StreamFacts(back=back)})
            batch.tell(_names(headers, (topic, partition, offset)), facts)
        else:
            assert role.event is not None
            batch.tell(*_letter(headers, role.event.__contract__.type, (topic, partition, offset), at_ms))

    def _event(
        self, message: Message, headers: Mapping[str, bytes | None], role: Role, seen: Facts, batch: Batch
    ) -> None:
        """An event in its topic, or one that will be there."""
        assert role.event is not None
        event_type = role.event.__contract__.type
        payload = None
        if seen.deliveries and not self._awaited.of(event_type):
            decoded = self._decoded(message, role, batch)
            payload = None if decoded is None else payload_json(decoded)
        named = _names(headers, Event.received(None, message).position[:3])
        cause = _text(headers, CAUSE)
        created_ms = _milliseconds(_text(headers, TIME))
        facts = Facts(
            seen.updated_ms,
            event_type,
            stored_id(cause) if cause else None,
            seen.updated_ms if created_ms is None else created_ms,
            payload,
            seen.deliveries,
            seen.delay,
        )
        batch.tell(named, facts)
        if cause:
            batch.tell(Named(named.job, stored_id(cause)), Facts(seen.updated_ms, outputs=frozenset({event_type})))

    def _parcel(self, message: Message, offset: int, at_ms: int, batch: Batch) -> None:
        raw = message.key()
        if not isinstance(raw, bytes) or raw.startswith(REQUEST_KEY):
            return
        key = stored_id(raw.decode("utf-8", "backslashreplace"))
        headers = _named_headers(message)
        changes = batch.parcels.setdefault(key, [])
        if message.value() is None:
            changes.append(Removed(offset, _text(headers, OUTCOME) or "removed", _text(headers, BY), at_ms))
            return
        try:
            parcel = delayed.unpacked(headers.items())
        except DecodeError as error:
            batch.undecoded[self._delayed_topic] += 1
            batch.reasons[self._delayed_topic] = str(error)
            return
        waits = Parcel(offset, round(parcel.due.timestamp() * 1000))
        named = _names(headers, (self._delayed_topic, message.partition() or 0, offset))
        if ORIGIN in headers:
            lay = origin(message)
            stream = stream_of(self._settings, parcel.topic)
            retry = Retry(lay.offset, Event.received(None, message).attempt, waits)
            batch.tell(named, Facts(at_ms, self._type_at(lay.topic), streams={stream: StreamFacts(retry=retry)}))
            changes.append(Waits(named, stream, retry.delivery, retry.attempt, waits))
            return
        cls = self._classes.get(parcel.topic)
        if cls is None:
            return  # For a topic of somebody else's.
        self._event(message, headers, Role(Kind.EVENTS, cls), Facts(at_ms, delay=waits), batch)
        changes.append(Waits(named, None, 0, 0, waits))

    def _type_at(self, topic: str) -> str | None:
        cls = self._classes.get(topic)
        return None if cls is None else cls.__contract__.type

    def _decoded(self, message: Message, role: Role, batch: Batch) -> Any:
        assert role.event is not None
        try:
            return self._codec.decode(message.value(), role.event)
        except DecodeError as error:
            topic = message.topic() or ""
            batch.undecoded[topic] += 1
            batch.reasons[topic] = str(error)
            return None


def _report(payload: Payload, partition: int, offset: int, at_ms: int) -> tuple[Named, Facts]:
    said: Any = payload
    told_ms = round(said.at.timestamp() * 1000)
    report = Report(
        offset,
        partition,
        said.state,
        said.attempt,
        told_ms,
        said.done,
        said.total,
        _brief(said.unit),
        _brief(said.note),
        None if said.due is None else round(said.due.timestamp() * 1000),
        _brief(said.error),
    )
    facts = StreamFacts(
        report,
        told_ms if said.state == "running" else None,
        said.state == "done",
        GivenUp(told_ms, _brief(said.error) or "somebody asked for it") if said.state == "cancelled" else None,
    )
    named = Named(stored_id(said.job), stored_id(said.event))
    return named, Facts(at_ms, said.type, streams={said.stream: facts})


def _cancel(payload: Payload, at_ms: int) -> tuple[Named, Facts]:
    asked: Any = payload
    by, why = asked.by or "somebody", asked.why
    job = stored_id(asked.job)
    return Named(job, job), Facts(at_ms, cancel_asked=GivenUp(at_ms, _cut(f"{by}: {why}" if why else by)))


def _letter(
    headers: Mapping[str, bytes | None], event_type: str, lies: tuple[str, int, int], at_ms: int
) -> tuple[Named, Facts]:
    topic = _text(headers, deadletter.TOPIC)
    partition, offset = _number(headers, deadletter.PARTITION), _number(headers, deadletter.OFFSET)
    letter = Letter(
        _milliseconds(_text(headers, deadletter.TIME)) or at_ms,
        *lies,
        _number(headers, deadletter.ATTEMPTS),
        _cut(_text(headers, deadletter.ERROR)),
        _cut(_text(headers, deadletter.MESSAGE)),
    )
    # An id that follows from where an event lay is that of the place that its letter tells of.
    named = _names(headers, (topic, partition, offset))
    stream = _text(headers, deadletter.STREAM) or "unknown"
    facts = StreamFacts(letter=letter, answered={(topic, partition): offset})
    return named, Facts(at_ms, event_type, streams={stream: facts})


def _names(headers: Mapping[str, bytes | None], lies: tuple[str, int, int]) -> Named:
    """Job and id of an event, as `Event` has them."""
    event_id = _text(headers, ID) or derived_id("/".join(map(str, lies)), "foreign")
    return Named(stored_id(_text(headers, ROOT) or event_id), stored_id(event_id))


def _named_headers(message: Message) -> dict[str, bytes | None]:
    return dict(headers_of(message))


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")


def _number(headers: Mapping[str, bytes | None], name: str) -> int:
    text = _text(headers, name)
    return int(text) if text.isascii() and text.isdigit() else 0


def _milliseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _brief(text: str | None) -> str | None:
    return None if text is None else _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT_CHARACTERS else text[: MOST_TEXT_CHARACTERS - 3] + "..."

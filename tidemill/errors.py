"""Every error that Tidemill raises, as one tree.

    TidemillError
    ├── ConfigError              a setting is missing or makes no sense
    ├── ContractError            an event and its contract don't fit
    │   ├── InvalidEvent             a field holds what its schema doesn't allow
    │   ├── UnknownEventType         no contract has this name
    │   ├── SchemaNotRegistered      the registry doesn't know this schema
    │   └── IncompatibleSchema       a changed schema would break readers
    ├── DecodeError              bytes that are not an event of a known schema
    ├── RegistryError            the schema registry didn't answer as it should   (retriable)
    ├── BrokerError              Kafka didn't do what was asked
    │   ├── BrokerUnreachable        no broker answers                            (retriable)
    │   ├── UnknownTopic             the topic doesn't exist
    │   └── NotAuthorized            the broker refuses this client
    ├── PublishError             an event was not published
    │   ├── EventTooLarge            larger than the topic takes
    │   ├── BufferFull               the local buffer stayed full                 (retriable)
    │   ├── NotDelivered             the broker didn't acknowledge                (retriable)
    │   └── PublisherClosed          the publisher was closed before
    ├── StreamError              a stream can't start as it is declared
    ├── HandlerError             a handler's work on one event failed
    │   ├── Reject                   raised by handlers: never try again
    │   ├── RetryAfter               raised by handlers: try again after so long  (retriable)
    │   ├── HandlerTimeout           it ran longer than its time limit            (retriable)
    │   ├── HandlerDied              its process ended under it                   (retriable)
    │   ├── HandlerCancelled         it raised CancelledError by itself           (retriable)
    │   └── OutcomeUnknown           raised by effects: it may have happened or not
    ├── EffectError              an effect that is to happen once
    │   ├── EffectHeld               whether it happened isn't known, a person decides
    │   ├── EffectUnderWay           somebody else is at it right now             (retriable)
    │   └── LedgerUnavailable        the ledger of effects didn't answer          (retriable)
    ├── OutboxError              an event can't be written to an outbox, or moved from it
    │   └── OutboxUnavailable        its database didn't answer                   (retriable)
    ├── DeadLetterError          what is wanted of dead letters can't be done
    │   └── IndexUnavailable         their index isn't there, or its database didn't answer (retriable)
    ├── JobError                 a job that somebody asks about
    │   ├── JobFailed                it has failed: a dead letter
    │   ├── JobCancelled             it was given up because somebody asked for that
    │   ├── JobUnfinished            not finished in this time; also a TimeoutError       (retriable)
    │   └── StatusUnavailable        the table of jobs isn't there or didn't answer       (retriable)
    ├── StoreError               bytes in the object store
    │   ├── ForbiddenUri             outside the allowed prefixes
    │   ├── ObjectMissing            nothing there
    │   ├── ObjectTooLarge           more bytes than allowed
    │   └── StoreUnavailable         the store didn't answer                      (retriable)
    ├── ArchiveError             the archive of topics can't be read or written as it is
    └── LocalError               the local stack can't start or stop
        └── PortTaken                another program holds a port that it needs

Whether trying again can help is data on the error (`retriable`), so that no caller keeps a list of classes.
A message says what was found, what was expected and, in `hint`, what to do next.
"""

from __future__ import annotations

import math
from typing import Any


class TidemillError(Exception):
    """Root of all errors of this library.

    Args:
        message: What was found and what was expected, in one sentence.
        hint: What to do next; shown after the message.
        retriable: Overrides the class's answer to "can trying again help?" for this one error.
    """

    retriable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, retriable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if retriable is not None:
            self.retriable = retriable

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments, and errors cross process borders: rebuild from the state alone.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[TidemillError], args: tuple[Any, ...], state: dict[str, Any]) -> TidemillError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(TidemillError):
    """A setting is missing or makes no sense."""


class ContractError(TidemillError):
    """An event and its contract don't fit, or the contract itself is wrong."""


class InvalidEvent(ContractError):
    """A field holds what its schema doesn't allow.

    Args:
        event_type: The type of the event, e.g. `image.requested`.
        field: Path of the field, e.g. `renditions[1].width`.
        found: The offending value; the message shows at most 80 characters of it.
        expected: What the schema allows there, in words.
    """

    def __init__(self, event_type: str, field: str, found: object, expected: str) -> None:
        shown = repr(found)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        super().__init__(f"{event_type}: field {field!r} must be {expected}, found {shown} ({type(found).__name__}).")
        self.event_type = event_type
        self.field = field
        self.expected = expected


class UnknownEventType(ContractError):
    """No contract has this name."""


class SchemaNotRegistered(ContractError):
    """The schema registry doesn't know this schema under its subject."""


class IncompatibleSchema(ContractError):
    """A changed schema would break readers or writers that are already there."""


class DecodeError(TidemillError):
    """Bytes that are not an event of a known schema."""


class RegistryError(TidemillError):
    """The schema registry didn't answer, or not as it should."""

    retriable = True


class BrokerError(TidemillError):
    """Kafka didn't do what was asked."""


class BrokerUnreachable(BrokerError):
    """No broker answers at the given addresses."""

    retriable = True


class UnknownTopic(BrokerError):
    """The topic doesn't exist on the broker."""


class NotAuthorized(BrokerError):
    """The broker refuses this client's credentials or what it wants to do."""


class PublishError(TidemillError):
    """An event was not published."""


class EventTooLarge(PublishError):
    """An event is larger than the producer or the topic takes."""


class BufferFull(PublishError):
    """The local buffer of events that wait for the broker stayed full for too long."""

    retriable = True


class NotDelivered(PublishError):
    """The broker didn't acknowledge an event in time; whether it was written may be unknown."""

    retriable = True


class PublisherClosed(PublishError):
    """The publisher was closed before this call."""


class StreamError(TidemillError):
    """A stream can't start as it is declared."""


class HandlerError(TidemillError):
    """A handler's work on one event failed."""


class Reject(HandlerError):
    """Raise it in a handler to send the event to the dead letters at once: trying again can't help."""


class RetryAfter(HandlerError):
    """Raise it in a handler to say when its event is to be tried again; the try counts as any that failed.

    Args:
        seconds: How long to wait, instead of what the stream's policy says. A stream that keeps order shortens it to
            half of its topic's retention.
        message: Why.
        hint, retriable: As for every error.

    Raises:
        ValueError: The seconds are no finite number, or below 0.
    """

    retriable = True

    def __init__(
        self, seconds: float, message: str = "", *, hint: str | None = None, retriable: bool | None = None
    ) -> None:
        if not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            raise ValueError(f"RetryAfter needs a number of seconds, at least 0, found {seconds!r}")
        super().__init__(message or f"Try again in {seconds:g} s.", hint=hint, retriable=retriable)
        self.seconds = float(seconds)


class HandlerTimeout(HandlerError):
    """A handler ran longer than its stream's time limit."""

    retriable = True


class HandlerDied(HandlerError):
    """The process that ran a handler ended under it (killed, out of memory, crashed)."""

    retriable = True


class HandlerCancelled(HandlerError):
    """A handler raised CancelledError by itself; nobody had asked it to stop."""

    retriable = True


class OutcomeUnknown(HandlerError):
    """Raise it in an effect of `work.once` that may have happened or not: a connection was lost before the answer.

    What follows is up to the effect's policy, as after a crash: it is tried again, or held for a person.
    """


class EffectError(TidemillError):
    """An effect that is to happen once can't be done, or what came of it can't be told."""


class EffectHeld(EffectError):
    """Whether an effect has happened isn't known, and its policy leaves it to a person (`tidemill effects resolve`)."""


class EffectUnderWay(EffectError):
    """Another worker is at the same effect right now; its event waits, and no try is counted."""

    retriable = True


class LedgerUnavailable(EffectError):
    """The ledger of effects didn't answer, or can't be used as it is; the event waits, and no try is counted."""

    retriable = True


class OutboxError(TidemillError):
    """An event can't be written to an outbox, or rows can't be moved from it."""


class OutboxUnavailable(OutboxError):
    """The outbox's database didn't answer; it may later."""

    retriable = True


class DeadLetterError(TidemillError):
    """What somebody wants of dead letters can't be done: there are none such, or they can't be read or put back."""


class IndexUnavailable(DeadLetterError):
    """The index of dead letters isn't there, can't be used as it is, or its database didn't answer."""

    retriable = True


class JobError(TidemillError):
    """What somebody asks about a job can't be answered with a result."""


class JobFailed(JobError):
    """A job has failed: an event of it is a dead letter."""


class JobCancelled(JobError):
    """A job was given up because somebody asked for that."""


class JobUnfinished(JobError, TimeoutError):
    """A job was not finished in the time that somebody waited; it goes on."""

    retriable = True


class StatusUnavailable(JobError):
    """The table of jobs isn't there, can't be used as it is, or its database didn't answer."""

    retriable = True


class StoreError(TidemillError):
    """Bytes in the object store could not be read or written."""


class ForbiddenUri(StoreError):
    """A URI lies outside the allowed prefixes, or tries to leave them."""


class ObjectMissing(StoreError):
    """There is nothing at this URI."""


class ObjectTooLarge(StoreError):
    """An object has more bytes than are allowed."""


class StoreUnavailable(StoreError):
    """The object store didn't answer; it may later."""

    retriable = True


class ArchiveError(TidemillError):
    """The archive of topics can't be read or written as it is."""


class LocalError(TidemillError):
    """The local stack can't be started or stopped."""


class PortTaken(LocalError):
    """Another program holds a port that the local stack needs."""

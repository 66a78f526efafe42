"""The duty of a partition of `schedule.delayed`: send each event off when it is due, once, and do what is asked of it.

State is what the log holds. What this owner writes comes back to it in the log some moments later; until it does, what
lies before it there must not come alive again (`_removed`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.delays.dispatch import Dispatch, Reply
from scheduler.delays.requests import Answer, Request, Wish, is_request, read_request
from scheduler.delays.setbacks import Setbacks
from scheduler.delays.waiting import Waiting, WaitingRoom, microseconds
from tidemill import delayed
from tidemill.destinations import Destinations
from tidemill.errors import DecodeError, TidemillError
from tidemill.event import headers_of
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tidemill.config import Settings
    from tidemill.transactions import Refused

MOST_EVENTS = 1_000
MOST_BYTES = 4 * 1024 * 1024
"""Of a transaction: large enough to be worth it, small enough to be through soon."""
LOOKS = 20
"""How many lots of events that can't be sent are put off before it is looked what else is new."""


class DelaysDuty:
    """What waits in one partition.

    Args:
        settings: Addresses, namespace.
        partition: Of `schedule.delayed`.
        by: This instance's name, for the records that tell who did what.
        folder: For the file that holds what waits; None takes the system's folder for temporary files.
        destinations: Tells which topics can be sent to; default: asks the cluster.

    Raises:
        ConfigError: The folder can't be written to.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        *,
        by: str,
        folder: Path | None = None,
        destinations: Destinations | None = None,
    ) -> None:
        self._topic = settings.qualified(delayed.TOPIC)
        self._partition = partition
        self._by = by
        self._room = WaitingRoom(folder)
        self._setbacks = Setbacks(destinations or Destinations.of(settings))
        self._requests: dict[bytes, Request] = {}
        self._now_us = 0
        self._at_once = MOST_EVENTS
        self._refusals: dict[bytes, str] = {}
        self._removed: dict[bytes, int] = {}
        """Keys that this owner has removed -> where their tombstones lie, until these have come back; -1 where the
        broker has acknowledged a record without telling where it lies."""
        # Who has had a turn comes last: neither a flood of requests nor one of events keeps the others waiting.
        self._turns: deque[Callable[[int], Dispatch | None]] = deque([self._answers, self._trial, self._lot])
        self._log = get_logger("scheduler").bind(topic=self._topic, partition=partition)

    def take(self, message: Message) -> None:
        """Learn from one record of the log."""
        key, value = message.key(), message.value()
        if key is None:
            self._complain(message, "it has no key")
            return
        if key in self._removed and self._is_past(message, key):
            return
        if value is None:
            if is_request(key):
                self._requests.pop(key, None)
            else:
                self._room.drop(key)
            return
        try:
            if is_request(key):
                self._requests[key] = read_request(key, value, dict(headers_of(message)))
            else:
                self._room.put(waiting(message))
        except DecodeError as error:
            self._complain(message, error.message)

    def _is_past(self, message: Message, key: bytes) -> bool:
        """Whether a record is one that our tombstone of its key has removed, or that tombstone itself."""
        at, offset = self._removed[key], message.offset() or 0
        if at < 0 and message.value() is None:
            at = offset
        if 0 <= at <= offset:
            del self._removed[key]
        return at < 0 or offset <= at

    def _complain(self, message: Message, why: str) -> None:
        self._log.error("skipped: a record that is no delayed event", offset=message.offset(), error=why)

    def loaded(self) -> None:
        """The log is read up to where the owner before has left it."""
        self._log.info("knows what waits", events=self._room.count())

    def next_at(self) -> float | None:
        """When the next event is due; seconds since 1970."""
        if self._requests or self._setbacks.suspects:
            return 0.0
        next_us = self._room.next_us()
        return None if next_us is None else next_us / 1_000_000

    def due(self, now: float) -> Dispatch | None:
        """What to do now: answer requests, or send off events that are due."""
        now_us = self._now_us = int(now * 1_000_000)
        for turn in [*self._turns]:
            deed = turn(now_us)
            if deed is not None:
                self._turns.remove(turn)
                self._turns.append(turn)
                return deed
        return None

    def close(self) -> None:
        """Forget everything: the next owner reads it again."""
        self._room.close()

    def _answers(self, now_us: int) -> Dispatch | None:
        replies: list[Reply] = []
        gone: set[bytes] = set()
        sent: list[Waiting] = []
        cancelled: list[Waiting] = []
        for request in islice(self._requests.values(), self._at_once):
            event = self._room.get(request.event_id)
            if event is None or event.id in gone:
                replies.append(Reply(request, Answer.ABSENT))
            elif request.wish is Wish.CANCEL:
                gone.add(event.id)
                cancelled.append(event)
                replies.append(Reply(request, Answer.CANCELLED))
            elif (reason := self._reason_against(request, event, now_us)) is not None:
                replies.append(Reply(request, Answer.REFUSED, reason))
            else:
                gone.add(event.id)
                sent.append(event)
                replies.append(Reply(request, Answer.DISPATCHED))
        return self._dispatch(sent, cancelled, replies) if replies else None

    def _reason_against(self, request: Request, event: Waiting, now_us: int) -> str | None:
        if (refusal := self._refusals.get(request.key)) is not None:
            return refusal
        closed = self._setbacks.closed({event.topic}, now_us).get(event.topic)
        return None if closed is None else str(closed.reason)

    def _trial(self, now_us: int) -> Dispatch | None:
        while self._setbacks.suspects:
            # They stay in line until written or refused: a transaction may come to nothing, and be tried again.
            events = self._sendable(self._room.at(self._setbacks.suspects[0]), now_us)
            if events:
                return self._dispatch(events)
            self._setbacks.suspects.popleft()
        return None

    def _lot(self, now_us: int) -> Dispatch | None:
        for _ in range(LOOKS):
            due = self._room.due(now_us, MOST_EVENTS, MOST_BYTES)
            if not due:
                return None
            events = self._sendable(due, now_us)
            if events:
                return self._dispatch(events)
        return None

    def _sendable(self, events: Sequence[Waiting], now_us: int) -> list[Waiting]:
        """Those whose topics take something; the others are put off."""
        closed = self._setbacks.closed({event.topic for event in events}, now_us)
        for topic, setback in closed.items():
            held = [event.offset for event in events if event.topic == topic]
            self._room.postpone(held, setback.until_us)
            self._log_refusal(topic, setback.reason, setback.until_us - now_us, events=len(held))
        return [event for event in events if event.topic not in closed]

    def _dispatch(
        self, sent: Sequence[Waiting], cancelled: Sequence[Waiting] = (), replies: Sequence[Reply] = ()
    ) -> Dispatch:
        return Dispatch(self._topic, self._partition, self._by, self._written, self._refused, sent, cancelled, replies)

    def _written(self, deed: Dispatch) -> None:
        for key, written in deed.tombstones.items():
            self._removed[key] = written.offset
        for event in (*deed.sent, *deed.cancelled):
            self._room.drop(event.id)
        for reply in deed.replies:
            self._requests.pop(reply.request.key, None)
            self._refusals.pop(reply.request.key, None)
            self._log.info(
                "answered a request",
                wish=reply.request.wish.value,
                id=reply.request.event_id.decode("utf-8", "replace"),
                by=reply.request.by,
                answer=reply.answer.value,
            )
        self._at_once = MOST_EVENTS
        self._setbacks.passed(deed.sent)
        self._setbacks.tried(deed.sent)
        self._setbacks.forget((*deed.sent, *deed.cancelled))

    def _refused(self, deed: Dispatch, refused: Refused) -> None:
        reasons = {deed.events[written]: error for written, error in refused.records.items() if written in deed.events}
        if not reasons:
            # It was a tombstone: then nothing at all can be done here.
            raise next(iter(refused.records.values()))
        if len(deed.replies) > 1:
            # One by one it shows which of them can't be done.
            self._at_once = 1
            return
        self._setbacks.tried(deed.sent)
        now_us = self._now_us
        for reply in deed.replies:
            self._refusals[reply.request.key] = str(next(iter(reasons.values())))
        for topic, reason in {event.topic: error for event, error in reasons.items()}.items():
            if Setbacks.is_of_topic(reason):
                setback = self._setbacks.close(topic, reason, now_us)
                held = [event.offset for event in deed.sent if event.topic == topic]
                self._room.postpone(held, setback.until_us)
                self._log_refusal(topic, reason, setback.until_us - now_us, events=len(held))
        self._set_back({event: error for event, error in reasons.items() if not Setbacks.is_of_topic(error)}, now_us)

    def _set_back(self, reasons: dict[Waiting, TidemillError], now_us: int) -> None:
        offsets = [event.offset for event in reasons]
        if len(offsets) > 1:
            # They wait meanwhile, so that nothing of them is sent twice and nothing is forgotten.
            self._room.postpone(offsets, now_us + 30_000_000)
            self._setbacks.suspect(offsets)
            return
        for event, reason in reasons.items():
            until_us = self._setbacks.set_back(event.offset, now_us)
            self._room.postpone([event.offset], until_us)
            event_id = event.id.decode("utf-8", "replace")
            self._log_refusal(event.topic, reason, until_us - now_us, id=event_id)

    def _log_refusal(self, to_topic: str, reason: TidemillError, pause_us: int, **more: object) -> None:
        self._log.error(
            "not dispatched, will try again",
            to_topic=to_topic,
            error=str(reason),
            again_in_seconds=round(pause_us / 1_000_000),
            **more,
        )


def waiting(message: Message, *, with_value: bool = True) -> Waiting:
    """The event that waits by a record.

    Args:
        message: The record; it has a key.
        with_value: False leaves the value out, but for its size.

    Raises:
        DecodeError: The record is none of a delayed event.
    """
    parcel = delayed.unpacked(headers_of(message))
    value: bytes = message.value() or b""
    size_bytes = len(parcel.key or b"") + len(value) + sum(len(name) + len(text) for name, text in parcel.headers)
    return Waiting(
        message.offset() or 0,
        message.key() or b"",
        microseconds(parcel.due),
        parcel.topic,
        parcel.key,
        parcel.headers,
        value if with_value else b"",
        size_bytes,
    )

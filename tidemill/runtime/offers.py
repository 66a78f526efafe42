"""What is published without a promise: sent where there is room for it, else dropped. Nobody waits for it.

It goes through the publisher of a stream's outputs, whose room it must leave to these.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from tidemill.errors import TidemillError
from tidemill.publisher import AsyncPublisher
from tidemill.runtime.error_text import brief
from tidemill.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import KafkaError

    from tidemill.contracts.contract import Payload
    from tidemill.event import Event
    from tidemill.publisher.preparing import Outgoing, Preparer

MOST_UNANSWERED = 1_000
"""How many may be on their way."""
CROWDED = 10_000
"""Messages of whatever kind that wait for the broker, from which on nothing is added to them."""
COMPLAIN_EVERY_SECONDS = 60.0


class OfferingPublisher(AsyncPublisher):
    """A publisher that also takes what may be dropped."""

    def offer(self, message: Outgoing, answered: Callable[[KafkaError | None, Any], None]) -> bool:
        """Send a message if that takes no waiting; returns whether it is on its way.

        Args:
            message: The message.
            answered: Called with the broker's answer, in another thread. A failure is nobody's: no flush tells of it.
        """
        return len(self._core.producer) < CROWDED and self._core.produce(message, answered)


class Offers:
    """Offers events to Kafka.

    Args:
        publisher: That of the outputs.
        preparer: Makes messages.
        stream: The stream's name, for the log.
        is_heard: Whether there is a topic for it; where there isn't, asking for it would only keep the outputs waiting.
    """

    def __init__(self, publisher: OfferingPublisher, preparer: Preparer, stream: str, *, is_heard: bool) -> None:
        self._publisher = publisher
        self._preparer = preparer
        self._is_heard = is_heard
        self._unanswered = 0
        self._lock = threading.Lock()
        self._preparing: set[asyncio.Task[None]] = set()
        self._dropped = 0
        self._complained = -COMPLAIN_EVERY_SECONDS
        self._log = get_logger("stream").bind(stream=stream)

    def offer(self, payload: Payload, cause: Event[Any]) -> None:
        """Publish an event that may as well be lost. Returns at once, on the event loop, and raises nothing.

        Args:
            payload: The event.
            cause: What it is about: passes on its job and its trace.
        """
        if not self._is_heard:
            return
        with self._lock:
            if self._unanswered >= MOST_UNANSWERED:
                self._dropped += 1
                return
            self._unanswered += 1
        if self._preparer.codec.is_prepared(type(payload)):
            self._send(payload, cause)
        else:
            task = asyncio.get_running_loop().create_task(self._send_when_ready(payload, cause))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)

    async def _send_when_ready(self, payload: Payload, cause: Event[Any]) -> None:
        try:
            await self._publisher.ready_for(type(payload))
        except TidemillError as error:
            self._drop(brief(error))
        else:
            self._send(payload, cause)

    def _send(self, payload: Payload, cause: Event[Any]) -> None:
        try:
            if not self._publisher.offer(self._preparer.prepare(payload, cause=cause), self._answered):
                self._drop("too much waits for the broker")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it is no matter of the event's
            self._drop(brief(error))

    def _answered(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            self._drop(error.str())
        else:
            with self._lock:
                self._unanswered -= 1

    def _drop(self, why: str) -> None:
        """From any thread."""
        with self._lock:
            self._unanswered -= 1
            self._dropped += 1
            now = time.monotonic()
            if now - self._complained < COMPLAIN_EVERY_SECONDS:
                return
            self._complained, dropped, self._dropped = now, self._dropped, 0
        self._log.warning("how events get on can't be told", dropped=dropped, error=why)

    def close(self) -> None:
        """Begin nothing more."""
        for task in self._preparing:
            task.cancel()

"""What handlers return, on its way into Kafka: outputs get derived ids, dead letters keep their bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill import delayed
from tidemill.broker import HEADROOM_BYTES
from tidemill.errors import BrokerError, RegistryError, SchemaNotRegistered, TidemillError
from tidemill.event import Event, derived_id
from tidemill.events import JobProgress
from tidemill.publisher import AsyncReceipt
from tidemill.publisher.preparing import Preparer
from tidemill.runtime.deadletter import dead_letter
from tidemill.runtime.offers import OfferingPublisher, Offers
from tidemill.runtime.retry_route import put_off, retry_topic
from tidemill.runtime.work import Output

if TYPE_CHECKING:
    from datetime import datetime

    from tidemill.codec import Codec
    from tidemill.config import Settings
    from tidemill.event import Message
    from tidemill.runtime.partition import Unit
    from tidemill.runtime.stream import Stream

OUTPUT_LINGER_MS = 2
"""Short: a key's next event waits for the acknowledgement of what the one before it published."""


def is_held(error: BaseException) -> bool:
    """Whether an output's event waits until this is over, rather than failing: Kafka, the registry or what was set up
    there is at fault, and the event would be handled well without it."""
    if isinstance(error, BrokerError | RegistryError | SchemaNotRegistered):
        return True
    return isinstance(error, TidemillError) and error.retriable


class Outputs:
    """Publishes for one stream.

    Args:
        stream: The stream; its name is part of the derived ids.
        settings: Addresses, namespace, limits.
        codec: Encodes the payloads.
        is_heard: Whether there is a topic for what is offered.
    """

    def __init__(self, stream: Stream, settings: Settings, codec: Codec, *, is_heard: bool = True) -> None:
        self._stream = stream
        self._settings = settings
        self._preparer = Preparer(settings, codec)
        self._publisher = OfferingPublisher(
            settings,
            codec=codec,
            kafka={
                "linger.ms": min(settings.linger_ms, OUTPUT_LINGER_MS),
                "message.max.bytes": settings.max_event_bytes + HEADROOM_BYTES,
            },
        )
        self.offers = Offers(self._publisher, self._preparer, stream.name, is_heard=is_heard)
        """For what may as well be lost."""
        self._dead_topic = settings.qualified(stream.payload.__contract__.dead_topic)

    async def publish(
        self,
        unit: Unit,
        events: list[Event[Any]],
        outputs: list[Output],
        settled: Callable[[Unit, Exception | None], None],
        *,
        series: str = "",
    ) -> None:
        """Send the outputs of a unit; `settled` is called once, on the loop, when the broker has answered for all.

        Args:
            unit: Its `pending` and `error` are kept meanwhile.
            events: The event handled, or those of the batch.
            outputs: What was returned.
            settled: Called with the unit, and with the reason if one of the outputs isn't there.
            series: Tells the ids of outputs that no handler has returned from those of the ones that it may have.
        """
        try:
            await self._send(unit, events, outputs, settled, series)
        except Exception as error:  # noqa: BLE001 - told to whoever waits, as what the broker refuses
            unit.error = unit.error or error
            if unit.pending == 0:
                _settle(unit, settled)

    async def _send(
        self,
        unit: Unit,
        events: list[Event[Any]],
        outputs: list[Output],
        settled: Callable[[Unit, Exception | None], None],
        series: str,
    ) -> None:
        for output in outputs:
            await self._publisher.ready_for(type(output.payload))
        counts: dict[str, int] = {}
        messages = []
        for output in outputs:
            cause = output.cause or events[-1]
            index = counts[cause.id] = counts.get(cause.id, -1) + 1
            messages.append(
                self._preparer.prepare(
                    output.payload,
                    key=output.key,
                    subject=output.subject,
                    headers=output.headers,
                    cause=cause,
                    event_id=derived_id(cause.id, f"{self._stream.name}:{series}{index}"),
                    delay=output.delay,
                    at=output.at,
                )
            )

        def acknowledged(receipt: AsyncReceipt) -> None:
            unit.pending -= 1
            unit.error = unit.error or receipt.error
            if unit.pending == 0:
                _settle(unit, settled)

        unit.pending = len(messages)
        for sent, message in enumerate(messages):
            try:
                await self._publisher.send(message, acknowledged)
            except BaseException:
                # What was not sent will never be acknowledged.
                unit.pending -= len(messages) - sent
                raise

    async def prepare(self) -> None:
        """Look up the schemas of what the stream publishes, as it says, and connect, so that none of it has to wait.

        Raises:
            SchemaNotRegistered, RegistryError: The registry doesn't know one of them, or doesn't answer.
        """
        self._publisher.open()
        told = (JobProgress,) if self._stream.cancellable or self._stream.tracked else ()
        for cls in (*self._stream.outputs, *told):
            await self._publisher.ready_for(cls)

    async def bury(self, message: Message, error: BaseException, attempts: int) -> None:
        """Write a dead letter and wait for its acknowledgement; raises if it isn't written."""
        receipt = await self._publisher.send(dead_letter(self._dead_topic, message, self._stream, error, attempts))
        await receipt

    async def put_off(self, message: Message, attempts: int, due: datetime) -> None:
        """Write an event to `schedule.delayed` and wait for its acknowledgement; raises if it isn't written.

        Args:
            message: The event as it was consumed.
            attempts: Tries made.
            due: When the next one is due, aware.
        """
        group = self._stream.group
        receipt = await self._publisher.send(
            put_off(
                message,
                group=group,
                topic=self._settings.qualified(retry_topic(group)),
                delayed_topic=self._settings.qualified(delayed.TOPIC),
                attempts=attempts,
                due=due,
            )
        )
        await receipt

    async def close(self, timeout_seconds: float) -> None:
        """Deliver what is on its way, then stop; raises NotDelivered where that fails."""
        self.offers.close()
        await self._publisher.close(timeout_seconds)


def _settle(unit: Unit, settled: Callable[[Unit, Exception | None], None]) -> None:
    error, unit.error = unit.error, None
    settled(unit, error)

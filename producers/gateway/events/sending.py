"""Publishing for a request: what is taken counts until the broker has answered, and a repeat is answered as before."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from producers.gateway.events.incoming import outgoing
from tidemill.errors import NotDelivered, TidemillError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from producers.gateway.events.incoming import Incoming
    from producers.gateway.gateway import Gateway
    from tidemill.publisher import AsyncReceipt, Delivered
    from tidemill.publisher.preparing import Outgoing

EVENT_BYTES = 1_000
"""What an event costs beside its bytes until it is acknowledged: its objects in Python and in librdkafka."""
LATE_SECONDS = 3.0
"""librdkafka gives an event up once a second, so its answer may come later than it was told to wait."""


async def send(gateway: Gateway, event: Incoming) -> tuple[str, Delivered]:
    """Publish an event.

    Returns:
        Its id, and where it lies, once the broker has acknowledged it.

    Raises:
        Problem: The gateway holds as much as it may; it wasn't published.
        NotDelivered, BrokerUnreachable: It isn't known whether it was published.
        TidemillError: It wasn't published.
    """
    event_type = type(event.payload).__contract__.type
    await gateway.publisher.ready_for(type(event.payload))
    receipt = await produce(gateway, outgoing(gateway.preparer, event))
    seconds = gateway.gateway_settings.acknowledge_seconds + LATE_SECONDS
    try:
        # Not receipt.result(seconds), which takes a task of its own.
        async with asyncio.timeout(seconds):
            delivered = await receipt
    except TimeoutError:
        gateway.metrics.events(event_type, "unacknowledged")
        raise NotDelivered(f"Event {receipt.id} is not acknowledged after {seconds:g} s.") from None
    except TidemillError:
        gateway.metrics.events(event_type, "unacknowledged")
        raise
    gateway.metrics.events(event_type, "accepted")
    return receipt.id, delivered


async def produce(gateway: Gateway, message: Outgoing) -> AsyncReceipt:
    """Hand a message to the publisher, and count its bytes until it is settled."""
    size_bytes = message.size_bytes + EVENT_BYTES
    gateway.waiting.take(size_bytes)
    try:
        return await gateway.publisher.send(message, lambda _: gateway.waiting.give(size_bytes))
    except BaseException:
        gateway.waiting.give(size_bytes)
        raise


async def send_once(
    gateway: Gateway, event: Incoming, key: Hashable | None, digest: bytes
) -> tuple[str, Delivered, bool]:
    """Publish an event, or answer as the request was answered that had the same key.

    Args:
        gateway: The gateway.
        event: The event; its id follows from the key, so that a repeat which isn't known any more is the same event.
        key: Token, type and key; None without one.
        digest: Of all that is asked for.

    Returns:
        As `send`, and whether it was a repeat.

    Raises:
        Problem: The key was used for something else; otherwise as `send`.
    """
    if key is None:
        return *(await send(gateway, event)), False
    now = time.monotonic()
    known = gateway.repeats.find(key, digest, now)
    if known is not None:
        # Shielded: who gives up waiting must not take the answer from the others.
        return *(await asyncio.shield(known)), True
    answer = gateway.repeats.begin(key, digest, now)
    try:
        sent = await send(gateway, event)
    except BaseException as error:
        told = error if isinstance(error, Exception) else TidemillError("The request that had this key was given up.")
        gateway.repeats.forget(key, answer, told)
        raise
    answer.set_result(sent)
    return *sent, False

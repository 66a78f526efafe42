"""Notices through the stream and back: publish, wait for the outcome. What `tidemill notification send` runs on."""

from __future__ import annotations

import time

from tidemill.codec import Codec
from tidemill.config import Settings
from tidemill.contracts.registry import Registry
from tidemill.event import Event
from tidemill.events import NotificationRequested, NotificationSent
from tidemill.publisher import Publisher
from tidemill.runtime import deadletter
from tidemill.tail import Tail


def send_and_wait(
    settings: Settings, request: NotificationRequested, timeout_seconds: float
) -> NotificationSent | str | None:
    """Ask for a notice, and wait for what becomes of it.

    Args:
        settings: Where Kafka is.
        request: The notice.
        timeout_seconds: Longest wait.

    Returns:
        The outcome; the words of a dead letter; None where nothing came in time.
    """
    sent, dead = NotificationSent.__contract__.topic, NotificationRequested.__contract__.dead_topic
    with Registry(settings) as registry, Tail(settings, (sent, dead)) as tail:
        codec = Codec(registry)
        with Publisher(settings, codec=codec) as publisher:
            id = publisher.publish(request).id
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            for message in tail.read(0.5):
                event = Event.received(None, message)
                if (message.topic() or "").endswith(dead) and event.id == id:
                    reason = dict(event.raw_headers).get(deadletter.MESSAGE, b"")
                    return reason.decode("utf-8", "replace") or "a dead letter without a reason"
                if (message.topic() or "").endswith(sent) and event.cause == id:
                    found = codec.decode(message.value(), NotificationSent)
                    if found.outcome != "replaced":
                        return found
    return None

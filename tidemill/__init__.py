"""Tidemill: an application's background work on Kafka. This package is what you import; other folders are what you run.

    from tidemill import Publisher
    from tidemill.events import ImageRequested, Rendition

    with Publisher() as publisher:
        publisher.publish(ImageRequested(source="file:///1.jpg", renditions=[Rendition(name="thumb", width=200)]))

The names below are the public API. Each is imported when it is first used (PEP 562), so that a service which publishes
pays for nothing that streams need. Beside them are public: `tidemill.events`, `tidemill.errors`, `tidemill.testing`.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.config import Settings, load_settings
    from tidemill.errors import (
        BrokerError,
        BrokerUnreachable,
        BufferFull,
        ConfigError,
        ContractError,
        DecodeError,
        EventTooLarge,
        HandlerError,
        HandlerTimeout,
        InvalidEvent,
        NotAuthorized,
        NotDelivered,
        OutcomeUnknown,
        PublisherClosed,
        PublishError,
        RegistryError,
        Reject,
        RetryAfter,
        SchemaNotRegistered,
        StreamError,
        TidemillError,
        UnknownEventType,
        UnknownTopic,
    )
    from tidemill.event import Event, Position
    from tidemill.publisher.asynchronous import AsyncPublisher, AsyncReceipt
    from tidemill.publisher.receipt import Delivered
    from tidemill.publisher.sync import Publisher, Receipt
    from tidemill.runtime.retry import Retry
    from tidemill.runtime.stream import Stream, stream
    from tidemill.runtime.work import Output, Work

__all__ = [
    "AsyncPublisher",
    "AsyncReceipt",
    "BrokerError",
    "BrokerUnreachable",
    "BufferFull",
    "ConfigError",
    "ContractError",
    "DecodeError",
    "Delivered",
    "Event",
    "EventTooLarge",
    "HandlerError",
    "HandlerTimeout",
    "InvalidEvent",
    "NotAuthorized",
    "NotDelivered",
    "OutcomeUnknown",
    "Output",
    "Position",
    "PublishError",
    "Publisher",
    "PublisherClosed",
    "Receipt",
    "RegistryError",
    "Reject",
    "Retry",
    "RetryAfter",
    "SchemaNotRegistered",
    "Settings",
    "Stream",
    "StreamError",
    "TidemillError",
    "UnknownEventType",
    "UnknownTopic",
    "Work",
    "load_settings",
    "stream",
]

_ERRORS = (
    "BrokerError BrokerUnreachable BufferFull ConfigError ContractError DecodeError EventTooLarge HandlerError "
    "HandlerTimeout InvalidEvent NotAuthorized NotDelivered OutcomeUnknown PublishError PublisherClosed RegistryError "
    "Reject RetryAfter SchemaNotRegistered StreamError TidemillError UnknownEventType UnknownTopic"
)
_HOMES = {
    **dict.fromkeys(_ERRORS.split(), "tidemill.errors"),
    "AsyncPublisher": "tidemill.publisher.asynchronous",
    "AsyncReceipt": "tidemill.publisher.asynchronous",
    "Delivered": "tidemill.publisher.receipt",
    "Event": "tidemill.event",
    "Output": "tidemill.runtime.work",
    "Position": "tidemill.event",
    "Publisher": "tidemill.publisher.sync",
    "Receipt": "tidemill.publisher.sync",
    "Retry": "tidemill.runtime.retry",
    "Settings": "tidemill.config",
    "Stream": "tidemill.runtime.stream",
    "Work": "tidemill.runtime.work",
    "load_settings": "tidemill.config",
    "stream": "tidemill.runtime.stream",
}

# A library leaves it to its program what becomes of log records; without a handler, Python would print warnings.
logging.getLogger("tidemill").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tidemill' has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

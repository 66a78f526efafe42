"""For the tests of the notification stream: settings, recipients, notices and a browser, as usual but for what is said.

The browser has a key of its own, by which it reads what only it can read.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import http_ece
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from streams.notification.content import Content, gather
from streams.notification.database import Database
from streams.notification.directory import Directory, Recipient
from streams.notification.request import Notice, check_request
from streams.notification.settings import NotificationSettings, load_notification_settings
from streams.notification.waiting import Books
from tidemill.config import Settings, load_settings
from tidemill.event import Event, Position
from tidemill.events import NotificationDue, NotificationRequested

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
LOCAL = {"allow_networks": ["127.0.0.0/8"], "allow_http": True, "answer_seconds": 5.0, "connect_seconds": 2.0}
"""Lets a test's receivers be receivers."""


def settings(**more: Any) -> NotificationSettings:
    """Settings that don't depend on the environment of whoever runs the tests."""
    return load_notification_settings(**{"directory_url": None, "vapid_subject": "mailto:ops@example.com", **more})


def core(folder: Path) -> Settings:
    """A worker's settings with its state in a folder."""
    return load_settings(state_dir=folder)


def asked(**more: Any) -> NotificationRequested:
    """A request for a short notice."""
    return NotificationRequested(**{"recipient": "u-1", "title": "Your report is ready", **more})


def notice(id: str = "n-1", **more: Any) -> Notice:
    """A notice that was asked for at noon."""
    return check_request(asked(**more), event_id=id, time=NOON)


def content(*notices: Notice, id: str = "n-1") -> Content:
    """What some notices say; by default one."""
    return gather(id, list(notices) or [notice(id)], settings().titles, "en")


def requested(id: str = "n-1", **more: Any) -> Event[NotificationRequested]:
    """The event that asks for a notice."""
    return _event(asked(**more), id, "notification.requested")


def due(delivery: str, id: str = "due-1", recipient: str = "u-1", cause: str | None = None) -> Event[NotificationDue]:
    """The event that wakes a delivery."""
    return _event(NotificationDue(recipient=recipient, delivery=delivery), id, "notification.due", cause)


def _event(payload: Any, id: str, topic: str, cause: str | None = None) -> Event[Any]:
    headers = [("ce_id", id.encode()), ("ce_time", b"2026-11-24T12:00:00Z")]
    headers += [("tm_cause", cause.encode())] if cause is not None else []
    return Event(payload, key=payload.recipient.encode(), headers=headers, position=Position(topic, 0, 0, 0))


def books(folder: Path, **more: Any) -> tuple[Directory, Books]:
    """A directory with one recipient, and the books beside it."""
    chosen = settings(**more)
    database = Database(chosen, core(folder))
    directory = Directory(database)
    directory.put(Recipient("u-1"))
    return directory, Books(database, chosen)


async def undone(key: str, effect: Callable[[], Awaitable[Any]], *, policy: Any) -> Any:
    """A ledger that knows nothing."""
    return await effect()


def vapid_key(folder: Path) -> Path:
    """A file with a private key for Web Push."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = folder / "vapid.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


class Browser:
    """Somebody's browser, subscribed at a push service."""

    def __init__(self, endpoint: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)
        self.endpoint = endpoint

    @property
    def subscription(self) -> str:
        """As `JSON.stringify(subscription)` gives it."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return json.dumps({"endpoint": self.endpoint, "keys": {"p256dh": _base64(public), "auth": _base64(self._auth)}})

    def read(self, body: bytes) -> Any:
        """What a message says, decrypted with the browser's private key."""
        return json.loads(http_ece.decrypt(body, private_key=self._key, auth_secret=self._auth, version="aes128gcm"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

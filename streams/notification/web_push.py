"""Web Push: a message encrypted for one browser (RFC 8291), signed by our key (VAPID, RFC 8292), to its push service.

pywebpush encrypts and py_vapid signs; the connection is ours (`outbound.py`), for theirs follows redirects and reaches
any address. A subscription's endpoint and keys must never get into a message.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid, VapidException, b64urlencode
from pywebpush import WebPusher, WebPushException

from streams.notification.answers import Gone, NotNow, Refused, retry_after_seconds
from streams.notification.content import Content, push_payload
from streams.notification.outbound import Outbound
from streams.notification.settings import NotificationSettings
from tidemill.errors import ConfigError

MOST_BODY_BYTES = 4_096
"""RFC 8030, 7.2: a push service takes at least so much, and most take no more."""
OVERHEAD_BYTES = 86 + 16 + 1
"""aes128gcm's header with a P-256 key, its tag, the delimiter (RFC 8188 and 8291)."""
SMALL_BYTES = 1_024
"""What is sent to a service that refuses the usual size."""
TOKEN_SECONDS = 12 * 3600
RENEW_SECONDS = 3600


class WebPush:
    """Sends messages to browsers.

    Args:
        settings: The key, and whom a push service may write to.
        outbound: Connections.

    Raises:
        ConfigError: The key can't be read.
    """

    def __init__(self, settings: NotificationSettings, outbound: Outbound) -> None:
        self._settings = settings
        self._outbound = outbound
        self._vapid = read_key(settings.vapid_key) if settings.vapid_key is not None else None
        self._tokens: dict[str, tuple[str, float]] = {}

    async def send(self, secret: dict[str, Any], content: Content) -> None:
        """Send a message.

        Args:
            secret: The subscription.
            content: What to say.

        Raises:
            Gone: The subscription is no more.
            Refused: The push service doesn't take it.
            NotNow: The push service doesn't take it now.
            OutcomeUnknown: It gave no answer.
            ConfigError: There is no key, or nobody to write to.
        """
        status = await self._post(secret, content, MOST_BODY_BYTES - OVERHEAD_BYTES)
        if status == 413:
            status = await self._post(secret, content, SMALL_BYTES)
        where = urlsplit(secret["endpoint"]).netloc
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise Refused(f"{where} sends us elsewhere ({status}), where we don't follow")
        hint = ", as it does when a subscription was made with another VAPID key" if status in (401, 403) else ""
        raise Refused(f"{where} answers {status}{hint}")

    async def _post(self, secret: dict[str, Any], content: Content, payload_bytes: int) -> int:
        try:
            pusher = WebPusher(
                {"endpoint": secret["endpoint"], "keys": {"p256dh": secret["p256dh"], "auth": secret["auth"]}}
            )
            body = pusher.encode(push_payload(content, payload_bytes))["body"]
        except (WebPushException, ValueError):
            raise Gone("its keys can't be used") from None
        headers = {
            "Authorization": self._authorization(secret["endpoint"]),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(self._ttl_seconds(content)),
            "Urgency": content.urgency,
            "Topic": content.topic,
        }
        where = urlsplit(secret["endpoint"]).netloc
        reply = await self._outbound.post(secret["endpoint"], body, headers)
        if reply.status in (404, 410):
            raise Gone(f"{where} answers {reply.status}: the subscription is no more")
        if reply.status in (408, 425, 429) or reply.status >= 500:
            after_seconds = retry_after_seconds(reply.retry_after, datetime.now(UTC))
            raise NotNow(f"{where} answers {reply.status}", after_seconds=after_seconds)
        return reply.status

    def _ttl_seconds(self, content: Content) -> int:
        if content.expires is None:
            return self._settings.push_ttl_seconds
        return max(0, min(int(content.expires - time.time()), self._settings.push_ttl_seconds))

    def _authorization(self, endpoint: str) -> str:
        """A token for one push service; kept, so that not each message has to be signed anew."""
        parts = urlsplit(endpoint)
        audience = f"{parts.scheme}://{parts.netloc}"
        token, until = self._tokens.get(audience, ("", 0.0))
        if time.time() < until:
            return token
        if self._vapid is None or self._settings.vapid_subject is None:
            raise ConfigError(
                "Web Push needs a key and somebody to write to.",
                hint="`tidemill notification keys` makes a key and says which settings to make.",
            )
        claims = {"aud": audience, "sub": self._settings.vapid_subject, "exp": int(time.time()) + TOKEN_SECONDS}
        try:
            token = str(self._vapid.sign(claims)["Authorization"])
        except VapidException:
            raise Gone("its endpoint is no origin that a token can be made for") from None
        if len(self._tokens) >= 1000:
            self._tokens.clear()
        self._tokens[audience] = (token, time.time() + TOKEN_SECONDS - RENEW_SECONDS)
        return token


def read_key(file: Path) -> Vapid:
    """Our private key.

    Args:
        file: PEM.

    Raises:
        ConfigError: It can't be read, or isn't one on P-256.
    """
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"The VAPID key {str(file)!r} can't be read: {type(error).__name__}.",
            hint="`tidemill notification keys` makes one.",
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"The VAPID key {str(file)!r} isn't one on the curve P-256, as RFC 8292 asks for.")
    return Vapid(key)


def public_key(vapid: Vapid) -> str:
    """The public key, as a browser's `applicationServerKey` wants it: base64url of the point."""
    point = vapid.public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return str(b64urlencode(point))

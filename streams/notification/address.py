"""New addresses, checked before they are kept: a browser's subscription, a webhook, a service of Apprise, a mailbox.

Computes only. An error never shows the address itself, for much of it is secret; `shown` is what people may see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from streams.notification.settings import NotificationSettings
from tidemill.errors import ConfigError

SECRET_PREFIX = "whsec_"
MOST_SECRET_BYTES, FEWEST_SECRET_BYTES = 64, 24
"""Standard Webhooks: 24 to 64 random bytes."""
_MAIL = re.compile(r"[^\s<>@\x00-\x1f]+@[^\s<>@\x00-\x1f]+")
_NAMED_MAIL = re.compile(r"[^<>\x00-\x1f\x7f]*<([^<>]+)>")


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address that can be kept.

    Attributes:
        channel: Of which kind.
        shown: What people may see of it.
        secret: All of it, with a JSON form.
        identity: The same for the same address, so that it is kept once.
    """

    channel: str
    shown: str
    secret: dict[str, Any] = field(repr=False)
    identity: str


def push_address(subscription: str, settings: NotificationSettings) -> NewAddress:
    """A browser's subscription.

    Args:
        subscription: What `JSON.stringify(subscription)` gives there.
        settings: Whether endpoints may do without TLS.

    Raises:
        ConfigError: It is none.
    """
    try:
        found = json.loads(subscription)
        endpoint, keys = found["endpoint"], found["keys"]
        public, auth = (_unpadded(keys[name]) for name in ("p256dh", "auth"))
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        if len(auth) != 16:
            raise ValueError("auth must have 16 bytes")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(
            "That is no subscription of a browser.",
            hint='Expected JSON.stringify(subscription): {"endpoint": ..., "keys": {"p256dh": ..., "auth": ...}}.',
        ) from error
    parts = web_address(endpoint, settings)
    secret = {"endpoint": endpoint, "p256dh": keys["p256dh"], "auth": keys["auth"]}
    return NewAddress("push", parts.netloc, secret, _digest(endpoint))


def webhook_address(url: str, secret: str | None, settings: NotificationSettings) -> NewAddress:
    """A webhook.

    Args:
        url: Where it is.
        secret: `whsec_` and base64 of 24 to 64 bytes; None makes a new one.
        settings: Whether it may do without TLS.

    Raises:
        ConfigError: The URL or the secret can't be used.
    """
    parts = web_address(url, settings)
    if secret is not None:
        check_secret(secret)
    # The path may hold a token, as those of chats' incoming webhooks do.
    return NewAddress("webhook", parts.netloc, {"url": url, "secrets": [secret or new_secret()]}, _digest(url))


def service_address(channel: str, url: str, settings: NotificationSettings) -> NewAddress:
    """A service that Apprise knows.

    Args:
        channel: `chat` or `sms`.
        url: As Apprise writes it, e.g. `slack://...`.
        settings: Which services are allowed.

    Raises:
        ConfigError: The service isn't allowed, or Apprise doesn't understand the URL.
    """
    from streams.notification.messenger import plugin_of

    scheme = url.partition("://")[0].lower()
    if scheme not in settings.services.split():
        raise ConfigError(
            f"The service {scheme[:40]!r} isn't among those that are allowed."
            if re.fullmatch(r"[a-z0-9]+", scheme)
            else "That is no URL of Apprise.",
            hint="TIDEMILL_NOTIFICATION_SERVICES names them; the list of all is Apprise's.",
        )
    if plugin_of(url) is None:
        raise ConfigError(
            f"Apprise can't use that URL for {scheme}.", hint="See Apprise's page about the service for its form."
        )
    return NewAddress(channel, f"{scheme}://…", {"url": url}, _digest(url))


def email_address(address: str) -> NewAddress:
    """A mailbox; the e-mail stream looks at it more closely when it sends.

    Args:
        address: `ada@example.com` or `Ada <ada@example.com>`.

    Raises:
        ConfigError: It is none.
    """
    named = _NAMED_MAIL.fullmatch(address)
    if not _MAIL.fullmatch(named[1] if named else address) or len(address) > 320:
        raise ConfigError(f"{address[:80]!r} is no mail address.", hint="E.g. ada@example.com.")
    return NewAddress("email", address, {"address": address}, _digest(address.casefold()))


def web_address(url: str, settings: NotificationSettings) -> SplitResult:
    """A URL for webhooks and push endpoints, taken apart. Where it leads is looked at when it is connected to.

    Raises:
        ConfigError: It is none, does without TLS, or holds a user.
    """
    try:
        parts = urlsplit(url)
        fits = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except (ValueError, AttributeError, TypeError):
        raise ConfigError("The address is no URL.") from None
    if not fits or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url) or len(url) > 2_000:
        raise ConfigError("The address is no URL of at most 2,000 ASCII characters.")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("The address holds a user or a password.", hint="Receivers know us by the signature.")
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.allow_http):
        raise ConfigError("The address must begin with https://.", hint="TIDEMILL_NOTIFICATION_ALLOW_HTTP allows http.")
    return parts


def new_secret() -> str:
    """A secret for a webhook: 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def check_secret(secret: str) -> None:
    """See whether a webhook's secret can be used.

    Raises:
        ConfigError: It isn't of the form that Standard Webhooks asks for.
    """
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not secret.startswith(SECRET_PREFIX) or not FEWEST_SECRET_BYTES <= size <= MOST_SECRET_BYTES:
        raise ConfigError(
            "The secret must be whsec_ and the base64 of 24 to 64 random bytes.", hint="Leave it out to have one made."
        )


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Webhooks, signed as Standard Webhooks says: `webhook-id`, `webhook-timestamp`, `webhook-signature`.

The id is the same in every try, so that a receiver can drop repetitions; with several secrets there are several
signatures, so that secrets can be changed without a gap. A URL or a secret must never get into a message.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from streams.notification.answers import Gone, NotNow, Refused, retry_after_seconds
from streams.notification.content import Content, webhook_payload
from streams.notification.outbound import Outbound


async def send_webhook(secret: dict[str, Any], content: Content, outbound: Outbound) -> None:
    """Send a webhook.

    Args:
        secret: Its URL and secrets.
        content: What to say.
        outbound: Connections.

    Raises:
        Gone: The receiver answers 410.
        Refused: It lies where we don't go, or sends us elsewhere.
        NotNow: It doesn't take it now.
        OutcomeUnknown: It gave no answer.
    """
    body = webhook_payload(content)
    where = urlsplit(secret["url"]).netloc
    reply = await outbound.post(secret["url"], body, signed(body, content.plain_id, secret["secrets"]))
    if 200 <= reply.status < 300:
        return
    if reply.status == 410:
        raise Gone(f"{where} answers 410: it wants no more")
    if 300 <= reply.status < 400:
        raise Refused(f"{where} sends us elsewhere ({reply.status}), where we don't follow")
    if reply.status == 413:
        raise Refused(f"{where} answers 413: {len(body):,} bytes are too many")
    # As the standard has it, whatever else is no success is tried again: a receiver may be between two versions.
    raise NotNow(
        f"{where} answers {reply.status}", after_seconds=retry_after_seconds(reply.retry_after, datetime.now(UTC))
    )


def signed(body: bytes, id: str, secrets: list[str], now: datetime | None = None) -> dict[str, str]:
    """The headers of a webhook.

    Args:
        body: What is sent.
        id: The same in each try.
        secrets: `whsec_...`; each makes a signature.
        now: When it is signed; default: now.
    """
    # The library takes a time's fields as UTC, whatever its zone.
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(id, moment, text) for secret in secrets),
    }

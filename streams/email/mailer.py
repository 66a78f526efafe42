"""From a request to what became of its mail: checks, content, attachments, bytes, delivery.

Everything of the stream but Kafka. One for an event loop. Must make a mail only when it is to be sent: a rerun of one
that was sent takes a look at the ledger and nothing more.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from streams.email.attachments import read_attachments
from streams.email.content import ContentMaker
from streams.email.delivery import Delivered, Once, Sending, deliver
from streams.email.message import Mail, compose, message_id_of
from streams.email.pool import Pool
from streams.email.replies import Handover
from streams.email.request import Checked, check_request
from streams.email.settings import EmailSettings
from streams.email.signing import Signer
from streams.email.suppression import SuppressionList
from tidemill.events import EmailRequested, EmailSent, RefusedRecipient
from tidemill.store import Store


class Mailer:
    """Sends mails by one relay.

    Args:
        settings: How and where.
        store: Where attachments are.

    Raises:
        ConfigError: The DKIM key can't be used.
    """

    def __init__(self, settings: EmailSettings, store: Store) -> None:
        self.settings = settings
        self.pool = Pool(settings)
        self._store = store
        self._content = ContentMaker(settings)
        self._suppressed = SuppressionList(settings.suppressed)
        self._signer = signer_of(settings)

    async def send(
        self,
        request: EmailRequested,
        *,
        event_id: str,
        time: datetime,
        once: Once,
        is_last: bool,
        usual_wait_seconds: float,
    ) -> EmailSent:
        """Send the mail of one event, unless it was sent before.

        Args:
            request: What is asked for.
            event_id: Makes the Message-ID.
            time: The mail's date.
            once: Does an effect once.
            is_last: Whether no other try follows this one.
            usual_wait_seconds: What the stream waits before the next try.

        Raises:
            Reject: The mail can't be made, or the server refuses it for good.
            StoreError: An attachment can't be read.
            ConfigError: Templates, list or relay can't be used as they are set up.
            HandlerError, RetryAfter, OutcomeUnknown: As `deliver`.
        """
        checked = check_request(request, self.settings)
        made: Mail | None = None

        async def hand_over(recipients: tuple[str, ...]) -> tuple[Handover, int]:
            nonlocal made
            made = made or await self.make(checked, event_id, time)
            return await self.pool.send(made, recipients), len(made.data)

        delivered = await deliver(
            Sending(
                recipients=tuple(box.address for box in checked.recipients),
                suppressed=self._suppressed.match,
                send=hand_over,
                once=once,
                policy=self.settings.unknown,
                is_last=is_last,
                usual_wait_seconds=usual_wait_seconds,
                greylist_seconds=self.settings.greylist_seconds,
            )
        )
        return _told(request, message_id_of(event_id, self.settings), delivered)

    async def make(self, checked: Checked, event_id: str, time: datetime) -> Mail:
        """The mail of a checked request.

        Args:
            checked: The request.
            event_id: Makes the Message-ID.
            time: The mail's date.
        """
        content = self._content.make(checked)
        if not checked.request.attachments:
            return compose(
                checked, content, (), event_id=event_id, time=time, settings=self.settings, signer=self._signer
            )
        # The store blocks, and megabytes take their time to encode: other mails go on meanwhile.
        return await asyncio.to_thread(
            lambda: compose(
                checked,
                content,
                read_attachments(checked.request.attachments, self._store, self.settings.max_message_bytes),
                event_id=event_id,
                time=time,
                settings=self.settings,
                signer=self._signer,
            )
        )

    async def close(self) -> None:
        """Close the connections that are free."""
        await self.pool.close()


def signer_of(settings: EmailSettings) -> Signer | None:
    """What signs mails, if a key is set.

    Raises:
        ConfigError: The key can't be read or used.
    """
    if settings.dkim_key is None or settings.dkim_selector is None:
        return None
    return Signer(settings.dkim_domain or settings.sender_domain, settings.dkim_selector, settings.dkim_key)


def _told(request: EmailRequested, message_id: str, delivered: Delivered) -> EmailSent:
    refused = [
        RefusedRecipient(address=each.address, reason="server", code=each.code, answer=each.text)
        for each in delivered.refused
    ]
    refused += [
        RefusedRecipient(address=address, reason="suppressed", answer=by) for address, by in delivered.suppressed
    ]
    return EmailSent(
        message_id=message_id,
        template=request.template,
        accepted=delivered.accepted,
        refused=refused,
        relay=delivered.relay,
        answer=delivered.answer,
        bytes=delivered.size_bytes,
    )

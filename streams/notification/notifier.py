"""From a notice to what became of it: checks, timing, delivery. Everything of the stream but Kafka.

One for an event loop. The database's calls run in threads of their own, since they block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from streams.notification.answers import NotReached
from streams.notification.content import Content, gather
from streams.notification.database import Database
from streams.notification.delivery import Delivered, Once, Policy, Sending, deliver
from streams.notification.directory import Address, Directory
from streams.notification.email_request import email_request
from streams.notification.messenger import Messenger
from streams.notification.outbound import Outbound
from streams.notification.request import check_request
from streams.notification.retrying import RETRIES
from streams.notification.settings import NotificationSettings
from streams.notification.waiting import Accepted, Books, Leaving, Waiting
from streams.notification.web_push import WebPush
from streams.notification.webhook import send_webhook
from tidemill.config import Settings
from tidemill.errors import Reject
from tidemill.event import Event
from tidemill.events import (
    EmailRequested,
    NotificationDue,
    NotificationRequested,
    NotificationSent,
)

P = ParamSpec("P")
R = TypeVar("R")

DATABASE_THREADS = 4


class Notifier:
    """Tells recipients what they are to be told.

    Args:
        settings: The stream's.
        core: The worker's.
        now: The time; for tests.

    Raises:
        ConfigError: The database or the VAPID key can't be used.
    """

    def __init__(
        self, settings: NotificationSettings, core: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.settings = settings
        self._now = now
        self._database = Database(settings, core)
        self.directory = Directory(self._database)
        self.books = Books(self._database, settings)
        self.outbound = Outbound(settings)
        self._push = WebPush(settings, self.outbound)
        self._messenger = Messenger(settings.answer_seconds)
        self._policies: dict[str, Policy] = {"sms": settings.sms_unknown}
        self._threads = ThreadPoolExecutor(
            1 if self._database.takes_one_writer else DATABASE_THREADS, thread_name_prefix="notification"
        )

    async def accept(self, event: Event[NotificationRequested]) -> Accepted:
        """Take a notice in: what is to be done about it, the same in every run.

        Args:
            event: The request.

        Raises:
            Reject: The notice can't be sent, or its recipient isn't known.
            DirectoryUnavailable: The database doesn't answer.
        """
        notice = check_request(event.payload, event_id=event.id, time=event.time)
        return await self._in_thread(self.books.accept, notice, self._now())

    async def close(self, event: Event[NotificationDue]) -> Leaving | Waiting | None:
        """Let a delivery go that is due; as `Books.close`."""
        due = event.payload
        return await self._in_thread(
            self.books.close, due.delivery, due.recipient, event.id, self._now(), cause=event.cause
        )

    async def send(
        self, recipient: str, leaving: Leaving, once: Once
    ) -> tuple[list[NotificationSent], list[EmailRequested], Waiting | None]:
        """Tell a recipient what a delivery holds.

        Args:
            recipient: Who.
            leaving: The delivery.
            once: Does an effect once.

        Returns:
            What became of its notices, mails to be asked for, and when it is tried again where nobody was reached.

        Raises:
            Reject: Nobody will be reached, or nobody was for about a day.
            EffectError: As `deliver`.
        """
        told = [NotificationSent(recipient=recipient, notices=[id], outcome="expired") for id in leaving.expired]
        if not leaving.notices:
            return told, [], None
        content = gather(leaving.id, leaving.notices, self.settings.titles, leaving.locale)
        if leaving.outcome is not None:
            delivered = Delivered.from_json(leaving.outcome)
        else:
            try:
                delivered = await deliver(self._sending(content, leaving, once))
            except NotReached as error:
                return await self._put_off(recipient, leaving, error, told)
            await self._in_thread(self.books.finish, leaving.id, delivered.to_json())
        main = NotificationSent(
            recipient=recipient,
            notices=[notice.id for notice in leaving.notices],
            outcome="sent" if delivered.channel is not None else "expired",
            channel=delivered.channel,
            is_fallback=delivered.is_fallback,
            tried=delivered.tried,
        )
        template = self.settings.email_template
        mails = [email_request(content, address, leaving.locale, template) for address in delivered.mail_to]
        return [main, *told], mails, None

    async def _put_off(
        self, recipient: str, leaving: Leaving, error: NotReached, told: list[NotificationSent]
    ) -> tuple[list[NotificationSent], list[EmailRequested], Waiting]:
        waiting = await self._in_thread(
            self.books.put_off,
            leaving,
            recipient,
            error=error,
            after_seconds=error.after_seconds,
            now=self._now(),
        )
        if waiting is None:
            raise Reject(
                f"{error} Given up after {RETRIES.attempts} tries.",
                hint="When the receiver works again, publish the event again.",
            )
        main = NotificationSent(
            recipient=recipient,
            notices=[notice.id for notice in leaving.notices],
            outcome="waiting",
            tried=error.tried,
            waits_for=waiting.waits_for,
            until=waiting.until,
        )
        return [main, *told], [], waiting

    def _sending(self, content: Content, leaving: Leaving, once: Once) -> Sending:
        return Sending(
            content=content,
            plan=leaving.plan,
            send=self.hand_over,
            retire=lambda id, note: self._in_thread(self.directory.retire, id, note),
            once=once,
            policies=self._policies,
            now_seconds=lambda: self._now().timestamp(),
        )

    async def hand_over(self, address: Address, content: Content) -> None:
        """Hand a content to one address; returns when it was taken.

        Raises:
            Gone, Refused, NotNow, OutcomeUnknown, ConfigError: As the channels.
        """
        match address.channel:
            case "push":
                await self._push.send(address.secret, content)
            case "webhook":
                await send_webhook(address.secret, content, self.outbound)
            case "chat" | "sms":
                await self._messenger.send(address.secret, content)

    async def _in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def aclose(self) -> None:
        """Close connections and threads."""
        await self.outbound.close()
        self._messenger.close()
        self._threads.shutdown(wait=True)
        self._database.close()

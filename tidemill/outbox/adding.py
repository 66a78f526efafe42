"""`add`: an event into the outbox, in the caller's own transaction. Published if that commits, and only then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from tidemill.config import Settings, load_settings
from tidemill.contracts.contract import Payload
from tidemill.event import Event
from tidemill.outbox.row import Rows
from tidemill.outbox.targets import insert, insert_async
from tidemill.publisher.preparing import UserHeaders


def add(
    target: Any,
    payload: Payload,
    *,
    key: str | bytes | None = None,
    subject: str | None = None,
    cause: Event[Any] | None = None,
    headers: UserHeaders | None = None,
    id: str | None = None,
    delay: timedelta | None = None,
    at: datetime | None = None,
    settings: Settings | None = None,
) -> str:
    """Write an event into the outbox, in the transaction of `target`.

        with Session(engine) as session, session.begin():
            session.add(order)
            outbox.add(session, OrderPlaced(order=order.id, cents=order.cents))

    Args:
        target: Session or Connection of SQLAlchemy, connection of psycopg, Django or sqlite3; its transaction is open,
            or opened by the first statement, and stays the caller's.
        payload: The event.
        key, subject, cause, headers, id, delay, at: As `Publisher.publish`. A delay counts from now, not from the
            commit.
        settings: Namespace, source and size limit; None for those of the environment, read once.

    Returns:
        The event's id.

    Raises:
        OutboxError: The target isn't one of these, or would commit by itself.
        ContractError, InvalidEvent, EventTooLarge: As `Publisher.publish`.
        Exception: Whatever the database says, as its driver says it.
    """
    settings = settings or _environment()
    row = _rows(settings).make(
        payload, key=key, subject=subject, cause=cause, headers=headers, id=id, delay=delay, at=at
    )
    insert(target, [row], notify=settings.outbox_notify)
    return row.event_id


async def add_async(
    target: Any,
    payload: Payload,
    *,
    key: str | bytes | None = None,
    subject: str | None = None,
    cause: Event[Any] | None = None,
    headers: UserHeaders | None = None,
    id: str | None = None,
    delay: timedelta | None = None,
    at: datetime | None = None,
    settings: Settings | None = None,
) -> str:
    """As `add`, for SQLAlchemy's AsyncSession and AsyncConnection, and psycopg's AsyncConnection."""
    settings = settings or _environment()
    row = _rows(settings).make(
        payload, key=key, subject=subject, cause=cause, headers=headers, id=id, delay=delay, at=at
    )
    await insert_async(target, [row], notify=settings.outbox_notify)
    return row.event_id


def add_many(target: Any, payloads: Iterable[Payload], *, settings: Settings | None = None) -> list[str]:
    """As `add`, for many events at once: nothing is written unless all of them can be.

    Returns:
        Their ids, in order.
    """
    settings = settings or _environment()
    rows = [_rows(settings).make(payload) for payload in payloads]
    insert(target, rows, notify=settings.outbox_notify)
    return [row.event_id for row in rows]


async def add_many_async(target: Any, payloads: Iterable[Payload], *, settings: Settings | None = None) -> list[str]:
    """As `add_many`, for the targets of `add_async`."""
    settings = settings or _environment()
    rows = [_rows(settings).make(payload) for payload in payloads]
    await insert_async(target, rows, notify=settings.outbox_notify)
    return [row.event_id for row in rows]


_made: dict[tuple[str, str, int], Rows] = {}


@lru_cache(maxsize=1)
def _environment() -> Settings:
    return load_settings()


def _rows(settings: Settings) -> Rows:
    """The maker of rows for these settings: its encoders are compiled once."""
    what_counts = (settings.namespace, settings.source, settings.max_event_bytes)
    rows = _made.get(what_counts)
    if rows is None:
        rows = _made[what_counts] = Rows(settings)
    return rows

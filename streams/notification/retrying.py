"""What was put off because nothing of a recipient could be reached: it is tried again by the clock, and the rest waits.

Between two tries a delivery is `retrying`: its notices don't change, since one of its tries may have arrived unheard.
It belongs to the event that has put it off, and passes to the one that this event has led to, and to no other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, Row, select, update

from streams.notification.tables import DELIVERIES, key_of
from streams.notification.timing import HELD, RETRY, Manners, Timing, put_off_until
from tidemill.events import NotificationWait
from tidemill.runtime.retry import Retry

RETRIES = Retry(attempts=12, first=5.0, factor=4.0, most=4 * 3600.0)
"""For about a day, as Standard Webhooks recommends. Whoever wants less says when a notice expires."""
LOST_AFTER = timedelta(minutes=5)
"""So long after its time what hasn't come, or hasn't ended, holds up nobody any more."""
BEHIND_RETRY = timedelta(seconds=2)
"""After a retry, so that whatever waits behind it isn't woken before it is through."""
_random = Random()


def put_off(
    connection: Connection,
    delivery: Row[Any],
    manners: Manners,
    *,
    error: Exception,
    after_seconds: float | None,
    now: datetime,
    is_urgent: bool,
) -> datetime | None:
    """Note that a delivery has reached nobody, and when it is tried again.

    Args:
        connection: In a transaction that has locked the recipient.
        delivery: What was tried.
        manners: The recipient's: retries heed quiet hours, too.
        error: What it has failed with.
        after_seconds: When a receiver wants to be asked again, if it says so; never sooner than by the policy.
        now: This moment.
        is_urgent: Whether it goes in quiet hours.

    Returns:
        When; None where it has been tried often enough.
    """
    wait_seconds = RETRIES.wait_seconds(error, delivery.tries + 1, 0.0, _random)
    if wait_seconds is None:
        return None
    due = now + timedelta(seconds=max(wait_seconds, after_seconds or 0.0))
    if not is_urgent:
        due = manners.quiet_until(due) or due
    connection.execute(
        update(DELIVERIES)
        .where(DELIVERIES.c.id == delivery.id)
        # What reached nobody doesn't count for the rate.
        .values(state="retrying", due=due.timestamp(), closed=None, tries=delivery.tries + 1)
    )
    return due


def take_up(connection: Connection, delivery: Row[Any], by: str, cause: str | None, now: datetime) -> bool:
    """Give a delivery that is due again to the event that wakes it.

    Args:
        connection: In a transaction that has locked the recipient.
        delivery: One that is `retrying`.
        by: The event.
        cause: The event that has led to it.
        now: This moment.

    Returns:
        False where it is another event's.
    """
    if cause is None or key_of(cause) != delivery.closed_by:
        return False
    connection.execute(
        update(DELIVERIES)
        .where(DELIVERIES.c.id == delivery.id)
        .values(state="closed", closed=now.timestamp(), closed_by=key_of(by))
    )
    return True


def behind(connection: Connection, recipient: str, now: datetime) -> Timing | None:
    """To wait with what is held already and hasn't gone yet, or behind what is on its way or is tried again: a
    recipient's notices keep their order.

    What has been held goes in the other stream, so nothing else keeps a notice from passing it. Once the notice waits,
    its wake-up follows that of the other.

    Args:
        connection: In a transaction.
        recipient: Their id.
        now: This moment.
    """
    table = DELIVERIES.c
    held = connection.execute(
        select(table.due, table.waits_for).where(
            table.recipient == key_of(recipient), table.state == "open", table.kind == HELD
        )
    ).first()
    if held is not None:
        return Timing(HELD, datetime.fromtimestamp(held.due, UTC), held.waits_for)
    ahead = _retry_due(connection, recipient, now)
    if ahead is None:
        under_way = (
            (table.recipient == key_of(recipient))
            & (table.state == "closed")
            & (table.kind == HELD)
            & table.outcome.is_(None)
            & (table.notices > 0)
            & (table.closed > (now - LOST_AFTER).timestamp())
        )
        ahead = now if connection.execute(select(table.id).where(under_way)).first() is not None else None
    return None if ahead is None else Timing(HELD, max(ahead, now) + BEHIND_RETRY, RETRY)


def still_waits(
    connection: Connection, recipient: str, manners: Manners, now: datetime
) -> tuple[datetime, NotificationWait] | None:
    """Until when, and for what, something has to wait on although it is due; None where it may go.

    It is quiet (the scheduler was away, the recipient has new hours), or what came before is to be tried again first.

    Args:
        connection: In a transaction.
        recipient: Their id.
        manners: How they want to be told.
        now: This moment.
    """
    if (until := put_off_until(manners, now)) is not None:
        return until, "quiet_hours"
    if (ahead := _retry_due(connection, recipient, now)) is not None:
        return max(ahead, now) + BEHIND_RETRY, RETRY
    return None


def _retry_due(connection: Connection, recipient: str, now: datetime) -> datetime | None:
    table = DELIVERIES.c
    due = connection.execute(
        select(table.due)
        .where(
            table.recipient == key_of(recipient),
            table.state == "retrying",
            table.due > (now - LOST_AFTER).timestamp(),
        )
        .order_by(table.due)
    ).scalar()
    return None if due is None else datetime.fromtimestamp(due, UTC)

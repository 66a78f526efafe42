"""What goes now, what waits, and what goes together: every notice belongs to one delivery, and each goes once.

A delivery is open while it gathers, and closed by the one event that lets it go; from then on it is always the same.
Where nobody was reached it is put off, and closed again by the event that this has led to. Accepting, closing and
putting off are one transaction each, so a run that was cut off has written all or nothing, and a second run finds the
answer of the first. Nothing else looks at the clock.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from streams.notification.database import Database
from streams.notification.directory import Address, Recipient, addresses_of, recipient_of
from streams.notification.request import CHANNELS, Notice
from streams.notification.retrying import behind, put_off, still_waits, take_up
from streams.notification.settings import NotificationSettings
from streams.notification.tables import DELIVERIES, NOTICES, key_of
from streams.notification.timing import NOW, RATE_WINDOW, RETRY, Timing, timing_of
from tidemill.errors import Reject
from tidemill.events import NotificationWait

MOST_PRUNED = 500

Plan = list[tuple[str, list[Address]]]
"""Channels in the order of trying, with their addresses."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A delivery that goes now.

    Attributes:
        id: Its id.
        notices: What goes, in the order in which it came; may be none.
        expired: What doesn't, for it is too late.
        plan: Where it goes, as the directory has it now.
        locale: The recipient's.
        outcome: What came of it, if it has gone before.
    """

    id: str
    notices: list[Notice]
    expired: list[str]
    plan: Plan
    locale: str | None
    outcome: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice that goes later, or a delivery that has been put off.

    Attributes:
        delivery: What it goes with.
        until: When.
        waits_for: What it waits for.
        wakes: Whether its event is the one to see to it that the delivery is woken.
    """

    delivery: str
    until: datetime
    waits_for: NotificationWait
    wakes: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is to be done about a notice.

    Attributes:
        now: It goes now, perhaps as what has expired.
        later: It waits.
        replaced: Ids of the notices that it replaces.
    """

    now: Leaving | None = None
    later: Waiting | None = None
    replaced: list[str] = field(default_factory=list)


class Books:
    """Deliveries and notices.

    Args:
        database: Where they are.
        settings: Digests, limits.
    """

    def __init__(self, database: Database, settings: NotificationSettings) -> None:
        self._database = database
        self._settings = settings

    def accept(self, notice: Notice, now: datetime) -> Accepted:
        """Take a notice in, or find what was decided when it was.

        Args:
            notice: The notice.
            now: This moment.

        Raises:
            Reject: The directory doesn't know its recipient.
            DirectoryUnavailable: The database doesn't answer; nothing has been done.
        """
        with self._database.transaction() as connection:
            # The lock makes the recipient's notices follow on each other, whichever stream and worker has them.
            recipient = recipient_of(connection, notice.recipient, lock=True)
            row = connection.execute(select(NOTICES).where(NOTICES.c.id == key_of(notice.id))).one_or_none()
            if row is None:
                self._take_in(connection, recipient, notice, now)
                row = connection.execute(select(NOTICES).where(NOTICES.c.id == key_of(notice.id))).one()
            replaced = connection.execute(
                select(NOTICES.c.notice).where(NOTICES.c.replaced_by == key_of(notice.id)).order_by(NOTICES.c.place)
            )
            ids = [Notice.from_json(each.notice).id for each in replaced]
            delivery = _delivery(connection, row.delivery)
            if row.waits_for is None:
                if delivery.state == "closed" and delivery.closed_by == key_of(notice.id):
                    return Accepted(now=_leaving(connection, delivery, recipient), replaced=ids)
                return Accepted(later=_retry(delivery), replaced=ids)
            # Whoever joins a delivery that should have gone long ago wakes it, too: its first wake-up may be lost.
            is_late = delivery.state == "open" and delivery.due < (now - timedelta(minutes=5)).timestamp()
            wakes = is_late or row.place == 1
            return Accepted(later=Waiting(delivery.id, _moment(row.until), row.waits_for, wakes), replaced=ids)

    def _take_in(self, connection: Connection, recipient: Recipient, notice: Notice, now: datetime) -> None:
        self._prune(connection, now)
        id = key_of(notice.id)
        if notice.collapse_key is not None:
            _replace(connection, notice)
        timing = Timing(NOW)
        if not notice.is_expired(now):
            timing = timing_of(
                recipient.manners,
                now=now,
                urgency=notice.urgency,
                digest=notice.digest,
                digest_seconds=self._settings.digest_seconds(notice.digest or ""),
                told=_told(connection, notice.recipient, now),
            )
            if timing.group == NOW and notice.urgency != "high":
                timing = behind(connection, notice.recipient, now) or timing
        delivery = self._open(connection, notice, timing, now)
        connection.execute(
            insert(NOTICES),
            {
                "id": id,
                "delivery": delivery.id,
                "place": delivery.notices,
                "recipient": key_of(notice.recipient),
                "collapse_key": notice.collapse_key,
                "notice": notice.to_json(),
                "waits_for": timing.waits_for,
                "until": delivery.due if timing.waits_for is not None else None,
            },
        )
        if timing.waits_for is None:
            _close(connection, delivery, notice.id, now)

    def _open(self, connection: Connection, notice: Notice, timing: Timing, now: datetime) -> Row[Any]:
        """The delivery that a notice joins or begins, with the notice counted."""
        table = DELIVERIES.c
        if timing.group != NOW:
            joined = connection.execute(
                update(DELIVERIES)
                .where(
                    table.recipient == key_of(notice.recipient),
                    table.state == "open",
                    table.kind == timing.group,
                    table.notices < self._settings.max_gathered,
                )
                .values(notices=table.notices + 1)
                .returning(table.id)
            ).scalar()
            if joined is not None:
                return _delivery(connection, joined)
        due = timing.due or now
        values = {
            "id": key_of(notice.id),
            "recipient": key_of(notice.recipient),
            "kind": timing.group,
            "waits_for": timing.waits_for,
            "state": "open",
            "opened": now.timestamp(),
            "due": due.timestamp(),
            "notices": 1,
        }
        connection.execute(insert(DELIVERIES), values)
        return _delivery(connection, key_of(notice.id))

    def close(
        self, id: str, recipient_id: str, by: str, now: datetime, *, cause: str | None = None
    ) -> Leaving | Waiting | None:
        """Let a delivery go, unless another event has done so.

        Args:
            id: The delivery.
            recipient_id: Whose it is.
            by: The event that wakes it.
            now: This moment.
            cause: The event that has led to that one.

        Returns:
            What goes; until when it has been put off; None where another event has it.

        Raises:
            Reject: The recipient or the delivery isn't known.
            DirectoryUnavailable: The database doesn't answer; nothing has been done.
        """
        with self._database.transaction() as connection:
            recipient = recipient_of(connection, recipient_id, lock=True)
            delivery = connection.execute(select(DELIVERIES).where(DELIVERIES.c.id == key_of(id))).one_or_none()
            if delivery is None:
                raise Reject(
                    f"No delivery {id} is known; its notices can't be found.",
                    hint="Was the database restored from an older copy? Publish the notification.requested again.",
                )
            if delivery.state == "open":
                waits = still_waits(connection, recipient.id, recipient.manners, now)
                if waits is not None:
                    until, waits_for = waits
                    statement = update(DELIVERIES).where(DELIVERIES.c.id == delivery.id)
                    connection.execute(statement.values(due=until.timestamp()))
                    return Waiting(delivery.id, until, waits_for, wakes=True)
                _close(connection, delivery, by, now)
                delivery = _delivery(connection, delivery.id)
            elif delivery.state == "retrying" and delivery.closed_by == key_of(by):
                return _retry(delivery)
            elif delivery.state == "retrying" and take_up(connection, delivery, by, cause, now):
                delivery = _delivery(connection, delivery.id)
            if delivery.closed_by != key_of(by):
                return None
            return _leaving(connection, delivery, recipient)

    def put_off(
        self, leaving: Leaving, recipient_id: str, *, error: Exception, after_seconds: float | None, now: datetime
    ) -> Waiting | None:
        """Have a delivery tried again that has reached nobody.

        Args:
            leaving: The delivery.
            recipient_id: Whose it is.
            error: What it has failed with.
            after_seconds: When a receiver wants to be asked again, if it says so.
            now: This moment.

        Returns:
            Until when; None where it has been tried often enough.

        Raises:
            Reject: The recipient isn't known any more.
            DirectoryUnavailable: The database doesn't answer; nothing has been done.
        """
        with self._database.transaction() as connection:
            recipient = recipient_of(connection, recipient_id, lock=True)
            until = put_off(
                connection,
                _delivery(connection, leaving.id),
                recipient.manners,
                error=error,
                after_seconds=after_seconds,
                now=now,
                is_urgent=any(notice.urgency == "high" for notice in leaving.notices),
            )
            return None if until is None else Waiting(leaving.id, until, RETRY, wakes=True)

    def finish(self, id: str, outcome: dict[str, Any]) -> None:
        """Write down what came of a delivery, so that another run tells the same, whatever has changed since.

        Args:
            id: The delivery.
            outcome: With a JSON form.

        Raises:
            DirectoryUnavailable: The database doesn't answer.
        """
        with self._database.transaction() as connection:
            statement = update(DELIVERIES).where(DELIVERIES.c.id == id)
            connection.execute(statement.values(outcome=json.dumps(outcome)))

    def waiting(self, limit: int) -> list[Row[Any]]:
        """Deliveries that are open or are to be tried again, those due first in front."""
        with self._database.transaction() as connection:
            states = DELIVERIES.c.state.in_(("open", "retrying"))
            statement = select(DELIVERIES).where(states).order_by(DELIVERIES.c.due)
            return list(connection.execute(statement.limit(limit)))

    def _prune(self, connection: Connection, now: datetime) -> None:
        """Forget some of what was told long ago."""
        limit = (now - timedelta(days=self._settings.keep_days)).timestamp()
        statement = select(DELIVERIES.c.id).where(DELIVERIES.c.state == "closed", DELIVERIES.c.due < limit)
        ids = list(connection.scalars(statement.limit(MOST_PRUNED)))
        if ids:
            connection.execute(delete(NOTICES).where(NOTICES.c.delivery.in_(ids)))
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(ids)))


def _delivery(connection: Connection, id: str) -> Row[Any]:
    return connection.execute(select(DELIVERIES).where(DELIVERIES.c.id == id)).one()


def _told(connection: Connection, recipient: str, now: datetime) -> list[datetime]:
    """When a recipient was told something within the last hour; several notices that went as one count once."""
    table = DELIVERIES.c
    rows = connection.execute(
        select(table.closed).where(
            table.recipient == key_of(recipient),
            table.state == "closed",
            table.closed > (now - RATE_WINDOW).timestamp(),
            table.notices > 0,
        )
    )
    return [_moment(row.closed) for row in rows]


def _retry(delivery: Row[Any]) -> Waiting:
    return Waiting(delivery.id, _moment(delivery.due), RETRY, wakes=True)


def _replace(connection: Connection, notice: Notice) -> None:
    table = NOTICES.c
    # Out of one that is tried again, too: whoever has got it unheard misses nothing.
    open_ones = select(DELIVERIES.c.id).where(
        DELIVERIES.c.recipient == key_of(notice.recipient), DELIVERIES.c.state.in_(("open", "retrying"))
    )
    connection.execute(
        update(NOTICES)
        .where(table.delivery.in_(open_ones), table.collapse_key == notice.collapse_key, table.left_out.is_(None))
        .values(left_out="replaced", replaced_by=key_of(notice.id))
    )


def _close(connection: Connection, delivery: Row[Any], by: str, now: datetime) -> None:
    """Settle what a delivery holds, once and for all."""
    rows = connection.execute(
        select(NOTICES).where(NOTICES.c.delivery == delivery.id, NOTICES.c.left_out.is_(None)).order_by(NOTICES.c.place)
    ).all()
    notices = [Notice.from_json(row.notice) for row in rows]
    expired = {key_of(notice.id) for notice in notices if notice.is_expired(now)}
    if expired:
        connection.execute(update(NOTICES).where(NOTICES.c.id.in_(expired)).values(left_out="expired"))
    going = [notice for notice in notices if key_of(notice.id) not in expired]
    connection.execute(
        update(DELIVERIES)
        .where(DELIVERIES.c.id == delivery.id)
        .values(
            state="closed",
            closed=now.timestamp(),
            closed_by=key_of(by),
            # What goes: a delivery of nothing doesn't count for the rate.
            notices=len(going),
        )
    )


def _plan(connection: Connection, recipient: Recipient, newest: Notice) -> Plan:
    by_channel: dict[str, list[Address]] = {channel: [] for channel in CHANNELS}
    for each in addresses_of(connection, recipient.id):
        if each.state == "active":
            by_channel[each.channel].append(each)
    asked = newest.channels or list(recipient.channels)
    # Where nobody says, all that the recipient has; if that is nothing, the failure is to name all.
    chosen = asked or [channel for channel in CHANNELS if by_channel[channel]] or CHANNELS
    return [(channel, by_channel[channel]) for channel in chosen]


def _leaving(connection: Connection, delivery: Row[Any], recipient: Recipient) -> Leaving:
    rows = connection.execute(select(NOTICES).where(NOTICES.c.delivery == delivery.id).order_by(NOTICES.c.place)).all()
    notices = [Notice.from_json(row.notice) for row in rows if row.left_out is None]
    return Leaving(
        id=delivery.id,
        notices=notices,
        expired=[Notice.from_json(row.notice).id for row in rows if row.left_out == "expired"],
        plan=_plan(connection, recipient, notices[-1]) if notices else [],
        locale=recipient.locale,
        outcome=json.loads(delivery.outcome) if delivery.outcome is not None else None,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""The directory: who a recipient is, how they want to be told, and where they are reached.

Services may use it, too, e.g. to keep a browser's subscription. What an address holds that isn't for everybody's eyes
is in `secret` and nowhere else.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, insert, select, update

from streams.notification.address import NewAddress
from streams.notification.database import Database
from streams.notification.quiet import parse_quiet, parse_zone
from streams.notification.request import CHANNELS, is_name, shown
from streams.notification.tables import ADDRESSES, DELIVERIES, NOTICES, RECIPIENTS, key_of
from streams.notification.timing import Manners
from tidemill.errors import ConfigError, Reject

MOST_ADDRESSES_PER_CHANNEL = 20


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who can be told something.

    Attributes:
        id: As events name them.
        time_zone: Of the tz database.
        quiet: `22:00-07:00`, or None.
        rate_per_hour: At most so many notices an hour; None for no limit.
        locale: Language and region.
        channels: In order of preference; empty for the usual order.
    """

    id: str
    time_zone: str = "UTC"
    quiet: str | None = None
    rate_per_hour: int | None = None
    locale: str | None = None
    channels: tuple[str, ...] = ()

    @property
    def manners(self) -> Manners:
        """How they want to be told."""
        return Manners(
            ZoneInfo(self.time_zone), parse_quiet(self.quiet) if self.quiet is not None else None, self.rate_per_hour
        )


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody is reached.

    Attributes:
        id: Names it in events, logs and commands.
        recipient: Whose it is.
        channel: Of which kind.
        shown: What people may see of it.
        secret: All of it; empty once it is gone.
        state: `active`, or `gone`.
        note: Why it is gone.
    """

    id: str
    recipient: str
    channel: str
    shown: str
    secret: dict[str, Any]
    state: str
    note: str | None

    def __repr__(self) -> str:
        return f"Address({self.id!r}, {self.channel!r}, {self.shown!r}, {self.state!r})"


class Directory:
    """Recipients and addresses.

        directory = Directory(Database(load_notification_settings(), load_settings()))
        directory.put(Recipient("u-17", time_zone="Europe/Berlin", quiet="22:00-07:00"))
        directory.add("u-17", push_address(subscription, settings))

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def put(self, recipient: Recipient) -> bool:
        """Add a recipient, or change one.

        Returns:
            Whether it is a new one.

        Raises:
            ConfigError: Something of it can't be.
            DirectoryUnavailable: The database doesn't answer.
        """
        _check(recipient)
        values = {
            "id": key_of(recipient.id),
            "time_zone": recipient.time_zone,
            "quiet": recipient.quiet,
            "rate_per_hour": recipient.rate_per_hour,
            "locale": recipient.locale,
            "channels": json.dumps(recipient.channels),
        }
        with self.database.transaction() as connection:
            changed = connection.execute(update(RECIPIENTS).where(RECIPIENTS.c.id == values["id"]).values(values))
            if not changed.rowcount:
                connection.execute(insert(RECIPIENTS), values)
            return not changed.rowcount

    def get(self, id: str) -> tuple[Recipient, list[Address]]:
        """A recipient and all their addresses, the oldest first.

        Raises:
            Reject: There is none of this id.
            DirectoryUnavailable: The database doesn't answer.
        """
        with self.database.transaction() as connection:
            return recipient_of(connection, id), addresses_of(connection, id)

    def ids(self) -> list[str]:
        """All recipients' ids, in alphabetical order."""
        with self.database.transaction() as connection:
            return list(connection.scalars(select(RECIPIENTS.c.id).order_by(RECIPIENTS.c.id)))

    def remove(self, id: str) -> None:
        """Remove a recipient with all that is known of them; what comes for them becomes a dead letter.

        Raises:
            Reject: There is none of this id.
            DirectoryUnavailable: The database doesn't answer.
        """
        with self.database.transaction() as connection:
            recipient_of(connection, id)
            for table in (NOTICES, DELIVERIES, ADDRESSES):
                connection.execute(delete(table).where(table.c.recipient == key_of(id)))
            connection.execute(delete(RECIPIENTS).where(RECIPIENTS.c.id == key_of(id)))

    def add(self, recipient: str, new: NewAddress) -> Address:
        """Add an address; one that is there already is brought up to date, and back if it was gone.

        Args:
            recipient: Whose it is.
            new: The address, checked.

        Raises:
            Reject: There is no such recipient.
            ConfigError: They have too many for that channel.
            DirectoryUnavailable: The database doesn't answer.
        """
        values = {"shown": new.shown, "secret": json.dumps(new.secret), "state": "active", "note": None}
        with self.database.transaction() as connection:
            recipient_of(connection, recipient)
            same = (
                (ADDRESSES.c.recipient == key_of(recipient))
                & (ADDRESSES.c.channel == new.channel)
                & (ADDRESSES.c.identity == new.identity)
            )
            if not connection.execute(update(ADDRESSES).where(same).values(values)).rowcount:
                active = [
                    each
                    for each in addresses_of(connection, recipient)
                    if each.channel == new.channel and each.state == "active"
                ]
                if len(active) >= MOST_ADDRESSES_PER_CHANNEL:
                    raise ConfigError(
                        f"{shown(recipient)} has {len(active)} addresses for {new.channel}, which is the most.",
                        hint="Remove one before.",
                    )
                connection.execute(
                    insert(ADDRESSES),
                    {
                        **values,
                        "id": secrets.token_hex(4),
                        "recipient": key_of(recipient),
                        "channel": new.channel,
                        "identity": new.identity,
                        "added": time.time(),
                    },
                )
            return _as_address(connection.execute(select(ADDRESSES).where(same)).one(), recipient)

    def drop(self, address_id: str) -> Address:
        """Remove one address.

        Raises:
            Reject: There is none of this id.
            DirectoryUnavailable: The database doesn't answer.
        """
        found = self.address(address_id)
        with self.database.transaction() as connection:
            connection.execute(delete(ADDRESSES).where(ADDRESSES.c.id == address_id))
        return found

    def address(self, address_id: str) -> Address:
        """One address.

        Raises:
            Reject: There is none of this id.
            DirectoryUnavailable: The database doesn't answer.
        """
        found = self.addresses([address_id])
        if not found:
            raise Reject(
                f"There is no address {shown(address_id)}.",
                hint="See `tidemill notification recipient show RECIPIENT`.",
            )
        return found[address_id]

    def addresses(self, ids: Iterable[str]) -> dict[str, Address]:
        """Addresses by their ids; those that aren't there any more are left out."""
        with self.database.transaction() as connection:
            rows = connection.execute(select(ADDRESSES).where(ADDRESSES.c.id.in_(list(ids))))
            return {row.id: _as_address(row, row.recipient) for row in rows}

    def rotate(self, address_id: str, new_secret: str, *, keep_old: bool) -> None:
        """Sign with a new secret.

        Args:
            address_id: A webhook's.
            new_secret: `whsec_...`.
            keep_old: Whether to sign with the one before it, too, so that the receiver can change over.

        Raises:
            Reject: There is no such webhook.
            DirectoryUnavailable: The database doesn't answer.
        """
        with self.database.transaction() as connection:
            row = connection.execute(select(ADDRESSES).where(ADDRESSES.c.id == address_id)).one_or_none()
            if row is None or row.channel != "webhook" or row.state != "active":
                raise Reject(f"There is no webhook {shown(address_id)}.")
            secret = json.loads(row.secret)
            secret["secrets"] = [new_secret, *(secret["secrets"][:1] if keep_old else [])]
            statement = update(ADDRESSES).where(ADDRESSES.c.id == address_id)
            connection.execute(statement.values(secret=json.dumps(secret)))

    def retire(self, address_id: str, note: str) -> None:
        """Note that an address is gone for good, and forget what it held.

        Args:
            address_id: The address.
            note: Why.
        """
        with self.database.transaction() as connection:
            statement = update(ADDRESSES).where(ADDRESSES.c.id == address_id)
            connection.execute(statement.values(state="gone", note=note, secret="{}"))


def recipient_of(connection: Connection, id: str, *, lock: bool = False) -> Recipient:
    """A recipient by their id.

    Args:
        connection: In a transaction.
        id: As events name them.
        lock: Whether others who ask so wait until the transaction ends.

    Raises:
        Reject: There is none of this id.
    """
    statement = select(RECIPIENTS).where(RECIPIENTS.c.id == key_of(id))
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise Reject(
            f"The directory has no recipient {shown(id)}.",
            hint="Add them by `tidemill notification recipient add`, then publish the event again.",
        )
    return Recipient(id, row.time_zone, row.quiet, row.rate_per_hour, row.locale, tuple(json.loads(row.channels)))


def addresses_of(connection: Connection, recipient: str) -> list[Address]:
    """All addresses of a recipient, the oldest first.

    Args:
        connection: In a transaction.
        recipient: Their id.
    """
    statement = select(ADDRESSES).where(ADDRESSES.c.recipient == key_of(recipient))
    rows = connection.execute(statement.order_by(ADDRESSES.c.added, ADDRESSES.c.id))
    return [_as_address(row, recipient) for row in rows]


def _as_address(row: Row[Any], recipient: str) -> Address:
    return Address(row.id, recipient, row.channel, row.shown, json.loads(row.secret), row.state, row.note)


def _check(recipient: Recipient) -> None:
    parse_zone(recipient.time_zone)
    if recipient.quiet is not None:
        parse_quiet(recipient.quiet)
    if not is_name(recipient.id):
        raise ConfigError(f"Recipient {shown(recipient.id)} isn't a single line of 1 to 200 characters.")
    if recipient.rate_per_hour is not None and not 1 <= recipient.rate_per_hour <= 10_000:
        raise ConfigError(f"The rate must be from 1 to 10,000 an hour, found {recipient.rate_per_hour}.")
    if recipient.locale is not None and not recipient.locale.replace("-", "").isalnum():
        raise ConfigError(f"{shown(recipient.locale)} is no locale, such as de or pt-BR.")
    if unknown := set(recipient.channels) - set(CHANNELS):
        raise ConfigError(f"There is no channel {shown(sorted(unknown)[0])}; expected {', '.join(CHANNELS)}.")

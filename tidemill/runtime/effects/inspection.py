"""What people ask the ledger, and what they tell it: effects listed, shown, and resolved where nobody else can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select, update

from tidemill.errors import EffectError
from tidemill.runtime.effects.entry import STATES, EffectName, Entry, State, brief_note, stored
from tidemill.runtime.effects.owner import is_gone
from tidemill.runtime.effects.tables import EFFECTS, OWNERS, now_ms

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select

    from tidemill.runtime.effects.database import Database


@dataclass(frozen=True, slots=True)
class Seen:
    """An effect as people see it."""

    entry: Entry
    age_seconds: float
    """Since it was begun last, by the database's clock."""
    silent_seconds: float | None
    """Since its owner's last sign of life, by that clock; None where the ledger doesn't know the owner any more."""
    owner_is_gone: bool
    """Whether the owner's process was on this machine and has ended."""

    @property
    def stream(self) -> str:
        """Its stream's name, after the namespace of its consumer group."""
        return self.entry.name.scope.rpartition("tidemill.")[2]


def listed(
    database: Database, *, state: State | None, scope: str | None, older_than_seconds: float | None, limit: int
) -> list[Seen]:
    """Effects, those that were begun last first.

    Args:
        database: The ledger's.
        state: Only this one.
        scope: Only this consumer group's, with its namespace.
        older_than_seconds: Only those that were begun longer ago.
        limit: At most so many.

    Raises:
        LedgerUnavailable: The ledger doesn't answer.
    """
    found: list[Seen] = []
    with database.transaction() as connection:
        # State by state, as the index has them: a ledger has millions that are done, and few of the others.
        for each in STATES if state is None else (state,):
            statement = _seen(connection).where(EFFECTS.c.state == each)
            if scope is not None:
                statement = statement.where(EFFECTS.c.scope == stored(scope))
            if older_than_seconds is not None:
                limit_ms = now_ms(connection) - int(older_than_seconds * 1000)
                statement = statement.where(EFFECTS.c.started_ms < limit_ms)
            rows = connection.execute(statement.order_by(EFFECTS.c.started_ms.desc()).limit(limit))
            found += map(_as_seen, rows)
    return sorted(found, key=lambda seen: -seen.entry.started_ms)[:limit]


def of_event(database: Database, event_id: str) -> list[Seen]:
    """All effects of an event, in all streams.

    Args:
        database: The ledger's.
        event_id: The event's id, or what `tidemill effects list` shows of it.

    Raises:
        LedgerUnavailable: The ledger doesn't answer.
    """
    with database.transaction() as connection:
        ids = {event_id, stored(event_id)}
        rows = connection.execute(
            _seen(connection).where(EFFECTS.c.event_id.in_(ids)).order_by(EFFECTS.c.scope, EFFECTS.c.key)
        )
        return list(map(_as_seen, rows))


def resolve(
    database: Database, event_id: str, key: str, *, scope: str | None, state: State, result: str | None, who: str
) -> EffectName:
    """Write what a person has found out about an effect.

    Args:
        database: The ledger's.
        event_id: The event's id.
        key: The effect's.
        scope: The consumer group's, with its namespace; needed only where several streams have such an effect.
        state: `done`, or `failed` where the next try is to do it.
        result: For `done`: what it has returned, as JSON.
        who: Who says so.

    Returns:
        The effect.

    Raises:
        EffectError: There is no such effect, there are several, it has an end already, or somebody is at it.
        LedgerUnavailable: The ledger doesn't answer.
    """
    of_this_event = of_event(database, event_id)
    if not of_this_event:
        raise EffectError(f"The ledger knows no effect of event {event_id!r}.", hint="See `tidemill effects list`.")
    keys, scopes = {key, stored(key)}, {scope, stored(scope or "")}
    found = [
        each for each in of_this_event if each.entry.name.key in keys and (not scope or each.entry.name.scope in scopes)
    ]
    if len(found) != 1:
        known = ", ".join(f"{each.entry.name.key!r} of {each.stream}" for each in of_this_event)
        raise EffectError(
            f"Event {event_id} has {len(found)} effects {key!r}, expected one. It has: {known}.",
            hint="Say which by --stream." if found else None,
        )
    (seen,) = found
    _refuse_what_is_known(seen, database.lease_seconds)
    with database.transaction() as connection:
        name, entry = seen.entry.name, seen.entry
        changed = connection.execute(
            update(EFFECTS)
            .where(
                EFFECTS.c.event_id == name.event_id,
                EFFECTS.c.scope == name.scope,
                EFFECTS.c.key == name.key,
                EFFECTS.c.state == entry.state,
                EFFECTS.c.attempt == entry.attempt,
            )
            .values(
                state=state, result=bindparam("said"), note=bindparam("by"), owner="", finished_ms=now_ms(connection)
            ),
            {"said": result, "by": brief_note(f"{who} said that it is {'done' if state == 'done' else 'not done'}.")},
        ).rowcount
    if not changed:
        raise EffectError(f"The effect {key!r} of event {event_id} has just changed.", hint="Look at it again.")
    return name


def _refuse_what_is_known(seen: Seen, lease_seconds: float) -> None:
    entry = seen.entry
    name = f"The effect {entry.name.key!r} of event {entry.name.event_id}"
    if entry.state == "failed":
        raise EffectError(f"{name} has failed; the next try does it.", hint="Publish the event again.")
    if entry.state == "done" and entry.result is not None:
        raise EffectError(f"{name} is done: {entry.result:.200}.", hint="To do it once more, publish a new event.")
    is_silent = seen.owner_is_gone or seen.silent_seconds is None or seen.silent_seconds > 2 * lease_seconds
    if entry.state == "started" and not is_silent:
        raise EffectError(
            f"{name} is under way: {entry.owner_name} gave a sign of life {seen.silent_seconds:.0f} s ago.",
            hint=f"Wait; one that gives none for {2 * lease_seconds:g} s is lost.",
        )


def _seen(connection: Connection) -> Select[tuple[object, ...]]:
    now = now_ms(connection)
    return select(
        EFFECTS,
        OWNERS.c.beats,
        OWNERS.c.place,
        (now - EFFECTS.c.started_ms).label("age_ms"),
        (now - OWNERS.c.seen_ms).label("silent_ms"),
    ).select_from(EFFECTS.outerjoin(OWNERS, OWNERS.c.owner == EFFECTS.c.owner))


def _as_seen(row: Row[tuple[object, ...]]) -> Seen:
    from tidemill.runtime.effects.batch import entry_of

    silent_seconds = None if row.silent_ms is None else row.silent_ms / 1000
    return Seen(entry_of(row), row.age_ms / 1000, silent_seconds, is_gone(row.place))

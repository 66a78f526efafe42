"""Many requests to the ledger in one transaction: what has come to an end is written, and what is to begin is claimed.

A transaction can be run again when nobody knows whether it was committed. Locks are taken in the order of names, and
what another process has locked is not waited for, so that two processes can't wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, tuple_, update

from tidemill.runtime.effects.claims import Answer, Begun, Busy, Claim, Held, Recorded, Settlement
from tidemill.runtime.effects.decision import decide
from tidemill.runtime.effects.entry import EffectName, Entry
from tidemill.runtime.effects.owner import Owner, is_gone
from tidemill.runtime.effects.pulse import Pulses
from tidemill.runtime.effects.tables import EFFECTS, OWNERS, now_ms, upsert

_NAME = (EFFECTS.c.event_id, EFFECTS.c.scope, EFFECTS.c.key)
_IS_IT = (
    (EFFECTS.c.event_id == bindparam("of_event"))
    & (EFFECTS.c.scope == bindparam("of_scope"))
    & (EFFECTS.c.key == bindparam("of_key"))
)
ENTRY = (
    select(EFFECTS, OWNERS.c.beats, OWNERS.c.place)
    .select_from(EFFECTS.outerjoin(OWNERS, OWNERS.c.owner == EFFECTS.c.owner))
    .order_by(*_NAME)
)


def beat(connection: Connection, owner: Owner, pulses: Pulses) -> None:
    """Count this owner's pulse up, and look at those of others that somebody has asked about."""
    now = now_ms(connection)
    fresh = upsert(connection, OWNERS).values(owner=owner.token, place=owner.place, beats=1, seen_ms=now)
    connection.execute(
        fresh.on_conflict_do_update(index_elements=["owner"], set_={"beats": OWNERS.c.beats + 1, "seen_ms": now})
    )
    if watched := pulses.watched():
        found = connection.execute(select(OWNERS.c.owner, OWNERS.c.beats).where(OWNERS.c.owner.in_(watched)))
        pulses.look({row.owner: row.beats for row in found})


def settle(connection: Connection, owner: Owner, settlements: Sequence[Settlement]) -> None:
    """Write how effects have ended; one whose claim is not the last any more changes nothing."""
    if not settlements:
        return
    statement = (
        update(EFFECTS)
        .where(
            _IS_IT,
            EFFECTS.c.owner == owner.token,
            EFFECTS.c.claim == bindparam("of_claim"),
            # One that somebody else has taken for lost is known after all.
            (EFFECTS.c.state == "started") | (EFFECTS.c.state == "unknown"),
        )
        .values(
            state=case(
                (bindparam("is_release") == 1, case((EFFECTS.c.attempt == 1, "failed"), else_="unknown")),
                else_=bindparam("new_state"),
            ),
            result=bindparam("new_result"),
            note=bindparam("new_note"),
            finished_ms=now_ms(connection),
        )
    )
    rows = [
        {
            **_of(each.name),
            "of_claim": each.number,
            # What was before a later claim is overwritten: not to know is the safe side.
            "is_release": int(each.state == "released"),
            "new_state": each.state,
            "new_result": each.result,
            "new_note": each.note,
        }
        for each in sorted(settlements, key=lambda each: each.name)
    ]
    connection.execute(statement, rows)


def claim(connection: Connection, owner: Owner, claims: Sequence[Claim], pulses: Pulses) -> list[Answer]:
    """Write the intent of each effect that may be done now.

    Args:
        connection: In a transaction.
        owner: Who will do them.
        claims: No two of the same effect.
        pulses: Who is alive.

    Returns:
        An answer to each claim.
    """
    if not claims:
        return []
    inserted = _insert_new(connection, owner, claims)
    answers: dict[EffectName, Answer] = {name: Begun(1, None) for name in inserted}
    rest = {each.name: each for each in claims if each.name not in inserted}
    if rest:
        again: list[tuple[Claim, int]] = []
        lost: list[Entry] = []
        statement = ENTRY.where(tuple_(*_NAME).in_([tuple(name) for name in rest])).with_for_update(
            of=EFFECTS, skip_locked=True
        )
        for row in connection.execute(statement):
            entry, wish = entry_of(row), rest[EffectName(row.event_id, row.scope, row.key)]
            if entry.owner == owner.token and row.claim == wish.number and entry.state == "started":
                answers[wish.name] = Begun(entry.attempt, None)  # This very claim, in a commit without an answer.
                continue
            dead = entry.owner == owner.token or is_gone(row.place) or pulses.is_dead(entry.owner, row.beats)
            match decide(entry, wish.policy, owner_is_dead=dead):
                case "return":
                    answers[wish.name] = Recorded(entry.result, entry.note)
                case "wait":
                    answers[wish.name] = Busy(entry.owner_name)
                case "do":
                    again.append((wish, entry.attempt + 1))
                    answers[wish.name] = Begun(entry.attempt + 1, entry)
                case "hold":
                    lost.append(entry)
                    answers[wish.name] = Held(entry)
        _take_over(connection, owner, again)
        _mark_unknown(connection, [entry for entry in lost if entry.state == "started"])
    # One that is missing is locked by another process at this moment.
    return [answers.get(each.name, Busy("another worker")) for each in claims]


def _insert_new(connection: Connection, owner: Owner, claims: Sequence[Claim]) -> set[EffectName]:
    statement = (
        upsert(connection, EFFECTS)
        .values(state="started", attempt=1, owner=owner.token, owner_name=owner.name, started_ms=now_ms(connection))
        .on_conflict_do_nothing()
        .returning(*_NAME)
    )
    rows = [
        {**each.name._asdict(), "policy": each.policy, "claim": each.number}
        for each in sorted(claims, key=lambda each: each.name)
    ]
    return {EffectName(*row) for row in connection.execute(statement, rows)}


def _take_over(connection: Connection, owner: Owner, wishes: Sequence[tuple[Claim, int]]) -> None:
    if not wishes:
        return
    statement = (
        update(EFFECTS)
        .where(_IS_IT)
        .values(
            state="started",
            policy=bindparam("new_policy"),
            attempt=bindparam("new_attempt"),
            claim=bindparam("new_claim"),
            owner=owner.token,
            owner_name=owner.name,
            started_ms=now_ms(connection),
            finished_ms=None,
            result=None,
            note=None,
        )
    )
    rows = [
        {**_of(wish.name), "new_policy": wish.policy, "new_attempt": attempt, "new_claim": wish.number}
        for wish, attempt in wishes
    ]
    connection.execute(statement, rows)


def _mark_unknown(connection: Connection, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    statement = (
        update(EFFECTS)
        .where(_IS_IT)
        .values(state="unknown", note=bindparam("new_note"), finished_ms=now_ms(connection))
    )
    rows = [
        {**_of(each.name), "new_note": f"{each.owner_name} ended, or was lost, in the middle of it."}
        for each in entries
    ]
    connection.execute(statement, rows)


def clean(connection: Connection, keep_ms: int, most: int) -> int:
    """Delete some effects that have come to an end long ago, and owners that are no more.

    Args:
        connection: In a transaction.
        keep_ms: How long an effect is known after it was begun last, in milliseconds.
        most: Rows to delete at most.

    Returns:
        How many effects were deleted. Those whose end isn't known stay until somebody has answered.
    """
    limit = now_ms(connection) - keep_ms
    old = select(*_NAME).where(EFFECTS.c.state.in_(("done", "failed")), EFFECTS.c.started_ms < limit).limit(most)
    deleted = connection.execute(EFFECTS.delete().where(tuple_(*_NAME).in_(old))).rowcount
    at_work = select(EFFECTS.c.owner).where(EFFECTS.c.state == "started")
    day_ms = 24 * 3600 * 1000
    connection.execute(
        OWNERS.delete().where(OWNERS.c.seen_ms < now_ms(connection) - day_ms, OWNERS.c.owner.not_in(at_work))
    )
    return deleted


def leave(connection: Connection, owner: Owner) -> None:
    """Take an owner out that has come to an end of all that it had begun."""
    at_work = select(func.count()).where(EFFECTS.c.state == "started", EFFECTS.c.owner == owner.token).scalar_subquery()
    connection.execute(OWNERS.delete().where(OWNERS.c.owner == owner.token, at_work == 0))


def entry_of(row: Any) -> Entry:
    """A row of `ENTRY`."""
    return Entry(
        EffectName(row.event_id, row.scope, row.key),
        row.state,
        row.policy,
        row.attempt,
        row.owner,
        row.owner_name,
        row.result,
        row.note,
        row.started_ms,
        row.finished_ms,
        row.beats,
    )


def _of(name: EffectName) -> dict[str, str]:
    return {"of_event": name.event_id, "of_scope": name.scope, "of_key": name.key}

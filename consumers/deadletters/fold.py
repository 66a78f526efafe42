"""Writes letters, and what was done about them, into the index: rows and offsets in one transaction of the caller's.

Gives the same rows in whatever portions topics are read, as long as letters come before the actions on them: so a new
index says what an old one does, but for letters that their topics hold no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, and_, bindparam, case, delete, func, insert, literal, select, update

from consumers.deadletters.actions import Action, Kind
from consumers.deadletters.letter import Letter
from consumers.deadletters.state import State
from consumers.deadletters.tables import ACTED, ACTIONS, GROUPS, LETTERS, OFFSETS

Place = tuple[str, int]
"""Topic without the namespace, and partition."""
CHUNK = 500
T = TypeVar("T")


def fold_letters(connection: Connection, letters: Sequence[Letter]) -> None:
    """Add letters.

    Args:
        connection: In a transaction that can write.
        letters: Each partition in order; those that are there already change nothing.
    """
    if not letters:
        return
    groups = {letter.group.id: letter for letter in letters}
    connection.execute(_adding(connection, GROUPS, ["id"]), [_group_row(groups[each]) for each in sorted(groups)])
    connection.execute(
        _adding(connection, LETTERS, ["topic", "partition", "offset"]), [_letter_row(letter) for letter in letters]
    )
    _sort_out_doubles(connection, {letter.death for letter in letters})
    if again := [letter for letter in letters if letter.redrives]:
        statement = update(LETTERS).where(
            LETTERS.c.event_id == bindparam("of_event"),
            LETTERS.c.stream == bindparam("of_stream"),
            LETTERS.c.to_topic == bindparam("from_topic"),
            LETTERS.c.to_partition == bindparam("from_partition"),
            LETTERS.c.to_offset == bindparam("from_offset"),
            LETTERS.c.redrives < bindparam("times"),
        )
        connection.execute(
            statement.values(state=State.RETURNED.value),
            [
                {
                    "of_event": letter.event_id,
                    "of_stream": letter.stream,
                    "from_topic": letter.source_topic,
                    "from_partition": letter.source_partition,
                    "from_offset": letter.source_offset,
                    "times": letter.redrives,
                }
                for letter in again
            ],
        )


def fold_action(connection: Connection, action: Action, place: tuple[int, int]) -> None:
    """Note what was done about letters; an action that is there already changes nothing.

    Args:
        connection: In a transaction that can write.
        action: What was done.
        place: Partition and offset of its record.
    """
    row = {
        "partition": place[0],
        "offset": place[1],
        "kind": action.kind.value,
        "run": action.run,
        "by": action.by,
        "at_ms": action.at_ms,
        "topic": action.topic,
        "why": action.why,
        "to_topic": action.to_topic,
        "edit": action.edit,
        "letters": len(action.letters),
    }
    adding = _adding(connection, ACTIONS, ["partition", "offset"])
    action_id = connection.execute(adding.returning(ACTIONS.c.id), row).scalar()
    if action_id is None or not action.letters:
        return
    redriven = action.kind is Kind.REDRIVE
    statement = (
        update(LETTERS)
        .where(
            LETTERS.c.topic == action.topic,
            LETTERS.c.partition == bindparam("of_partition"),
            LETTERS.c.offset == bindparam("of_offset"),
            LETTERS.c.written_ms == bindparam("of_time"),
        )
        .values(
            state=State.REDRIVEN.value if redriven else State.DISCARDED.value,
            action_id=action_id,
            acted_ms=action.at_ms,
            to_topic=action.to_topic if redriven else None,
            to_topic_id=action.to_topic_id if redriven else None,
            to_partition=bindparam("there_partition"),
            to_offset=bindparam("there_offset"),
        )
    )
    connection.execute(
        statement,
        [
            {
                "of_partition": done.partition,
                "of_offset": done.offset,
                "of_time": done.written_ms,
                "there_partition": done.to_partition if redriven else None,
                "there_offset": done.to_offset if redriven else None,
            }
            for done in action.letters
        ],
    )
    mine = LETTERS.c.action_id == action_id
    connection.execute(
        insert(ACTED).from_select(["letter_id", "action_id"], select(LETTERS.c.id, literal(action_id)).where(mine))
    )
    if redriven:
        _note_returned(connection, action_id)
    doubled = select(LETTERS.c.death).where(mine).scalar_subquery()
    found = connection.scalars(
        select(LETTERS.c.death).where(LETTERS.c.state == State.DUPLICATE.value, LETTERS.c.death.in_(doubled))
    )
    _sort_out_doubles(connection, set(found))


def _note_returned(connection: Connection, action_id: int) -> None:
    """Of the letters of an action, those whose events have died again already."""
    later = LETTERS.alias()
    died_again = (
        select(later.c.id)
        .where(
            later.c.event_id == LETTERS.c.event_id,
            later.c.stream == LETTERS.c.stream,
            later.c.source_topic == LETTERS.c.to_topic,
            later.c.source_partition == LETTERS.c.to_partition,
            later.c.source_offset == LETTERS.c.to_offset,
            # In a topic that was made anew it may have come to the very place where it had lain.
            later.c.redrives > LETTERS.c.redrives,
        )
        .exists()
    )
    connection.execute(
        update(LETTERS).where(LETTERS.c.action_id == action_id, died_again).values(state=State.RETURNED.value)
    )


def _sort_out_doubles(connection: Connection, deaths: Iterable[str]) -> None:
    """Of several letters of one death the first counts; another one only if it came after what was done about it."""
    for some in chunks(sorted(deaths)):
        several = (
            select(LETTERS.c.death).where(LETTERS.c.death.in_(some)).group_by(LETTERS.c.death).having(func.count() > 1)
        )
        doubled = list(connection.scalars(several))
        if not doubled:
            continue
        columns = [LETTERS.c[name] for name in ("id", "death", "state", "acted_ms", "written_ms")]
        order = [LETTERS.c[name] for name in ("death", "written_ms", "topic", "partition", "offset")]
        rows = connection.execute(select(*columns).where(LETTERS.c.death.in_(doubled)).order_by(*order)).all()
        changes = list(_doubles(rows))
        if changes:
            statement = update(LETTERS).where(LETTERS.c.id == bindparam("of_id")).values(state=bindparam("to_state"))
            connection.execute(statement, changes)


def _doubles(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    first: Any = None
    for row in rows:
        if first is None or row.death != first.death:
            first = row
            wanted = State.OPEN
        elif first.acted_ms is not None and first.acted_ms < row.written_ms:
            first, wanted = row, State.OPEN
        else:
            wanted = State.DUPLICATE
        if row.state in (State.OPEN.value, State.DUPLICATE.value) and row.state != wanted.value:
            yield {"of_id": row.id, "to_state": wanted.value}


def expire(connection: Connection, begins: Mapping[Place, int]) -> None:
    """Letters that their topics hold no more, and that nobody has done anything about.

    Args:
        connection: In a transaction that can write.
        begins: The first offset that each partition holds.
    """
    known = {(row.topic, row.partition): row.begin_offset for row in connection.execute(select(OFFSETS))}
    for (topic, partition), begin in begins.items():
        if begin <= known.get((topic, partition), 0):
            continue
        mine = and_(OFFSETS.c.topic == topic, OFFSETS.c.partition == partition)
        connection.execute(update(OFFSETS).where(mine).values(begin_offset=begin))
        here = and_(LETTERS.c.topic == topic, LETTERS.c.partition == partition, LETTERS.c.offset < begin)
        connection.execute(
            update(LETTERS)
            .where(here, LETTERS.c.state.in_([State.OPEN.value, State.DUPLICATE.value]))
            .values(state=State.EXPIRED.value)
        )


def read_offsets(connection: Connection) -> dict[Place, tuple[str, int]]:
    """By partition: the id of the topic that was read, and where to go on."""
    rows = connection.execute(select(OFFSETS))
    return {(row.topic, row.partition): (row.topic_id, row.next_offset) for row in rows}


def write_offsets(connection: Connection, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
    """Keep where to go on; where another command is further already, that stays."""
    if not offsets:
        return
    statement = _insert(connection, OFFSETS)
    new, old = statement.excluded.next_offset, OFFSETS.c.next_offset
    statement = statement.on_conflict_do_update(
        index_elements=["topic", "partition"],
        set_={"next_offset": case((new > old, new), else_=old), "topic_id": statement.excluded.topic_id},
    )
    connection.execute(
        statement,
        [
            {
                "topic": place[0],
                "partition": place[1],
                "topic_id": topic_ids[place[0]],
                "next_offset": offset,
                "begin_offset": 0,
            }
            for place, offset in sorted(offsets.items())
        ],
    )


def forget(connection: Connection, topic: str) -> None:
    """Drop what is known of a topic that was deleted, or made anew: nothing of it can be read any more."""
    letters = select(LETTERS.c.id).where(LETTERS.c.topic == topic)
    connection.execute(delete(ACTED).where(ACTED.c.letter_id.in_(letters)))
    connection.execute(delete(LETTERS).where(LETTERS.c.topic == topic))
    connection.execute(delete(OFFSETS).where(OFFSETS.c.topic == topic))


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Items in lists of at most so many."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def _insert(connection: Connection, table: Table) -> Any:
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgres_insert

    return postgres_insert(table)


def _adding(connection: Connection, table: Table, keys: list[str]) -> Any:
    return _insert(connection, table).on_conflict_do_nothing(index_elements=keys)


def _group_row(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.group.id,
        "stream": letter.stream,
        "handler": letter.handler,
        "error": letter.error,
        "pattern": letter.group.pattern,
        "frames": "\n".join(letter.group.frames),
    }


_COPIED = ("topic", "partition", "offset", "stream", "event_id", "type", "key", "message", "attempts", "redrives")
_COPIED_TOO = ("written_ms", "died_ms", "source_topic", "source_partition", "source_offset", "death")


def _letter_row(letter: Letter) -> dict[str, Any]:
    row = {name: getattr(letter, name) for name in (*_COPIED, *_COPIED_TOO)}
    return row | {"state": State.OPEN.value, "group_id": letter.group.id, "bytes": letter.size_bytes}

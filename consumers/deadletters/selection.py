"""Which letters somebody means, and what the index says of them: groups, places, histories. Reads only."""

from __future__ import annotations

import heapq
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select, text
from sqlalchemy.exc import DBAPIError

from consumers.deadletters.fold import Place
from consumers.deadletters.state import State
from consumers.deadletters.tables import ACTED, ACTIONS, GROUPS, LETTERS
from tidemill.contracts.policies import DEAD_SUFFIX
from tidemill.errors import DeadLetterError
from tidemill.jobs.stored_id import stored_id

COLUMNS = {
    "topic": "l.topic",
    "stream": "l.stream",
    "handler": "g.handler",
    "error": "g.error",
    "message": "l.message",
    "type": 'l."type"',
    "event_id": "l.event_id",
    "event_key": 'l."key"',
    "group_id": "l.group_id",
    "attempts": "l.attempts",
    "redrives": "l.redrives",
    "size_bytes": 'l."bytes"',
    "died_ms": "l.died_ms",
    "source_topic": "l.source_topic",
    "source_partition": "l.source_partition",
    "source_offset": "l.source_offset",
}
"""What a condition may ask about, and where it lies."""
_PLACE = re.compile(r"(.+)/(\d{1,9})/(\d{1,18})")
_NO_CONDITION = re.compile(r";|--|/\*")
STREAM_ROWS = 5_000


@dataclass(frozen=True)
class Selection:
    """Which letters; what is None, or empty, restricts nothing."""

    states: tuple[State, ...] = (State.OPEN,)
    group: str | None = None
    id: str | None = None
    """Of the event, or the letter's place: topic/partition/offset."""
    where: str | None = None
    """SQL that could stand behind WHERE, about `COLUMNS`."""
    stream: str | None = None
    topic: str | None = None
    """That the event died in, or that its letter lies in."""
    since_ms: int | None = None

    most_redrives: int | None = None
    """Only those that were put back fewer times than this."""

    def below(self, redrives: int) -> Selection:
        """Those of them that were put back fewer times."""
        return replace(self, most_redrives=redrives)

    @property
    def names_some(self) -> bool:
        """Whether it says which letters, rather than all."""
        return any((self.group, self.id, self.where))


class Group(NamedTuple):
    """Letters of one failure."""

    id: str
    state: State
    stream: str
    handler: str
    error: str
    pattern: str
    frames: list[str]
    letters: int
    first_ms: int
    last_ms: int
    redrives: int
    """Of the letter that was put back most often."""
    topic: str
    sample_id: str
    sample_message: str


def place_text(topic: str, partition: int, offset: int) -> str:
    """A letter's place, as it is typed."""
    return f"{topic}/{partition}/{offset}"


def conditions(connection: Connection, selection: Selection) -> list[ColumnElement[bool]]:
    """A selection as conditions on the table of letters.

    Raises:
        DeadLetterError: Its condition can't be read.
    """
    found: list[ColumnElement[bool]] = []
    if selection.states:
        found.append(LETTERS.c.state.in_([state.value for state in selection.states]))
    if selection.group is not None:
        found.append(LETTERS.c.group_id == selection.group)
    if selection.id is not None:
        place = _PLACE.fullmatch(selection.id)
        is_meant = LETTERS.c.event_id == stored_id(selection.id)
        if place:
            # Events may have such ids, too.
            is_meant |= and_(
                LETTERS.c.topic == place[1], LETTERS.c.partition == int(place[2]), LETTERS.c.offset == int(place[3])
            )
        found.append(is_meant)
    if selection.stream is not None:
        found.append(LETTERS.c.stream == selection.stream)
    if selection.topic is not None:
        found.append(LETTERS.c.topic.in_([selection.topic, selection.topic + DEAD_SUFFIX]))
    if selection.since_ms is not None:
        found.append(LETTERS.c.died_ms >= selection.since_ms)
    if selection.most_redrives is not None:
        found.append(LETTERS.c.redrives < selection.most_redrives)
    if selection.where is not None:
        found.append(_where(connection, selection.where))
    return found


def _where(connection: Connection, where: str) -> Any:
    hint = f"Write what could stand behind WHERE. Columns: {', '.join(COLUMNS)}."
    if not where.strip() or _NO_CONDITION.search(where):
        raise DeadLetterError(f"{where!r} is no condition: it is empty, or holds a semicolon or a comment.", hint=hint)
    columns = ", ".join(f"{place} AS {name}" for name, place in COLUMNS.items())
    view = f"SELECT l.id AS id, {columns} FROM {LETTERS.name} AS l JOIN {GROUPS.name} AS g ON g.id = l.group_id"
    # About one letter at a time, so that a question about few of them looks at few. A colon would be a parameter.
    holds = f"EXISTS (SELECT 1 FROM ({view}) AS letter WHERE letter.id = {LETTERS.name}.id AND ({where}))"
    condition = text(holds.replace(":", r"\:"))
    try:
        connection.execute(select(LETTERS.c.id).where(condition).limit(0))
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())
        raise DeadLetterError(f"The condition {where!r} can't be used: {said}.", hint=hint) from error
    return condition


class Groups(NamedTuple):
    """What a selection comes to."""

    largest: list[Group]
    number: int
    """Of all groups, once for each state that letters of it are in."""
    letters: int
    """In all of them."""


def groups(connection: Connection, selection: Selection, most: int) -> Groups:
    """The letters that are meant by group and state, the largest groups first; one walk through the index.

    Args:
        connection: In a transaction.
        selection: Which letters.
        most: How many groups are told of.
    """
    wanted = conditions(connection, selection)
    columns = (func.count(), func.min(LETTERS.c.died_ms), func.max(LETTERS.c.died_ms), func.max(LETTERS.c.redrives))
    rows = connection.execution_options(yield_per=STREAM_ROWS).execute(
        select(LETTERS.c.state, LETTERS.c.group_id, *columns)
        .where(*wanted)
        .group_by(LETTERS.c.state, LETTERS.c.group_id)
    )
    number = letters = 0

    def counted() -> Iterator[Any]:
        nonlocal number, letters
        for row in rows:
            number += 1
            letters += row[2]
            yield row

    # Of none, it would walk through none.
    largest = heapq.nsmallest(max(1, most), counted(), key=lambda row: (-row[2], row[1], row[0]))[:most]
    return Groups(_groups(connection, wanted, largest), number, letters)


def _groups(connection: Connection, wanted: Sequence[ColumnElement[bool]], found: Sequence[Any]) -> list[Group]:
    result = []
    for state, group_id, number, first_ms, last_ms, redrives in found:
        about = connection.execute(select(GROUPS).where(GROUPS.c.id == group_id)).one()
        # One of those that died last; found by the index alone.
        sample = connection.execute(
            select(LETTERS)
            .where(*wanted, LETTERS.c.state == state, LETTERS.c.group_id == group_id, LETTERS.c.died_ms == last_ms)
            .limit(1)
        ).one()
        result.append(
            Group(
                group_id,
                State(state),
                about.stream,
                about.handler,
                about.error,
                about.pattern,
                about.frames.split("\n") if about.frames else [],
                number,
                first_ms,
                last_ms,
                redrives,
                sample.source_topic or sample.topic,
                place_text(sample.topic, sample.partition, sample.offset),
                sample.message,
            )
        )
    return result


def totals(connection: Connection, selection: Selection) -> tuple[int, int]:
    """How many letters are meant, and of how many groups."""
    wanted = conditions(connection, selection)
    inner = select(LETTERS.c.group_id, func.count().label("number")).where(*wanted).group_by(LETTERS.c.group_id)
    counted = inner.subquery()
    letters, number = connection.execute(select(func.sum(counted.c.number), func.count()).select_from(counted)).one()
    return int(letters or 0), int(number)


def by_stream(connection: Connection, state: State) -> dict[str, int]:
    """How many letters of a state each stream has, most first."""
    number = func.count()
    rows = connection.execute(
        select(LETTERS.c.stream, number)
        .where(LETTERS.c.state == state.value)
        .group_by(LETTERS.c.stream)
        .order_by(number.desc(), LETTERS.c.stream)
    )
    return {row[0]: row[1] for row in rows}


def streams(connection: Connection, selection: Selection) -> list[tuple[str, str]]:
    """The streams of the letters that are meant, each with the topic that its letters lie in."""
    columns = (LETTERS.c.stream, LETTERS.c.topic)
    rows = connection.execute(select(*columns).where(*conditions(connection, selection)).distinct().order_by(*columns))
    return [(row.stream, row.topic) for row in rows]


def places(connection: Connection, selection: Selection) -> dict[Place, array[int]]:
    """Where the letters that are meant lie: offsets by topic and partition, ascending. 8 bytes for each letter."""
    wanted = conditions(connection, selection)
    rows = connection.execution_options(yield_per=STREAM_ROWS).execute(
        select(LETTERS.c.topic, LETTERS.c.partition, LETTERS.c.offset)
        .where(*wanted)
        .order_by(LETTERS.c.topic, LETTERS.c.partition, LETTERS.c.offset)
    )
    found: dict[Place, array[int]] = {}
    for topic, partition, offset in rows:
        found.setdefault((topic, partition), array("q")).append(offset)
    return found


def letters(connection: Connection, selection: Selection, most: int) -> Sequence[Any]:
    """Rows of the letters that are meant with their groups' handler and error; of too many the latest, in order."""
    return _rows(connection, conditions(connection, selection), most)


def of_event(connection: Connection, event_id: str, most: int) -> Sequence[Any]:
    """All letters of an event, whatever became of them, the first death first."""
    return _rows(connection, [LETTERS.c.event_id == event_id], most)


def _rows(connection: Connection, wanted: Sequence[ColumnElement[bool]], most: int) -> Sequence[Any]:
    found = connection.execute(
        select(LETTERS, GROUPS.c.handler, GROUPS.c.error)
        .join(GROUPS, GROUPS.c.id == LETTERS.c.group_id)
        .where(*wanted)
        .order_by(LETTERS.c.died_ms.desc(), LETTERS.c.id.desc())
        .limit(most)
    ).all()
    return found[::-1]


def actions_on(connection: Connection, letter_id: int) -> Sequence[Any]:
    """What was done about a letter, the first action first."""
    return connection.execute(
        select(ACTIONS)
        .join(ACTED, ACTED.c.action_id == ACTIONS.c.id)
        .where(ACTED.c.letter_id == letter_id)
        .order_by(ACTIONS.c.at_ms, ACTIONS.c.id)
    ).all()

"""The index: what becomes of letters, in whatever portions they and the actions on them are read. Without Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from consumers.deadletters.actions import Action, Done, Kind, read_action
from consumers.deadletters.database import Database
from consumers.deadletters.fingerprint import fingerprint
from consumers.deadletters.fold import expire, fold_action, fold_letters, forget, read_offsets, write_offsets
from consumers.deadletters.letter import Letter
from consumers.deadletters.selection import Selection, actions_on, groups, letters, of_event, places, totals
from consumers.deadletters.settings import load_dead_settings
from consumers.deadletters.settling import Awaited, Passed, awaited, settle
from consumers.deadletters.state import State
from consumers.deadletters.tables import LETTERS
from tidemill.config import load_settings
from tidemill.errors import ConfigError, DeadLetterError, DecodeError

DEAD, TOPIC = "step.asked.dead", "step.asked"


def letter(offset: int, *, event: str = "", at: int = 0, source: int | None = None, **more: Any) -> Letter:
    """A letter of the stream `one`; its event lay at the same offset unless told otherwise."""
    source_offset = offset if source is None else source
    event_id = event or f"event-{offset}"
    made = Letter(
        topic=DEAD,
        partition=0,
        offset=offset,
        written_ms=at or 1_000 + offset,
        died_ms=at or 1_000 + offset,
        stream="one",
        handler="shop:one",
        error="ValueError",
        message="order has no total",
        attempts=5,
        group=fingerprint("one", "shop:one", "ValueError", "order has no total", ""),
        event_id=event_id,
        type=TOPIC,
        key="a",
        source_topic=TOPIC,
        source_partition=0,
        source_offset=source_offset,
        death=f"{event_id}@{source_offset}",
        redrives=0,
        size_bytes=100,
    )
    return replace(made, **more)


def redrive(*moved: tuple[int, int], at: int = 5_000) -> Action:
    """Letters at offsets, put back to offsets."""
    done = tuple(Done(0, offset, 1_000 + offset, 0, there) for offset, there in moved)
    return Action(Kind.REDRIVE, "run", "ada@home", at, DEAD, to_topic=TOPIC, to_topic_id="id", letters=done)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(load_settings(state_dir=tmp_path), load_dead_settings())) as database:
        yield database


def states(database: Database) -> dict[int, str]:
    with database.reading() as connection:
        rows = connection.execute(select(LETTERS.c.offset, LETTERS.c.state).order_by(LETTERS.c.offset))
        return {row.offset: row.state for row in rows}


Step = Callable[[Any], None]


def apply(database: Database, *steps: Letter | Action) -> dict[int, str]:
    """Fold in this order, each by itself; returns states by offset."""
    for number, step in enumerate(steps):
        with database.writing() as connection:
            if isinstance(step, Letter):
                fold_letters(connection, [step])
            else:
                fold_action(connection, step, (0, number))
    return states(database)


def test_a_letter_is_open_until_something_is_done(database: Database) -> None:
    discarded = Action(Kind.DISCARD, "run", "ada", 5_000, DEAD, why="test", letters=(Done(0, 2, 1_002),))
    found = apply(database, letter(1), letter(2), letter(3), redrive((1, 40)), discarded)
    assert found == {1: "redriven", 2: "discarded", 3: "open"}


def test_what_died_again_stands_for_the_first_letter(database: Database) -> None:
    back = letter(9, event="event-1", source=40, redrives=1)
    assert apply(database, letter(1), redrive((1, 40)), back) == {1: "returned", 9: "open"}
    assert apply(database, redrive((9, 41))) == {1: "returned", 9: "redriven"}


def test_what_comes_to_the_very_place_where_it_had_lain_did_not_die_there(database: Database) -> None:
    assert apply(database, letter(1, source=40), redrive((1, 40))) == {1: "redriven"}


def test_letters_first_and_actions_after_give_the_same_as_in_the_course_of_time(tmp_path: Path) -> None:
    again = letter(9, event="event-1", source=40, redrives=1)
    late = letter(8, event="event-2", source=2, at=6_000)
    early = letter(7, event="event-3", source=3, at=1_500)
    course: list[Letter | Action] = [
        letter(1),
        letter(2),
        letter(3),
        early,
        redrive((1, 40), (2, 41), (3, 42)),
        late,
        again,
    ]
    rebuilt: list[Letter | Action] = [step for step in course if isinstance(step, Letter)]
    found = []
    for number, steps in enumerate((course, [*rebuilt, course[4]], [*reversed(rebuilt), course[4]])):
        settings = load_settings(state_dir=tmp_path / str(number))
        with closing(Database(settings, load_dead_settings())) as database:
            found.append(apply(database, *steps))
    expected = {1: "returned", 2: "redriven", 3: "redriven", 7: "duplicate", 8: "open", 9: "open"}
    assert found == [expected] * 3


def test_a_death_that_is_told_twice_is_put_back_once(database: Database) -> None:
    twice = letter(2, event="event-1", source=1)
    assert apply(database, letter(1), twice) == {1: "open", 2: "duplicate"}
    with database.reading() as connection:
        assert places(connection, Selection())[DEAD, 0].tolist() == [1]


def test_the_same_event_in_two_streams_is_two_deaths(database: Database) -> None:
    other = letter(2, event="event-1", source=1, stream="two", death="another")
    assert apply(database, letter(1), other) == {1: "open", 2: "open"}
    with database.reading() as connection:
        assert [row.stream for row in of_event(connection, "event-1", 10)] == ["one", "two"]
        assert totals(connection, Selection(id="event-1", stream="two"))[0] == 1


def test_an_event_of_another_stream_at_the_same_place_is_not_what_came_back(database: Database) -> None:
    other = letter(9, event="event-1", source=40, stream="two", redrives=1, death="another")
    assert apply(database, letter(1), redrive((1, 40)), other) == {1: "redriven", 9: "open"}


def test_it_is_resolved_once_its_stream_is_through_with_it(database: Database) -> None:
    apply(database, letter(1), letter(2), letter(3), redrive((1, 40), (2, 50), (3, 60)))
    with database.writing() as connection:
        (place,) = awaited(connection)
        assert place == Awaited("one", TOPIC, "id", 0)
        assert settle(connection, {place: Passed(45, [range(55, 70)])}) == 2
    assert states(database) == {1: "resolved", 2: "redriven", 3: "resolved"}


def test_a_letter_that_came_after_all_takes_its_resolution_back(database: Database) -> None:
    apply(database, letter(1), redrive((1, 40)))
    with database.writing() as connection:
        settle(connection, {place: Passed(45, []) for place in awaited(connection)})
    assert apply(database, letter(9, event="event-1", source=40, redrives=1)) == {1: "returned", 9: "open"}


def test_reading_the_same_twice_changes_nothing(database: Database) -> None:
    steps: Sequence[Letter | Action] = [letter(1), letter(2, event="event-1", source=1), redrive((1, 40))]
    before = apply(database, *steps)
    assert apply(database, *steps) == before
    with database.reading() as connection:
        (row,) = letters(connection, Selection(states=(State.REDRIVEN,)), 10)
        assert len(actions_on(connection, row.id)) == 1


def test_an_action_on_a_letter_of_a_topic_that_was_made_anew_changes_nothing(database: Database) -> None:
    assert apply(database, letter(1, at=7_777), redrive((1, 40))) == {1: "open"}


def test_what_retention_took_before_anybody_acted_is_expired(database: Database) -> None:
    apply(database, letter(1), letter(2), letter(3), redrive((1, 40)))
    with database.writing() as connection:
        expire(connection, {(DEAD, 0): 3})
    assert states(database) == {1: "redriven", 2: "expired", 3: "open"}


def test_offsets_only_go_forward_until_their_topic_is_forgotten(database: Database) -> None:
    for offset in (5, 3, 7):
        with database.writing() as connection:
            write_offsets(connection, {(DEAD, 0): offset}, {DEAD: "id"})
    with database.writing() as connection:
        assert read_offsets(connection) == {(DEAD, 0): ("id", 7)}
        forget(connection, DEAD)
        assert read_offsets(connection) == {}


def test_groups_come_with_count_first_last_and_a_sample(database: Database) -> None:
    rare = fingerprint("one", "shop:one", "KeyError", "'x'", "")
    apply(database, letter(1), letter(2), letter(3), letter(4, group=rare, error="KeyError", message="'x'"))
    with database.reading() as connection:
        (first, second), number, count = groups(connection, Selection(), 10)
        assert (number, count) == (2, 4)
        assert groups(connection, Selection(), 0) == ([], 2, 4)
        assert (first.letters, first.first_ms, first.last_ms, first.sample_id) == (3, 1_001, 1_003, f"{DEAD}/0/3")
        assert (second.error, second.sample_message) == ("KeyError", "'x'")
        assert [group.id for group in groups(connection, Selection(), 1).largest] == [first.id]
        assert totals(connection, Selection()) == (4, 2)
        assert totals(connection, Selection(since_ms=1_003)) == (2, 2)
        assert totals(connection, Selection(topic=TOPIC)) == totals(connection, Selection(topic=DEAD)) == (4, 2)
        assert totals(connection, Selection(id=f"{DEAD}/0/4")) == (1, 1)


def test_a_condition_is_sql_about_the_letters(database: Database) -> None:
    apply(database, letter(1, key="it's: a key"), letter(2, attempts=7))
    with database.reading() as connection:
        assert totals(connection, Selection(where="attempts > 5 and stream = 'one'"))[0] == 1
        assert totals(connection, Selection(where="event_key like '%: a%'"))[0] == 1
        assert totals(connection, Selection(where="handler = 'shop:one' or 1 = 2"))[0] == 2


@pytest.mark.parametrize(
    "where", ["", "nonsense ==", "no_such_column = 1", "1=1; drop table tidemill_dead_letters", "1=1) --", "1=1 /*"]
)
def test_a_condition_that_is_none_is_an_error_and_changes_nothing(database: Database, where: str) -> None:
    apply(database, letter(1))
    with database.reading() as connection, pytest.raises(DeadLetterError, match=r"condition"):
        totals(connection, Selection(where=where))
    assert states(database) == {1: "open"}


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[1]", b'{"action": "dance"}', b"\xff", b"[" * 50_000, b'{"a"'])
def test_what_is_no_action_is_passed_over(value: bytes | None) -> None:
    with pytest.raises(DecodeError):
        read_action(value)


def test_an_action_is_read_as_it_was_written() -> None:
    action = replace(redrive((1, 40), (2, 41)), why="the relay's back: ü", edit='{"a":1}')
    assert read_action(action.record()) == action


def test_an_index_of_another_version_is_made_anew(database: Database) -> None:
    apply(database, letter(1))
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE tidemill_dead_tables SET version = 0")
    again = Database(
        load_settings(state_dir=Path(database.shown.removeprefix("sqlite:///")).parent), load_dead_settings()
    )
    with closing(again):
        assert states(again) == {}


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d", "sqlite://", "postgresql+pg8000://u:secret@h/d"])
def test_a_url_that_cannot_hold_an_index_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Database(load_settings(state_dir=tmp_path), load_dead_settings(url=url))
    assert "secret" not in str(refused.value)

"""The file in which events wait: what is due when, one event per id, and nothing left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.delays.waiting import Waiting, WaitingRoom, microseconds
from tidemill.errors import ConfigError

NOON = datetime(2026, 11, 24, 12, 0, 0, 1, tzinfo=UTC)


def event(
    offset: int, due_us: int, event_id: bytes | None = None, *, topic: str = "t", size_bytes: int = 10
) -> Waiting:
    name = event_id if event_id is not None else b"id-%d" % offset
    return Waiting(offset, name, due_us, topic, b"\x00k", [("a", b"\xff"), ("a", b"2")], b"\x00v", size_bytes)


@pytest.fixture
def room(tmp_path: Path) -> WaitingRoom:
    return WaitingRoom(tmp_path)


def test_events_are_due_by_time_and_then_as_they_lie_in_the_log(room: WaitingRoom) -> None:
    for offset, due_us in ((1, 30), (2, 10), (3, 20), (4, 10), (5, 31)):
        room.put(event(offset, due_us))
    assert [each.offset for each in room.due(30, 10, 1000)] == [2, 4, 3, 1]
    assert room.next_us() == 10


def test_an_event_is_not_due_a_microsecond_before_its_time(room: WaitingRoom) -> None:
    room.put(event(1, microseconds(NOON)))
    assert room.due(microseconds(NOON) - 1, 10, 1000) == []
    (found,) = room.due(microseconds(NOON), 10, 1000)
    assert found.due == NOON


def test_microseconds_are_exact_where_a_float_would_round() -> None:
    for text in ("2026-11-24T12:00:00.000001+00:00", "2036-12-31T23:59:59.999999+00:00", "1969-12-31T23:59:59.9+00:00"):
        moment = datetime.fromisoformat(text)
        assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds(moment)) == moment


def test_everything_of_an_event_comes_back_as_it_was(room: WaitingRoom) -> None:
    room.put(event(1, 5))
    room.put(Waiting(2, b"none", 6, "t", None, [], b"", 0))
    first, second = room.due(6, 10, 1000)
    assert (first.key, first.value, first.headers) == (b"\x00k", b"\x00v", [("a", b"\xff"), ("a", b"2")])
    assert (second.key, second.value, second.headers) == (None, b"", [])


@pytest.mark.parametrize("is_settled", [False, True])
def test_the_last_of_an_id_counts_and_one_that_is_dropped_is_gone(room: WaitingRoom, is_settled: bool) -> None:
    def then() -> None:
        if is_settled:
            room.settle()

    room.put(event(1, 10, b"x"))
    then()
    room.put(event(2, 99, b"x"))
    then()
    assert room.due(50, 10, 1000) == []
    room.drop(b"x")
    then()
    assert (room.count(), room.get(b"x"), room.next_us()) == (0, None, None)
    room.put(event(3, 7, b"x"))
    found = room.get(b"x")
    assert found is not None
    assert found.offset == 3


def test_a_lot_is_bounded_by_number_and_bytes_but_is_never_empty(room: WaitingRoom) -> None:
    for offset in range(1, 6):
        room.put(event(offset, offset, size_bytes=100))
    assert len(room.due(10, 3, 10_000)) == 3
    assert len(room.due(10, 10, 250)) == 2
    assert len(room.due(10, 10, 1)) == 1


def test_what_is_put_off_comes_later_and_keeps_its_own_time(room: WaitingRoom) -> None:
    room.put(event(1, 10))
    room.postpone([1], 500)
    assert room.due(499, 10, 1000) == []
    assert room.next_us() == 500
    (found,) = room.due(500, 10, 1000)
    assert found.due_us == 10


def test_what_waits_can_be_counted_and_listed_by_topic_and_time(room: WaitingRoom) -> None:
    for offset, topic in ((1, "a"), (2, "b"), (3, "a")):
        room.put(event(offset, 100 - offset, topic=topic))
    assert [each.offset for each in room.soonest()] == [3, 2, 1]
    assert [each.offset for each in room.soonest(topic="a")] == [3, 1]
    assert [each.offset for each in room.soonest(before_us=99)] == [3, 2]
    assert (room.count(), room.count(topic="b"), room.count(topic="a", before_us=98)) == (3, 1, 1)


def test_nothing_is_left_in_the_folder_even_of_a_process_that_is_killed(tmp_path: Path) -> None:
    room = WaitingRoom(tmp_path)
    room.put(event(1, 1))
    room.settle()
    assert [*tmp_path.iterdir()] == []
    room.close()


def test_a_folder_that_cannot_be_used_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be kept in .*missing") as caught:
        WaitingRoom(tmp_path / "missing")
    assert "Nothing is lost" in str(caught.value)

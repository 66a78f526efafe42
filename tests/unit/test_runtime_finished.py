"""The map of finished offsets in a commit's metadata: what goes in comes out, and garbage comes to nothing."""

from __future__ import annotations

import random

import pytest

from tidemill.runtime.finished import (
    DUE_STEP_MS,
    LIMIT_BYTES,
    PREFIX,
    PREFIX_HELD,
    Ahead,
    Held,
    _pack,
    from_metadata,
    held_for,
    to_metadata,
)

NOTHING = Ahead([], [])


def ranges(offsets: list[int]) -> list[range]:
    found: list[range] = []
    for offset in offsets:
        if found and found[-1].stop == offset:
            found[-1] = range(found[-1].start, offset + 1)
        else:
            found.append(range(offset, offset + 1))
    return found


@pytest.mark.parametrize("base", [0, 1, 127, 128, 10**12, 2**62])
@pytest.mark.parametrize("seed", range(5))
def test_what_goes_in_comes_out(base: int, seed: int) -> None:
    luck = random.Random(seed)
    finished = ranges([base + number for number in range(1, 3000) if luck.random() < 0.5])
    assert from_metadata(base, to_metadata(base, finished)) == (finished, [])


def test_nothing_finished_is_no_metadata() -> None:
    assert to_metadata(7, []) == ""
    assert from_metadata(7, "") == from_metadata(7, None) == NOTHING


def test_a_slow_event_before_many_finished_ones_takes_few_bytes() -> None:
    assert len(to_metadata(10**9, [range(10**9 + 1, 10**9 + 1_000_000)])) < 30


def test_a_full_map_keeps_the_lowest_offsets_that_fit() -> None:
    luck = random.Random(1)
    finished = ranges([number for number in range(1, 60_000) if luck.random() < 0.5])
    text = to_metadata(0, finished)
    assert len(text) <= LIMIT_BYTES
    kept = from_metadata(0, text).finished
    assert kept == finished[: len(kept)]
    assert kept[-1].stop > 15_000


@pytest.mark.parametrize("limit", [0, 1, 10, 20, 21, 22, 23, 100])
def test_no_map_is_larger_than_the_limit(limit: int) -> None:
    finished = ranges(list(range(1, 500, 3)))
    text = to_metadata(0, finished, limit_bytes=limit)
    assert len(text) <= limit
    kept = from_metadata(0, text).finished
    assert kept == finished[: len(kept)]


def test_a_map_counts_only_with_the_offset_it_was_made_for() -> None:
    text = to_metadata(100, [range(105, 110)])
    assert from_metadata(100, text) != NOTHING
    assert from_metadata(99, text) == from_metadata(0, text) == NOTHING


@pytest.mark.parametrize(
    "metadata",
    [
        "hello",
        PREFIX,
        PREFIX + "hello",
        PREFIX + "\x00\ud7ff\u20ac",
        PREFIX + _pack([]),
        PREFIX + _pack([0, 5]),  # An odd number of runs.
        PREFIX + _pack([0] * (2 << 20)),  # Inflates to more than any map holds.
        to_metadata(0, [range(5, 9), range(12, 30)])[:-3],
        PREFIX_HELD,
        PREFIX_HELD + "hello",
        PREFIX_HELD + _pack([]),
        PREFIX_HELD + _pack([0]),
        PREFIX_HELD + _pack([0, 1]),
        PREFIX_HELD + _pack([0, 1, 1_700_000_000_000]),  # Says that one event is held, and tells of none.
        PREFIX_HELD + _pack([0, 1, 1_700_000_000_000, 0, 1, 0]),
        PREFIX_HELD + _pack([0, 1 << 60, 0, 0, 1, 0, 0]),
        PREFIX_HELD + _pack([0, 0, 0, 5]),
        to_metadata(0, [range(5, 9)], [Held(0, 1, 1_700_000_000_000, 3)])[:-3],
    ],
)
def test_garbage_is_no_map(metadata: str) -> None:
    assert from_metadata(0, metadata) == NOTHING


def test_a_number_without_an_end_is_no_map() -> None:
    import base64
    import zlib

    for packed in (b"\x80", b"\x00\x01\xff", b"\xff" * 100):
        deflated = zlib.compress(packed, 9, -zlib.MAX_WBITS)
        assert from_metadata(0, PREFIX + base64.b85encode(deflated).decode()) == NOTHING


DUE_MS = 1_793_000_000_000


def some_held(count: int, base: int = 0) -> list[Held]:
    luck = random.Random(count)
    places = sorted(luck.sample(range(base, base + 100 * count), count))
    return [
        Held(each, luck.randint(1, 9), DUE_MS + luck.randint(0, 6_000) * DUE_STEP_MS, luck.randint(0, 600))
        for each in places
    ]


@pytest.mark.parametrize("base", [0, 127, 10**12])
@pytest.mark.parametrize("count", [1, 2, 50, 300])
def test_held_events_come_out_beside_what_is_finished(base: int, count: int) -> None:
    held = some_held(count, base)
    finished = [range(base + 200 * count, base + 200 * count + 7)]
    assert from_metadata(base, to_metadata(base, finished, reversed(held))) == (finished, held)


def test_the_event_at_the_committed_offset_itself_can_be_held() -> None:
    held = [Held(7, 3, DUE_MS, 60)]
    assert from_metadata(7, to_metadata(7, [], held)) == ([], held)


def test_a_map_of_before_there_were_held_events_is_read_and_still_written() -> None:
    text = to_metadata(3, [range(4, 9)])
    assert text.startswith("tm1:")
    assert from_metadata(3, text) == ([range(4, 9)], [])


def test_held_events_with_an_offset_of_another_commit_are_none() -> None:
    assert from_metadata(8, to_metadata(7, [], [Held(7, 3, DUE_MS, 60)])) == NOTHING


def test_where_the_map_gets_tight_held_events_come_before_what_is_finished() -> None:
    luck = random.Random(1)
    held, finished = some_held(200), ranges([number for number in range(20_001, 60_000) if luck.random() < 0.5])
    text = to_metadata(0, finished, held)
    assert len(text) <= LIMIT_BYTES
    kept = from_metadata(0, text)
    assert kept.held == held
    assert kept.finished == finished[: len(kept.finished)]
    assert len(kept.finished) > 1000


@pytest.mark.parametrize("limit", [0, 1, 20, 30, 100, LIMIT_BYTES])
def test_of_too_many_held_events_the_first_are_kept(limit: int) -> None:
    held = some_held(5_000)
    text = to_metadata(0, [range(600_000, 600_001)], held, limit)
    assert len(text) <= limit
    kept = from_metadata(0, text)
    assert kept.held == held[: len(kept.held)]
    assert kept.finished == []
    # What docs/decisions/0014 says of how many fit.
    assert len(kept.held) >= 500 or limit < LIMIT_BYTES


def test_no_map_makes_an_event_due_earlier_than_it_is() -> None:
    for due_ms in range(DUE_MS, DUE_MS + 2 * DUE_STEP_MS, 7):
        (held,) = from_metadata(0, to_metadata(0, [], [Held(0, 1, due_ms, 5)])).held
        assert due_ms <= held.due_ms < due_ms + DUE_STEP_MS


def test_an_event_waits_as_long_as_is_left_and_never_longer_than_it_was_to_wait() -> None:
    held = held_for(5, 2, wait_seconds=30.5, now=1000.0)
    assert (held.offset, held.attempts) == (5, 2)
    assert held.left_seconds(1000.0) == pytest.approx(30.5, abs=0.01)
    assert held.left_seconds(1020.0) == pytest.approx(10.5, abs=0.01)
    assert held.left_seconds(2000.0) == 0
    assert held.left_seconds(-1e9) == 31  # By a clock that is wrong.

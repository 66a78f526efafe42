"""The map of finished offsets in a commit's metadata: what goes in comes out, and garbage comes to nothing."""

from __future__ import annotations

import random

import pytest

from tidemill.runtime.finished import LIMIT_BYTES, PREFIX, _pack, from_metadata, to_metadata


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
    assert from_metadata(base, to_metadata(base, finished)) == finished


def test_nothing_finished_is_no_metadata() -> None:
    assert to_metadata(7, []) == ""
    assert from_metadata(7, "") == from_metadata(7, None) == []


def test_a_slow_event_before_many_finished_ones_takes_few_bytes() -> None:
    assert len(to_metadata(10**9, [range(10**9 + 1, 10**9 + 1_000_000)])) < 30


def test_a_full_map_keeps_the_lowest_offsets_that_fit() -> None:
    luck = random.Random(1)
    finished = ranges([number for number in range(1, 60_000) if luck.random() < 0.5])
    text = to_metadata(0, finished)
    assert len(text) <= LIMIT_BYTES
    kept = from_metadata(0, text)
    assert kept == finished[: len(kept)]
    assert kept[-1].stop > 15_000


@pytest.mark.parametrize("limit", [0, 1, 10, 20, 21, 22, 23, 100])
def test_no_map_is_larger_than_the_limit(limit: int) -> None:
    finished = ranges(list(range(1, 500, 3)))
    text = to_metadata(0, finished, limit)
    assert len(text) <= limit
    kept = from_metadata(0, text)
    assert kept == finished[: len(kept)]


def test_a_map_counts_only_with_the_offset_it_was_made_for() -> None:
    text = to_metadata(100, [range(105, 110)])
    assert from_metadata(100, text)
    assert from_metadata(99, text) == from_metadata(0, text) == []


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
    ],
)
def test_garbage_is_no_map(metadata: str) -> None:
    assert from_metadata(0, metadata) == []


def test_a_number_without_an_end_is_no_map() -> None:
    import base64
    import zlib

    for packed in (b"\x80", b"\x00\x01\xff", b"\xff" * 100):
        deflated = zlib.compress(packed, 9, -zlib.MAX_WBITS)
        assert from_metadata(0, PREFIX + base64.b85encode(deflated).decode()) == []

"""Which partitions are paused, and when they flow again."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.runtime.pressure import MOST_AHEAD, MOST_STUBS, full, relieved

KEY = ("step.asked", 0)
STREAM: Any = type("Stream", (), {"room": 100, "room_bytes": 1000})


def part(count: int = 0, size: int = 0, ahead: int = 0, stubs: int = 0) -> Any:
    return type("Part", (), {"count": count, "bytes": size, "ahead": ahead, "stubs": stubs})


@pytest.mark.parametrize("some", [part(count=100), part(size=1000), part(ahead=MOST_AHEAD), part(stubs=MOST_STUBS)])
def test_a_partition_is_full_at_any_of_its_limits(some: Any) -> None:
    assert full(STREAM, {KEY: some}) == {KEY}
    assert relieved(STREAM, {KEY: some}, {KEY}) == set()


def test_below_all_of_them_it_is_not() -> None:
    assert full(STREAM, {KEY: part(99, 999, MOST_AHEAD - 1, MOST_STUBS - 1)}) == set()


def test_it_flows_again_once_half_of_every_limit_is_free() -> None:
    half = part(50, 500, MOST_AHEAD // 2, MOST_STUBS // 2)
    assert relieved(STREAM, {KEY: half}, {KEY}) == {KEY}
    for more in (part(51, 500), part(50, 501), part(50, 500, MOST_AHEAD // 2 + 1), part(stubs=MOST_STUBS // 2 + 1)):
        assert relieved(STREAM, {KEY: more}, {KEY}) == set()


def test_one_that_went_elsewhere_is_paused_no_more() -> None:
    assert relieved(STREAM, {}, {KEY}) == {KEY}
